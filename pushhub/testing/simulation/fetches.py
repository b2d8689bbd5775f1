"""What is checked of the fetches of an origin: none for nobody, and none too early."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from pushhub.store.base import IDEMPOTENCY_SECONDS
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


def _paced_alone(world: World, at: float) -> bool:
    """Whether nodes could not share turns: no log, or a clock that shows a time again, whose
    turns are taken for as long as the log remembers them.
    """
    if world.troubled_any(at - TRACE_SECONDS, at + PACE_SECONDS):
        return True
    return any(at - IDEMPOTENCY_SECONDS <= step <= at + PACE_SECONDS for step in world.steps)
