"""What the event loop asks of the writer thread of the SQLite store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pushhub.store.base import StoreError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pushhub.log.event import Event
    from pushhub.store.base import Append, Outcome


@dataclass(slots=True)
class AppendsJob:
    """A call of `append` in the queue, and its result."""

    appends: list[Append]
    done: Callable[[list[Outcome]], None]
    size: int
    outcomes: list[Outcome]
    events: list[Event]


@dataclass(slots=True)
class DeleteJob:
    """A call of `delete` in the queue, and its result."""

    channel: str
    done: asyncio.Future[bool]
    outcome: bool | StoreError = False


@dataclass(slots=True)
class RetainedJob:
    """A call of `retained` in the queue, and its result."""

    namespace: str
    done: asyncio.Future[int]
    outcome: int | StoreError = 0


Job = AppendsJob | DeleteJob | RetainedJob


def settle(job: DeleteJob | RetainedJob) -> None:
    """Report the result of a job to its caller."""
    done: asyncio.Future[Any] = job.done
    if done.done():
        return
    if isinstance(job.outcome, StoreError):
        done.set_exception(job.outcome)
    else:
        done.set_result(job.outcome)
