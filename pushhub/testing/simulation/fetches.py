"""The checks of an origin's fetches: none without a waiting request, none too early, and all of
them within the budget.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from pushhub.origin.shared.node_demands import SILENT_SECONDS
from pushhub.testing.simulation.world import ROUTES, TRACE_SECONDS

if TYPE_CHECKING:
    from pushhub.testing.simulation.world import World

# How long after the last wait a resource may still be fetched: its linger, and one pause.
LINGER_SECONDS = 15.0
# In what time fetches are counted.
PACE_SECONDS = 10.0


def check_fetches(world: World) -> None:
    """No fetch while nobody waits, but for a linger."""
    for path, resource in world.origin.resources.items():
        waits = sorted((begin, end) for begin, end in resource.waits)
        until, index = 0.0, 0
        for at in sorted(resource.fetches):
            while index < len(waits) and waits[index][0] <= at:
                until = max(until, waits[index][1])
                index += 1
            if at > until + LINGER_SECONDS:
                world.oracle.find("fetch", path, f"fetched at {at:.3f} s, and nobody waits")
                break


def check_pace(world: World) -> None:
    """At most a fetch an interval for all nodes together, one for each request that arrives
    and one for each notification; each may meet a dead connection, and is sent again. A node
    whose feed comes back fetches everything again, and once more where its waits meet a gap.
    """
    turns = PACE_SECONDS / ROUTES[0].interval + 2
    restored = [] if world.shared is None else sorted(world.shared.restorations)
    for path, resource in world.origin.resources.items():
        fetches = sorted(resource.fetches)
        causes = sorted([*(begin for begin, _ in resource.waits), *resource.notices])
        for index, at in enumerate(fetches):
            count = bisect_right(fetches, at + PACE_SECONDS) - index
            caused, again = (
                bisect_right(moments, at + PACE_SECONDS) - bisect_left(moments, at - 1)
                for moments in (causes, restored)
            )
            each = len(world.nodes) if _paced_alone(world, at) else 1
            if count > each * turns + 2 * (caused + again):
                text = (
                    f"{count} fetches in {PACE_SECONDS} s from {at:.3f} s, {caused} causes, "
                    f"{again} restored feeds"
                )
                world.oracle.find("pace", path, text)
                break


def check_budget(world: World) -> None:
    """All nodes together stay within the budget of the origin, apart from the fetches that
    requests, notifications and restored feeds cause. A node that has died leaves its share
    unused, and its clients count twice until the others have noticed.
    """
    settings = world.settings()
    waits = sorted(
        (begin, end)
        for resource in world.origin.resources.values()
        for begin, end in resource.waits
    )
    causes = sorted(
        moment
        for resource in world.origin.resources.values()
        for moment in (*(begin for begin, _ in resource.waits), *resource.notices)
    )
    fetches = sorted(at for resource in world.origin.resources.values() for at in resource.fetches)
    restored = [] if world.shared is None else sorted(world.shared.restorations)
    for index, at in enumerate(fetches):
        count = bisect_right(fetches, at + PACE_SECONDS) - index
        since = at - SILENT_SECONDS
        waiting = sum(begin <= at + PACE_SECONDS and end >= since for begin, end in waits)
        rate = max(settings.fetch_rate, waiting / settings.replaces)
        caused, again = (
            bisect_right(moments, at + PACE_SECONDS) - bisect_left(moments, at - 1)
            for moments in (causes, restored)
        )
        # Each node may have saved a token.
        paced = rate * PACE_SECONDS + len(world.nodes)
        if count > paced + 2 * (caused + again * len(world.origin.resources)):
            text = (
                f"{count} fetches in {PACE_SECONDS} s from {at:.3f} s, at {rate:g}/s, "
                f"{caused} causes, {again} restored feeds"
            )
            world.oracle.find("budget", "origin", text)
            break


def _paced_alone(world: World, at: float) -> bool:
    """Whether nodes could not share turns, because the log was unavailable."""
    return world.troubled_any(at - TRACE_SECONDS, at + PACE_SECONDS)
