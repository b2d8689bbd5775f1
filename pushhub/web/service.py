"""What every face is given: the hub, who may do what, and the settings. Made once, by `app.py`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from pushhub.hub.hold import Hold
from pushhub.protocol.problem import Problem, retry_after
from pushhub.runtime import Runtime
from pushhub.store.base import StoreError
from pushhub.web.console_desk import Desk
from pushhub.web.console_door import Door

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from pushhub.auth.authority import Authority
    from pushhub.auth.tickets import Tickets
    from pushhub.bosh.sessions import Sessions
    from pushhub.hub.hub import Hub
    from pushhub.origin.notices import Notices
    from pushhub.protocol.answer import Answer
    from pushhub.settings import Settings
    from pushhub.store.base import Retention


log = structlog.get_logger(__name__)


def store_unavailable(error: StoreError) -> Problem:
    """The refusal when the store cannot take or give anything: nothing was acknowledged."""
    return Problem("store-unavailable", error.public, headers=(retry_after(1),))


class Peers(Protocol):
    """The other workers on this machine."""

    async def open(self, service: Service) -> None:
        """Be there for them."""

    async def metrics(self) -> list[str]:
        """What each of them would answer to `/metrics` by itself."""


@dataclass(slots=True)
class Service:
    """One hub and its surroundings. Faces are functions of it and of a request."""

    hub: Hub
    authority: Authority
    settings: Settings
    runtime: Runtime = field(default_factory=Runtime)
    rejected: dict[str, int] = field(default_factory=dict)
    """How often each problem was answered, by its slug."""
    tickets: Tickets | None = None
    """Made when the store is open, which keeps the secret that all workers share."""
    peers: Peers | None = None
    """The other workers on this machine, where there are any."""
    bosh: Sessions | None = None
    """The XMPP sessions, where a domain is served."""
    notices: Notices | None = None
    """Where to tell that a resource changed, where there is an origin."""
    sessions: Callable[[], int] | None = None
    """How many sessions there are, where a face has any."""
    replaced: Mapping[str, int] = field(default_factory=lambda: {"died": 0, "hung": 0})
    """How many workers the supervisor has replaced, by reason; the first worker alone is told."""
    stored: int = 0
    """How many channels the store had when the metrics were asked for last."""
    leaving: bool = False
    """Whether the process is on its way out: readyz says so before the first hold is answered."""
    retention: Callable[[str], Retention] = field(init=False)
    """How much of a channel is kept, by its name."""
    door: Door = field(init=False)
    """Who may use the console."""
    desk: Desk = field(init=False)
    """What this process tells in the console."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        # pydantic finds private attributes slowly, and every publish asks.
        self.retention = self.settings.retentions()
        self.door = Door(lambda: self.hub.now())
        self.desk = Desk(self)

    def later(self, work: Coroutine[None, None, Answer]) -> Hold:
        """The hold of a request that awaits the store: rare ones, such as a list or a delete."""
        hold = Hold()
        task = asyncio.get_running_loop().create_task(self._finish(hold, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return hold

    async def _finish(self, hold: Hold, work: Coroutine[None, None, Answer]) -> None:
        try:
            answer = await work
        except Problem as problem:
            answer = self.refuse(problem)
        except StoreError as error:
            answer = self.refuse(store_unavailable(error))
        except Exception:
            self.hub.log.exception(log, "request.failed")
            answer = self.refuse(Problem("internal", "pushhub made a mistake; its log has more."))
        hold.complete(answer)

    def refuse(self, problem: Problem) -> Answer:
        """Count a problem, and answer it."""
        self.rejected[problem.slug] = self.rejected.get(problem.slug, 0) + 1
        return problem.answer()

    async def close(self) -> None:
        """Wait for the requests that still await the store."""
        if self._tasks:
            await asyncio.wait(self._tasks)
