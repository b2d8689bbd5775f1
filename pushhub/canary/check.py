"""One check: its time, its limit and its verdict."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pushhub.canary.board import CanaryBoard, Change

log = structlog.get_logger(__name__)

# A check that takes longer has failed: clients of the long-poll contract expect their events in
# milliseconds, and a store that is away for a moment has its own metric.
CHECK_SECONDS = 10.0


class CanaryFailure(Exception):
    """A check has failed; the message is a sentence with the reason."""


class CheckRunner:
    """Runs checks, each within `limit` seconds, and records their verdicts. A check that turns red
    writes one line to the log, and one that is green again another.
    """

    def __init__(self, board: CanaryBoard, now: Callable[[], float]) -> None:
        self.board = board
        self.now = now
        self.limit = CHECK_SECONDS

    async def run(
        self, name: str, work: Coroutine[None, None, None], begun: float | None = None
    ) -> bool:
        """Run one check; whether it succeeded. `begun` is the start of its latency, by default
        now.
        """
        begun = self.now() if begun is None else begun
        reason = await self.attempt(work)
        self.settle(name, begun, reason)
        return not reason

    async def attempt(self, work: Coroutine[None, None, None]) -> str:
        """Run a part of a check: the reason why it failed, or an empty text."""
        try:
            async with asyncio.timeout(self.limit):
                await work
        except TimeoutError:
            return f"There was no result within {self.limit:g} s."
        except CanaryFailure as error:
            return str(error)
        except StoreError as error:
            return f"The store failed: {error}"
        except Exception as error:
            # A refused connection, a response that cannot be read, or a fault of the hub.
            return f"{type(error).__name__}: {error}"
        return ""

    def settle(self, name: str, begun: float, reason: str = "") -> None:
        """Record a verdict."""
        now = self.now()
        change = self.board.settle(name, now, now - begun, reason)
        if change is not None:
            _write(change)


def _write(change: Change) -> None:
    about = {"check": change.check, "seconds": round(change.seconds, 1)}
    if change.reason:
        log.warning("canary.failed", reason=change.reason, **about)
    else:
        log.info("canary.works_again", **about)
