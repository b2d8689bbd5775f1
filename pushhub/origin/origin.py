"""The origin as a whole: its routes, the connections to it, and what it takes part in."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import structlog

from pushhub.hub.counted_log import CountedLog
from pushhub.origin.client import Client
from pushhub.origin.misdirected import Misdirected
from pushhub.origin.notices import Notices
from pushhub.origin.routes import Found, Routes
from pushhub.origin.sharing import Sharing
from pushhub.protocol.problem import Problem
from pushhub.protocol.proxies import Proxies

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pushhub.hub.hub import Hub
    from pushhub.origin.asked import Asked
    from pushhub.origin.grip import Grip
    from pushhub.protocol.answer import Answer
    from pushhub.settings import Settings

log = structlog.get_logger(__name__)


class Origin:
    """Where requests go that are not pushhub's own."""

    def __init__(self, settings: Settings) -> None:
        self.routes = Routes(settings)
        self.forwarded = settings.forwarded
        self.proxies = Proxies(settings.trusted_proxies)
        self.connect_seconds = settings.origin_connect_seconds
        self._prefix = settings.prefix + "/"
        self.misdirected = Misdirected(settings.prefix)
        self._tasks: set[asyncio.Task[None]] = set()
        self.client = Client(
            settings.origin_connect_seconds, settings.origin_seconds, settings.origin_connections
        )
        self.log = CountedLog()
        self.grip: Grip | None = None
        self.sharing: Sharing | None = None
        self.notices: Notices | None = None

    def share(
        self,
        hub: Hub,
        settings: Settings,
        refuse: Callable[[Problem], Answer],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Let requests wait on resources, through `hub`. `refuse` makes an answer of a problem."""
        self.log = hub.log
        self.sharing = Sharing(self, hub, settings, refuse, uniform)
        self.notices = Notices(hub, self.sharing)

    def find(self, asked: Asked) -> Found:
        """The route that a request takes.

        Raises:
            Problem: 404, no route matches.
        """
        # What asks about the server as a whole goes where its root does (RFC 9110 §9.3.7).
        path = "/" if asked.path == "*" else asked.path
        found = self.routes.find(asked.host, path)
        if found is None:
            raise Problem(
                "no-route",
                "No route leads from this address to an origin; pushhub's own routes are under "
                f"{self._prefix}.",
            )
        return found

    def owns(self, path: str) -> bool:
        """Whether a path is the origin's, and not pushhub's own."""
        return not path.startswith(self._prefix)

    def keep(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run something in a task of its own, until it ends or pushhub does."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def open(self) -> None:
        """Begin to ask, and listen to notifications. The hub is open."""
        self.client.open()
        if self.notices is not None:
            self.notices.open()
        if self.grip is not None:
            self.grip.open()

    async def close(self) -> None:
        """End what is under way, and close every connection to the origin."""
        if self.notices is not None:
            self.notices.close()
        if self.grip is not None:
            self.grip.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.client.close()
