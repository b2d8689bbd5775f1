"""The health of the store, for `/readyz`: whether reads and writes work, and the error if not.

Every publish and every shared read is evidence. After a failure a small probe follows every few
seconds: a node that a load balancer has left gets no publish that could show its recovery. Without
a failure there are no probes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from pushhub.hub.wheel import OFF
from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.store.base import REASONS, REGISTER, Append, NamespaceFull, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.counted_log import CountedLog
    from pushhub.hub.wheel import Wheel
    from pushhub.store.base import Outcome, Store

log = structlog.get_logger(__name__)

# Load balancers probe about as often.
PROBE_SECONDS = 2.0
# One of pushhub's own channels, deleted again when a probe has succeeded.
PROBE = "$probe"


class Health:
    """The last results of the store: `reads` and `writes` are None, or the error."""

    __slots__ = (
        "_log",
        "_now",
        "_probes",
        "_size",
        "_store",
        "_wheel",
        "reads",
        "refused",
        "tick",
        "writes",
    )

    def __init__(self, store: Store, log: CountedLog) -> None:
        self._store = store
        self._log = log
        self._wheel: Wheel | None = None
        self._size = 0
        self._probes: set[asyncio.Task[None]] = set()
        self.tick = OFF
        self.reads: StoreError | None = None
        self.writes: StoreError | None = None
        self.refused = dict.fromkeys(REASONS, 0)
        """The number of refused events, by reason."""

    def open(self, wheel: Wheel, now: Callable[[], float]) -> None:
        """Allow probes from now on."""
        self._wheel, self._now = wheel, now

    def wrote(self, appends: list[Append], outcomes: list[Outcome]) -> None:
        """Record the outcomes of publishes."""
        failed = [outcome for outcome in outcomes if isinstance(outcome, StoreError)]
        for error in failed:
            self.refused[error.reason] += 1
            if isinstance(error, NamespaceFull):
                self._log.warning(
                    log,
                    "namespace.full",
                    error.namespace,
                    namespace=error.namespace,
                    limit=error.limit,
                )
        # Neither too many publishes at a time nor a full namespace is a failure of the store.
        failed = [error for error in failed if error.reason not in ("busy", "namespace-full")]
        if failed:
            # As large as the failed event: on a full disk a small one may still find room.
            self._size = max(len(append.draft.data) for append in appends)
            self._fail("writes", failed[0])
        elif self.writes is not None and not all(isinstance(o, StoreError) for o in outcomes):
            self._recover("writes")

    def read(self, error: StoreError | None) -> None:
        """Record the result of a read."""
        if error is not None:
            self._fail("reads", error)
        elif self.reads is not None:
            self._recover("reads")

    def _fail(self, what: str, error: StoreError) -> None:
        if getattr(self, what) is None:
            # A store may accept one publish and refuse the next.
            self._log.warning(
                log, f"store.{what}_fail", error.reason, reason=error.reason, error=str(error)
            )
        setattr(self, what, error)
        self._probe_later()

    def _recover(self, what: str) -> None:
        self._log.info(log, f"store.{what}_work")
        setattr(self, what, None)

    def _probe_later(self) -> None:
        if self.tick == OFF and not self._probes and self._wheel is not None:
            self._wheel.set(self, self._now() + PROBE_SECONDS)

    def expire(self) -> None:
        """Probe what has failed."""
        task = asyncio.get_running_loop().create_task(self._probe())
        self._probes.add(task)
        task.add_done_callback(self._probed)

    def _probed(self, task: asyncio.Task[None]) -> None:
        self._probes.discard(task)
        if self.reads is not None or self.writes is not None:
            self._probe_later()

    async def _probe(self) -> None:
        if self.reads is not None:
            try:
                await self._store.read(PROBE, Start.NOW, 1)
            except StoreError as error:
                self.read(error.with_traceback(None))
            else:
                self.read(None)
        if self.writes is not None:
            appends = [Append(PROBE, Draft(bytes(self._size)), REGISTER)]
            settled: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
            self._store.append(appends, settled.set_result)
            [outcome] = await settled
            if isinstance(outcome, StoreError):
                self._fail("writes", outcome)
                return
            self._recover("writes")
            try:
                await self._store.delete(PROBE)
            except StoreError:
                pass  # One event stays; the next probe replaces it.

    async def close(self) -> None:
        """Wait for a probe that is under way."""
        if self._wheel is not None:
            self._wheel.clear(self)
            self._wheel = None
        if self._probes:
            await asyncio.wait(self._probes)
