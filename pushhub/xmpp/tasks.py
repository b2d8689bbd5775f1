"""The background tasks of one XMPP server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from pushhub.store.base import StoreError
from pushhub.xmpp.model.stanza import StanzaError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pushhub.hub.counted_log import CountedLog

log = structlog.get_logger(__name__)


class BackgroundTasks:
    """Runs coroutines and logs their errors. `settle` awaits all of them."""

    __slots__ = ("_log", "_tasks")

    def __init__(self, counted_log: CountedLog) -> None:
        self._log = counted_log
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine in the background."""
        task = asyncio.get_running_loop().create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait until no task is left."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except StoreError as error:
            self._log.warning(log, "xmpp.store_failed", error=str(error))
        except StanzaError as error:
            condition = error.condition
            self._log.info(log, "xmpp.refused", condition, condition=condition)
        except Exception:
            self._log.exception(log, "xmpp.failed")

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        return f"<BackgroundTasks {len(self._tasks)}>"
