"""The origin as a whole: its routes, the connections to it, and what it takes part in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from pushhub.origin.client import Client
from pushhub.origin.routes import Found, Routes
from pushhub.protocol.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import Stream
    from pushhub.origin.asked import Asked, Pairs
    from pushhub.origin.client import Response
    from pushhub.protocol.answer import Answer
    from pushhub.settings import Settings


class Instructs(Protocol):
    """What GRIP makes of a passage (`origin/grip.py`)."""

    def mark(self) -> object:
        """The state of the channels before the origin is asked, so that nothing published
        meanwhile is missed.
        """

    def request(self, pairs: Pairs) -> Pairs:
        """The headers of a request with GRIP's added, and without what only we may say."""

    def concerns(self, response: Response) -> bool:
        """Whether a response holds an instruct."""

    async def outcome(
        self, found: Found, asked: Asked, response: Response, mark: object
    ) -> Answer | Hold | Stream:
        """What the client gets instead of the response.

        Raises:
            Problem: the instruct makes no sense.
        """


class Origin:
    """Where requests go that are not pushhub's own."""

    def __init__(self, settings: Settings) -> None:
        self.routes = Routes(settings)
        self.forwarded = settings.forwarded
        self.connect_seconds = settings.origin_connect_seconds
        self._prefix = settings.prefix + "/"
        self._tasks: set[asyncio.Task[None]] = set()
        self.client = Client(
            settings.origin_connect_seconds, settings.origin_seconds, settings.origin_connections
        )
        self.instructs: Instructs | None = None

    def find(self, asked: Asked) -> Found:
        """The route that a request takes.

        Raises:
            Problem: 404, no route matches.
        """
        found = self.routes.find(asked.host, asked.path)
        if found is None:
            raise Problem("no-route", "No route leads from this address to an origin.")
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

    async def open(self) -> None:
        """Make the pool of connections."""
        await self.client.open()

    async def close(self) -> None:
        """End what is under way, and close every connection to the origin."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.client.close()
