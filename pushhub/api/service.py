"""The context of every endpoint: the hub, the authority, the settings. `app.py` makes it once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from pushhub.http.problem import Problem, retry_after
from pushhub.hub.hold import Hold
from pushhub.runtime import Runtime
from pushhub.store.base import StoreError
from pushhub.tasks import TaskSet

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from pushhub.api.bosh_handler import BoshHandler
    from pushhub.auth.authenticator import Authenticator
    from pushhub.auth.tickets import Tickets
    from pushhub.http.response import Response
    from pushhub.hub.hub import Hub
    from pushhub.origin.shared.notifications import Notifications
    from pushhub.settings import Settings
    from pushhub.store.base import Retention


log = structlog.get_logger(__name__)


def store_unavailable(error: StoreError) -> Problem:
    """The problem while the store cannot be used: nothing was acknowledged."""
    return Problem("store-unavailable", error.public, headers=(retry_after(1),))


class OtherWorkers(Protocol):
    """The other workers on this machine."""

    async def open(self, service: Service) -> None:
        """Listen to them."""

    async def metrics(self) -> list[str]:
        """The text of `/metrics` of each worker alone."""


@dataclass(slots=True)
class Service:
    """One hub and its surroundings. Endpoints are functions of it and of a request."""

    hub: Hub
    authority: Authenticator
    settings: Settings
    runtime: Runtime = field(default_factory=Runtime)
    rejected: dict[str, int] = field(default_factory=dict)
    """The number of responses with each problem, by its slug."""
    tickets: Tickets | None = None
    """Set when the store is open. The store keeps the secret that all workers share."""
    peers: OtherWorkers | None = None
    """The other workers on this machine, where there are any."""
    bosh: BoshHandler | None = None
    """Handles the requests to `/http-bind`, where an XMPP domain is served."""
    notifications: Notifications | None = None
    """Notifications of changed resources, where there is an origin."""
    sessions: Callable[[], int] | None = None
    """Counts the sessions, where an endpoint has sessions."""
    session_bytes: Callable[[], int] | None = None
    """The bytes that these sessions hold."""
    replaced: Mapping[str, int] = field(default_factory=lambda: {"died": 0, "hung": 0})
    """The workers that the supervisor has replaced, by reason; only the first worker knows."""
    stored: int = 0
    """The channels of the store at the last request for the metrics."""
    leaving: bool = False
    """Whether the process is about to end: /readyz says so before the first hold is completed."""
    retention: Callable[[str], Retention] = field(init=False)
    """The retention of a channel, by its name."""
    _tasks: TaskSet = field(default_factory=TaskSet)

    def __post_init__(self) -> None:
        # pydantic reads private attributes slowly, and every publish needs this.
        self.retention = self.settings.retentions()

    def later(self, work: Coroutine[None, None, Response]) -> Hold:
        """The hold of a request that awaits the store. Such requests are rare: a list, a delete."""
        hold = Hold()
        self._tasks.spawn(self._finish(hold, work))
        return hold

    async def _finish(self, hold: Hold, work: Coroutine[None, None, Response]) -> None:
        try:
            response = await work
        except Problem as problem:
            response = self.refuse(problem)
        except StoreError as error:
            response = self.refuse(store_unavailable(error))
        except Exception:
            self.hub.log.exception(log, "request.failed")
            response = self.refuse(Problem("internal", "Internal error; see the server log."))
        hold.complete(response)

    def refuse(self, problem: Problem) -> Response:
        """Count a problem, and make its response."""
        self.rejected[problem.slug] = self.rejected.get(problem.slug, 0) + 1
        return problem.response()

    async def close(self) -> None:
        """Wait for the requests that still await the store."""
        await self._tasks.wait()
