"""One run of a route: an internal request whose whole response is kept."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

from pushhub.origin.shared.representation import Representation

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A response that may wait is kept whole while it is compared, one for each waiting request that
# runs at this moment. A larger one, and an event stream, pass through to the client.
MAX_KEPT_BYTES = 1024 * 1024


class RouteRun:
    """The response of a route to one internal request.

    `representation` is None if the response has begun to pass through to the client: it is larger
    than `MAX_KEPT_BYTES`, or a stream of events.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What a route keeps in the scope ends with its run.
        self._scope = {**scope, "state": dict(scope.get("state", {}))}
        self._receive = receive
        self._send = send
        self._start: Message | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._passes = False

    async def run(self, app: ASGIApp) -> Representation | None:
        """Run the route to its end. Its errors pass to the caller.

        It has a task and a context of its own, so that context variables of one run are not those
        of the next.
        """
        context = contextvars.copy_context()
        task = asyncio.create_task(self._run(app), context=context)
        try:
            await task
        finally:
            task.cancel()
        if self._passes or self._start is None:
            return None
        headers = tuple((bytes(name), bytes(value)) for name, value in self._start["headers"])
        return Representation(self._start["status"], b"", headers, b"".join(self._body))

    async def _run(self, app: ASGIApp) -> None:
        await app(self._scope, self._receive, self._take)

    async def _take(self, message: Message) -> None:
        if self._passes:
            await self._send(message)
        elif message["type"] == "http.response.start":
            self._start = message
            if _is_stream(message):
                await self._pass()
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            self._body.append(body)
            self._size += len(body)
            if self._size > MAX_KEPT_BYTES:
                await self._pass(more=message.get("more_body", False))
        # Others, such as debug information for test clients, are for the client of a plain request.

    async def _pass(self, *, more: bool = True) -> None:
        """Send what is kept; from here on everything passes through."""
        self._passes = True
        body, self._body = b"".join(self._body), []
        assert self._start is not None
        await self._send(self._start)
        if body or not more:
            await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _is_stream(start: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in start.get("headers", ())
    )
