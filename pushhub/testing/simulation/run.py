"""One seed: a world and its actors, from the start of the first node to the verdict."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pushhub.testing.simulation import plan as plans
from pushhub.testing.simulation.actors import KINDS, MEANS
from pushhub.testing.simulation.fetches import check_budget, check_fetches, check_pace
from pushhub.testing.simulation.loop import BusyLoop, Deadlock, SimulatedLoop, bury
from pushhub.testing.simulation.visitor import WARM_VISITS, Visitor
from pushhub.testing.simulation.world import (
    API_KEY,
    WEIGHED,
    WEIGHED_SECONDS,
    World,
    capture_log,
    mute_log,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from pushhub.testing.simulation.oracle import BrokenPromise
    from pushhub.testing.simulation.plan import Plan

# After the last client has left: longer than every linger, sweep and retention of what pushhub
# keeps for itself.
LAST_SECONDS = 2 * 3600.0
CHECK_SECONDS = 60.0
# Longer than all that a node does because it has started.
START_SECONDS = 120.0
# How long tasks of a run that was stopped may take to end: tasks of killed nodes never do.
UNWIND_SECONDS = 60.0


@dataclass(slots=True)
class Verdict:
    """The result of a run."""

    plan: Plan
    findings: list[BrokenPromise]
    story: list[str]
    virtual_seconds: float = 0.0
    requests: int = 0
    acknowledged: int = 0
    delivered: int = 0
    gaps: int = 0
    callbacks: int = 0
    acts: dict[str, int] = field(default_factory=dict)
    """How often each kind of actor did each of its acts."""


def simulate(
    seed: int, days: float, plan: Plan | None = None, until: Collection[str] = ()
) -> Verdict:
    """Run one seed; no further than the first finding of one of the kinds `until`."""
    plan = plan or plans.draw(seed, days, MEANS)
    random.seed(seed)
    loop = SimulatedLoop()
    asyncio.set_event_loop(loop)
    world = World(loop, plan)
    capture_log(world)
    loop.set_exception_handler(lambda _, context: _unhandled(world, context))
    life = loop.create_task(_live(world))
    world.oracle.stop_at(until, life.cancel)
    try:
        loop.run_until_complete(life)
    except asyncio.CancelledError:
        _unwind(loop)
    except (BusyLoop, Deadlock) as error:
        if not any(finding.kind == "busy" for finding in world.oracle.findings):
            world.oracle.find("busy", "world", str(error))
    finally:
        mute_log()
        bury(loop)
        asyncio.set_event_loop(None)
        loop.close()
    oracle = world.oracle
    return Verdict(
        plan,
        oracle.findings,
        world.story,
        loop.time(),
        world.requests,
        sum(map(len, oracle.acknowledged.values())),
        oracle.deliveries,
        oracle.gaps,
        loop.callbacks,
        dict(world.acts),
    )


def _unwind(loop: SimulatedLoop) -> None:
    """End all tasks of a run that was stopped: else the collector ends them, during a later run in
    this process, and their errors are logged there.
    """
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    try:
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=UNWIND_SECONDS))
    except (BusyLoop, Deadlock):
        pass  # A fault that was planted; its finding is there.


def _unhandled(world: World, context: dict[str, object]) -> None:
    world.oracle.find(
        "unhandled", "loop", f"{context.get('message')}: {context.get('exception')!r}"
    )


async def _live(world: World) -> None:
    await world.start()
    await asyncio.sleep(START_SECONDS)
    world.work.check()
    await asyncio.sleep(LAST_SECONDS - START_SECONDS - (WEIGHED - 1) * WEIGHED_SECONDS)
    world.work.check_rest()
    at_rest = await world.weigh()
    actors = [KINDS[name.rpartition("-")[0]](world, name) for name in world.plan.actors]
    tasks = [asyncio.ensure_future(actor.run()) for actor in actors]
    checks = asyncio.ensure_future(_check(world))
    for work, sleep in world.plan.phases:
        await asyncio.sleep(work)
        world.tell("world", f"sleeps for {sleep:.3f} s")
        await world.rest(sleep)
    world.over = True
    world.tell("world", "the run is over")
    world.working.set()
    await asyncio.wait(tasks) if tasks else None
    for task in tasks:
        if (error := task.exception()) is not None:
            raise error
    for actor in actors:
        actor.roams = False
        await actor.finish()
        actor.leave()
    await asyncio.sleep(LAST_SECONDS)
    checks.cancel()
    world.work.check()
    check_fetches(world)
    check_pace(world)
    check_budget(world)
    world.check_rest(at_rest, await world.weigh())
    world.check_registers()
    await _visit(world)
    for node in world.nodes:
        if node.is_up:
            await node.stop()


async def _visit(world: World) -> None:
    """Ask for the same, and for the same again: caches have it by then."""
    visitor = Visitor(world, API_KEY)
    await visitor.visit(WARM_VISITS)
    before = await world.weigh()
    await visitor.visit(2)
    world.check_visits(before, await world.weigh())


async def _check(world: World) -> None:
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        world.check_timers()
        world.work.check()
