"""An event loop on virtual time.

Rule 1: time passes only when nothing is ready to run; then it jumps to the next timer.

Rule 2: every callback belongs to the process in whose context it was scheduled, or to none. The
callbacks of a process that was killed never run.

Rule 3: nothing comes from outside: connections are made in memory, and what would run in a thread
runs immediately. So one seed gives one history.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import selectors
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from pushhub.hub.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from pushhub.testing.simulation.network import Network

# So many turns of the loop at one moment are no work but a loop without a pause: a fan-out to
# 10,000 readers with all that follows takes fewer.
MOST_TURNS = 100_000


class Deadlock(RuntimeError):
    """Everything waits for something that will never happen."""


class BusyLoop(RuntimeError):
    """Something runs again and again, and no time passes."""


@dataclass(eq=False, slots=True)
class Process:
    """What is killed together: the callbacks and tasks of one node."""

    name: str
    dead: bool = False
    callbacks: int = 0
    tasks: WeakSet[asyncio.Task[Any]] = field(default_factory=WeakSet)


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class _Selector(selectors.BaseSelector):
    """Moves the clock instead of waiting for files."""

    def __init__(self) -> None:
        self.loop: SimulatedLoop
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Any:
        return self._keys

    def select(self, timeout: float | None = None) -> list[Any]:
        self.loop.idle(timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Time passes only when all that can be done is done. `network` makes its connections."""

    network: Network

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self._now = 1000.0
        self._turns = 0
        self.callbacks = 0
        """How many callbacks were due."""
        # A hub ticks ten times a second; only ticks that have something to do are run.
        self._ticks: dict[Hub, tuple[float, Callable[..., object]]] = {}
        self._contexts: dict[Hub, contextvars.Context] = {}
        super().__init__(selector)
        self.set_task_factory(_own_task)
        self.killed: list[asyncio.Task[Any]] = []
        """The tasks of killed processes: if one were collected, its `finally` would run."""

    def time(self) -> float:
        return self._now

    def idle(self, timeout: float | None) -> None:
        """Nothing is ready for `timeout` seconds: let time pass.

        Raises:
            Deadlock: nothing will ever happen.
            BusyLoop: no time passes.
        """
        if timeout == 0:
            self._turns += 1
            if self._turns > MOST_TURNS:
                raise BusyLoop(f"{MOST_TURNS} turns of the loop at one moment")
            return
        self._turns = 0
        first = min((when for when, _ in self._ticks.values()), default=float("inf"))
        if timeout is not None and self._now + timeout < first:
            # No hub ticks before the next timer, whatever it has to do.
            self._now += timeout
            return
        hub, due = self._next_tick()
        if timeout is None and hub is None:
            raise Deadlock("everything waits for something that will never happen")
        if hub is None or (timeout is not None and self._now + timeout < due):
            assert timeout is not None
            self._now += timeout
            return
        self._now = max(self._now, due)
        self.call_soon(self._ticks.pop(hub)[1], context=self._contexts[hub])

    def _next_tick(self) -> tuple[Hub | None, float]:
        first: Hub | None = None
        at = float("inf")
        for hub, (when, _) in self._ticks.items():
            work = min(hub.wheel.next() or at, hub.channels.next() or at)
            # On the hub's own grid of ticks, as a hub that ticks all the time would notice it.
            due = when if work <= when else when + TICK * -(-(work - when) // TICK)
            if due < at:
                first, at = hub, due
        return first, at

    def _run_once(self) -> None:
        """One turn, as that of asyncio's loop without files to select: a month is a million."""
        scheduled, ready = self._scheduled, self._ready  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
            heappop(scheduled)._scheduled = False
        if ready or self._stopping:  # type: ignore[attr-defined]
            self.idle(0)
        else:
            self.idle(max(0.0, scheduled[0]._when - self._now) if scheduled else None)
        end = self._now + self._clock_resolution  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._when < end:
            handle = heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        self.callbacks += len(ready)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(PROCESS)
            if process is None:
                handle._run()
            elif not process.dead:
                process.callbacks += 1
                handle._run()

    # Callbacks and their processes

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Any:
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, Hub):
            return self._tick_at(owner, when, callback)
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heappush(self._scheduled, handle)  # type: ignore[attr-defined]
        handle._scheduled = True  # type: ignore[attr-defined]
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def _tick_at(self, hub: Hub, when: float, tick: Callable[..., object]) -> _Tick:
        self._contexts[hub] = contextvars.copy_context()
        self._ticks[hub] = (when, tick)
        return _Tick(self, hub)

    def forget(self, hub: Hub) -> None:
        """A hub ticks no more."""
        self._ticks.pop(hub, None)
        self._contexts.pop(hub, None)

    def timers(self, process: Process, outside: tuple[type, ...] = ()) -> int:
        """How many timers of a process are set: its own, and those of its hubs. Those of the
        types `outside`, which bring messages to the process, do not count.
        """
        own = sum(
            not handle.cancelled()
            and handle._context.get(PROCESS) is process
            and not isinstance(getattr(handle._callback, "__self__", None), outside)
            for handle in self._scheduled  # type: ignore[attr-defined]
        )
        return own + sum(self._contexts[hub].get(PROCESS) is process for hub in self._ticks)

    # What would come from outside

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        return await self.network.connect(protocol_factory, host, port)


# A hub's own, in seconds.
TICK = 0.1


class _Tick:
    """A hub's timer."""

    def __init__(self, loop: SimulatedLoop, hub: Hub) -> None:
        self._loop, self._hub = loop, hub

    def cancel(self) -> None:
        self._loop.forget(self._hub)


def _own_task(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    **options: Any,
) -> asyncio.Task[Any]:
    task = asyncio.Task(work, loop=loop, **options)
    context = options.get("context")
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None:
        process.tasks.add(task)
    return task


def kill(process: Process) -> None:
    """End a process in the middle of whatever it does."""
    process.dead = True
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    loop.killed += process.tasks
    for task in process.tasks:
        # It never ends, and nothing is wrong with that.
        task._log_destroy_pending = False  # type: ignore[attr-defined]


def bury(loop: SimulatedLoop) -> None:
    """End the tasks of killed processes: a run is over, its loop is not closed yet, and the log is
    muted. Else the collector would end them in a later run.
    """
    with warnings.catch_warnings(action="ignore"):
        while loop.killed:
            coroutine: Any = loop.killed.pop().get_coro()
            with suppress(Exception):
                coroutine.close()
        gc.collect()
