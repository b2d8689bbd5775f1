"""One seed: a world and its actors, from the start of the first node to the verdict."""

from __future__ import annotations

import asyncio
import gc
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import structlog

from pushhub.testing.simulation import plan as plans
from pushhub.testing.simulation.actors import KINDS, MEANS
from pushhub.testing.simulation.loop import BusyLoop, Deadlock, SimulatedLoop
from pushhub.testing.simulation.world import World, capture_log

if TYPE_CHECKING:
    from pushhub.testing.simulation.oracle import Finding
    from pushhub.testing.simulation.plan import Plan

# After the last client has left: longer than every linger, sweep and retention of what pushhub
# keeps for itself.
LAST_SECONDS = 2 * 3600.0
CHECK_SECONDS = 60.0


@dataclass(slots=True)
class Verdict:
    """What a run came to."""

    plan: Plan
    findings: list[Finding]
    story: list[str]
    virtual_seconds: float = 0.0
    requests: int = 0
    acknowledged: int = 0
    delivered: int = 0
    gaps: int = 0
    callbacks: int = 0


def simulate(seed: int, days: float, plan: Plan | None = None) -> Verdict:
    """Run one seed.

    What is left of its killed processes is collected before another seed begins: a task that is
    collected runs its `finally`, whose log would be taken for that of the other seed.
    """
    try:
        return _simulate(plan or plans.draw(seed, days, MEANS))
    finally:
        structlog.configure(processors=[_drop])
        gc.collect()


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent


def _simulate(plan: Plan) -> Verdict:
    seed = plan.seed
    random.seed(seed)
    loop = SimulatedLoop()
    asyncio.set_event_loop(loop)
    world = World(loop, plan)
    capture_log(world)
    loop.set_exception_handler(lambda _, context: _unhandled(world, context))
    try:
        loop.run_until_complete(_live(world))
    except (BusyLoop, Deadlock) as error:
        if not any(finding.kind == "busy" for finding in world.oracle.findings):
            world.oracle.find("busy", "world", str(error))
    finally:
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
    )


def _unhandled(world: World, context: dict[str, object]) -> None:
    world.oracle.find(
        "unhandled", "loop", f"{context.get('message')}: {context.get('exception')!r}"
    )


async def _live(world: World) -> None:
    await world.start()
    await asyncio.sleep(LAST_SECONDS)
    world.check_work()
    at_rest = world.weigh()
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
    world.check_work()
    world.check_fetches()
    world.check_pace()
    world.check_rest(at_rest)
    world.check_registers()
    for node in world.nodes:
        if node.is_up:
            await node.stop()


async def _check(world: World) -> None:
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        world.check_work()
