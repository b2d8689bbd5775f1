"""Requests that pass through to the origin, on plain ASGI.

ASGI loses some parts: header names come in lower case, reason phrases are the server's, and
trailers, 1xx and WebSockets are dropped. `server/http1/proxy.py` passes all of that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from pushhub.api.asgi import AsgiExchange
from pushhub.http.problem import Problem
from pushhub.origin.exchange import ProxyExchange
from pushhub.origin.headers import end_to_end
from pushhub.origin.request import ProxiedRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from pushhub.api.endpoints import Endpoints
    from pushhub.http.response import Response
    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import EventStream
    from pushhub.origin.client.response import UpstreamResponse
    from pushhub.origin.origin import Origin
    from pushhub.origin.tunnels import Tunnel

log = structlog.get_logger(__name__)


class AsgiProxy:
    """One request and its response: the `ClientWriter` of a `ProxyExchange`."""

    framed = False

    def __init__(
        self, origin: Origin, endpoints: Endpoints, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._origin = origin
        self._endpoints = endpoints
        self._scope = scope
        self._receive = receive
        self._send = send
        self._exchange_task: asyncio.Task[None]
        self._read = asyncio.Event()
        self._begun: asyncio.Future[None] | None = None
        self._ended = False
        self._outcome: Response | Hold | EventStream | None = None

    async def run(self) -> None:
        """Pass the request on, until its client disconnects."""
        exchange = AsgiExchange(self._endpoints, self._scope, self._receive, self._send)
        if (refusal := exchange.count()) is not None:
            await exchange.write_outcome(self._endpoints.service.refuse(refusal.problem()))
            return
        exchange_task = self._exchange_task = self._origin.spawn(self._pass())
        disconnect = asyncio.ensure_future(self._disconnected())
        try:
            await asyncio.wait({exchange_task, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            exchange_task.cancel()
            disconnect.cancel()
            await asyncio.wait({exchange_task, disconnect})
        if self._outcome is not None:
            await exchange.write_outcome(self._outcome)
        elif self._ended:
            await self._started()
            await self._send({"type": "http.response.body", "body": b""})
        # Else the server breaks off a response without an end.

    async def _pass(self) -> None:
        scope = self._scope
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        path = path.partition("?")[0]
        client = scope.get("client")
        request = ProxiedRequest(
            scope["method"],
            f"{path}?{query}" if query else path,
            tuple((bytes(name), bytes(value)) for name, value in scope["headers"]),
            client=client[0] if client else "",
            scheme=scope.get("scheme", "http"),
            http_1_0=scope.get("http_version") == "1.0",
        )
        has_body = request.headers.get("content-length", "0") != "0" or (
            "transfer-encoding" in request.headers
        )
        if not has_body:
            self._read.set()
        try:
            self._origin.route(request)
            resources = self._origin.resources
            resource = None if resources is None else resources.get(request)
            exchange = ProxyExchange(self._origin, request, resource, self)
            await exchange.run(await self._sent(request) if has_body else None)
        except Problem as problem:
            self.refuse(problem)
        except Exception:
            self._origin.log.exception(log, "exchange.failed", method=request.method)
            self.refuse(Problem("internal", "Internal error; see the server log."))

    async def _sent(self, request: ProxiedRequest) -> AsyncIterator[bytes] | bytes:
        """The body: its bytes if it is small, else an iterator (see `Upload` of our own server)."""
        body, length = self._body(), request.headers.get("content-length", "")
        expects = request.headers.get("expect", "").lower() == "100-continue"
        if length.isdigit() and int(length) <= self._origin.whole_body_bytes and not expects:
            lease = self._endpoints.service.lease(request.client)
            whole = bytearray()
            try:
                async for piece in body:
                    whole += piece
                    lease.hold(len(whole))
            finally:
                lease.release()
            return bytes(whole)
        return body

    async def _body(self) -> AsyncIterator[bytes]:
        """The request's body. If the client disconnects in the middle, the iterator never ends: the
        task of the exchange is cancelled. A body that is too slow cancels it too, and gets 408.
        """
        origin, credit = self._origin, self._origin.body_seconds
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                async with asyncio.timeout(credit):
                    message = await self._receive()
            except TimeoutError:
                self._time_out()
                await asyncio.Event().wait()
            earned = len(message.get("body", b"")) / origin.min_rate
            credit = min(origin.body_seconds, credit - (loop.time() - begun) + earned)
            if message["type"] == "http.disconnect":
                self._read.set()
                await asyncio.Event().wait()
            if piece := message.get("body", b""):
                yield piece
            if not message.get("more_body", False):
                self._read.set()
                return

    def _time_out(self) -> None:
        origin = self._origin
        self.refuse(
            Problem(
                "timeout",
                f"The body came more slowly than {origin.min_rate} bytes a second for"
                f" {origin.body_seconds:g} seconds.",
            )
        )
        self._exchange_task.cancel()

    async def _disconnected(self) -> None:
        """Wait until the client disconnects."""
        await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # ClientWriter

    def inform(self, head: bytes) -> None:
        """ASGI has no 1xx."""

    def open(self, response: UpstreamResponse) -> None:
        start = {
            "type": "http.response.start",
            "status": response.status,
            "headers": [(name.lower(), value) for name, value in end_to_end(response.pairs)],
        }
        self._begun = asyncio.ensure_future(self._start(start))

    async def _start(self, message: dict[str, object]) -> None:
        await self._send(message)

    async def write(self, piece: bytes) -> None:
        await self._started()
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _started(self) -> None:
        assert self._begun is not None
        await self._begun

    def end(self) -> None:
        self._ended = True

    def switch(self, response: UpstreamResponse, tunnel: Tunnel) -> None:
        raise AssertionError("ASGI has a scope of its own for WebSockets")

    def refuse(self, problem: Problem) -> None:
        if self._begun is None:
            self._outcome = self._endpoints.service.refuse(problem)

    def become(self, outcome: Response | Hold | EventStream) -> None:
        self._outcome = outcome
