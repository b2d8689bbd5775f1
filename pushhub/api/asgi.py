"""The ASGI driver: runs the endpoints on any ASGI server, with one task for each request.

`server/http1/connection.py` does the same without tasks. This one is for embedding, and for servers
other than uvicorn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from pushhub.api.limits import counted
from pushhub.http.problem import Problem
from pushhub.http.raw_response import RawResponse
from pushhub.http.request import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    MAX_TARGET_BYTES,
    Request,
)
from pushhub.http.response import Part, Response
from pushhub.hub.hold import Hold
from pushhub.hub.stream import EventStream

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from pushhub.api.cors import Variant
    from pushhub.api.endpoints import Endpoints, Match
    from pushhub.api.listener_guard import ListenerGuard
    from pushhub.auth.caller import Caller
    from pushhub.auth.limit_fields import LimitRefusal

# Time and bytes for which the body of a refused request is discarded. With unread bytes the close
# of the server would send a reset, and the client might lose the response.
DISCARD_SECONDS = 2
DISCARD_BYTES = 16 * 1024 * 1024

_CLOSE = (b"connection", b"close")


async def refused(
    endpoints: Endpoints,
    guard: ListenerGuard,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    own: bool = True,
) -> bool:
    """Refuse a request that the guard of its listener does not accept; False if it does. `own` is
    whether pushhub itself serves the request, not the origin.
    """
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"host", b"origin")
    }
    try:
        guard.check_host(headers)
        if own:
            guard.check_page(headers)
    except Problem as problem:
        exchange = AsgiExchange(endpoints, scope, receive, send)
        await exchange.write_outcome(endpoints.service.refuse(problem))
        return True
    return False


async def handled(endpoints: Endpoints, scope: Scope, receive: Receive, send: Send) -> bool:
    """Handle a request of an endpoint; False if no endpoint has its path."""
    match = endpoints.match(route_path(scope))
    if match is not None:
        await AsgiExchange(endpoints, scope, receive, send).run(match)
    return match is not None


def route_path(scope: Scope) -> str:
    """The path, still percent-encoded, without the server's prefix (`root_path`)."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    path = raw.decode("latin-1").partition("?")[0]
    root = scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(root + "/") else path


class ClientDisconnected(Exception):
    """The client has disconnected."""


class RefusedHead(Exception):
    """The head of the request refuses it: its body is not read."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


class AsgiWaiter:
    """A hold's driver for a task: the reply of the hold is the result of a future."""

    __slots__ = ("address", "begun", "future")

    def __init__(self, address: str = "", begun: float | None = None) -> None:
        # The client's address, and when its stream began if it reads one, for the console.
        self.address = address
        self.begun = begun
        self.future: asyncio.Future[Response | Part | EventStream] = (
            asyncio.get_running_loop().create_future()
        )

    def deliver(self, reply: Response | Part | EventStream) -> None:
        if not self.future.done():
            self.future.set_result(reply)


class AsgiExchange:
    """One request and its response."""

    def __init__(self, endpoints: Endpoints, scope: Scope, receive: Receive, send: Send) -> None:
        self.endpoints = endpoints
        self.scope = scope
        self.receive = receive
        self.send = send
        self.variant: Variant = endpoints.cors.variant(None)
        self.caller: Caller | None = None

    async def run(self, match: Match) -> None:
        """Read the request, run its endpoint, and write the outcome."""
        try:
            try:
                request = await self._request(match)
            except Problem as problem:
                await self._refuse(self.endpoints.service.refuse(match.refusal(problem)))
                return
            except RefusedHead as refused:
                await self._refuse(refused.response)
                return
            outcome = self.endpoints.handle(request, match)
            self.caller = request.caller
            await self._write(outcome)
        except ClientDisconnected:
            pass

    async def write_outcome(self, outcome: Response | Hold | EventStream) -> None:
        """Write an outcome that another component decided."""
        origin = dict(self.scope["headers"]).get(b"origin")
        self.variant = self.endpoints.cors.variant(
            None if origin is None else origin.decode("latin-1")
        )
        try:
            await self._write(outcome)
        except ClientDisconnected:
            pass

    def count(self) -> LimitRefusal | None:
        """Count the request by its address; the refusal if it is one too many."""
        callers = self.endpoints.service.callers
        self.caller = callers.of(callers.network(self._address()))
        return None if self.caller is None else self.caller.request()

    def _address(self) -> str:
        # The ASGI server decides which proxies it trusts, as with uvicorn's --proxy-headers.
        client = self.scope.get("client")
        return client[0] if client else ""

    async def _request(self, match: Match) -> Request:
        scope = self.scope
        headers = self._headers(scope["headers"])
        self.variant = self.endpoints.cors.variant(headers.get("origin"))
        path = route_path(scope)
        query = scope["query_string"].decode("latin-1")
        if len(path) + len(query) > MAX_TARGET_BYTES:
            raise Problem(
                "uri-too-long",
                f"A URL has at most {MAX_TARGET_BYTES} bytes; POST /v1/poll accepts long lists.",
                limit=MAX_TARGET_BYTES,
            )
        method = scope["method"]
        if (refusal := self.count()) is not None:
            problem = match.refusal(refusal.problem())
            raise RefusedHead(self.endpoints.service.refuse(problem))
        secure = scope.get("scheme") == "https"
        request = Request(method, path, query, headers, b"", self._address(), secure=secure)
        request.caller = self.caller
        length = headers.get("content-length", "")
        # HTTP/2 needs no header that announces a body.
        bodiless = scope.get("http_version", "1.1") in ("1.0", "1.1") and (
            length in ("", "0") and "transfer-encoding" not in headers
        )
        if not bodiless:
            refused = self.endpoints.check_head(request, match)
            if refused is not None:
                raise RefusedHead(refused)
        request.body = await self._body(request, match.max_body(method), length)
        return request

    def _headers(self, pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
        headers: dict[str, str] = {}
        total = 0
        for raw_name, raw_value in pairs:
            size = len(raw_name) + len(raw_value)
            total += size
            if size > MAX_HEADER_BYTES or total > MAX_HEADERS_BYTES or len(headers) > MAX_HEADERS:
                raise Problem(
                    "header-too-large",
                    f"A header has at most {MAX_HEADER_BYTES} bytes, all have {MAX_HEADERS_BYTES},"
                    f" and there are at most {MAX_HEADERS}.",
                    limit=MAX_HEADERS_BYTES,
                )
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    async def _body(self, request: Request, limit: int, length: str) -> bytes:
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        service = self.endpoints.service
        seconds = service.settings.body_seconds
        lease = service.lease(request.client)
        lease.expect(int(length) if length.isdigit() else 0)
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message: Message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnected
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise _too_large(limit)
                    if not message.get("more_body", False):
                        return bytes(body)
                    lease.hold(len(body))
        except TimeoutError:
            late = f"The body did not arrive within {seconds:g} seconds."
            raise Problem("timeout", late) from None
        finally:
            lease.release()

    async def _refuse(self, response: Response) -> None:
        """Respond before the body was read. Its bytes are discarded within bounds, unless the
        client waits for the response before it sends them (RFC 9110 §10.1.1).
        """
        headers = dict(self.scope["headers"])
        waits = headers.get(b"expect", b"").lower() == b"100-continue"
        await self._respond(response.with_headers(_CLOSE), more=not waits)
        if waits:
            return
        left = DISCARD_BYTES
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                while left > 0:
                    message = await self.receive()
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        break
                    left -= len(message.get("body", b""))
        except TimeoutError:
            pass
        await self.send({"type": "http.response.body", "body": b""})

    async def _write(self, outcome: Response | Hold | EventStream | Part) -> None:
        if self.caller is not None and not isinstance(outcome, Part):
            outcome = counted(self.caller, outcome, self.endpoints.service)
        if isinstance(outcome, Hold):
            outcome = await self._completed(outcome)
        if isinstance(outcome, Response):
            await self._respond(outcome)
        elif isinstance(outcome, EventStream):
            await self._stream(outcome)

    async def _completed(
        self, hold: Hold, begun: float | None = None
    ) -> Response | Part | EventStream:
        """Wait for the hold. When the client disconnects first, drop the hold immediately."""
        client = self.scope.get("client")
        waiter = AsgiWaiter(client[0] if client else "", begun)
        hold.attach(waiter)
        if waiter.future.done():
            return waiter.future.result()
        disconnect = self._receiving()
        try:
            while True:
                ends: set[asyncio.Future[Any]] = {waiter.future, disconnect}
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if waiter.future.done():
                    return waiter.future.result()
                if disconnect.result()["type"] == "http.disconnect":
                    self.endpoints.service.hub.dropped(hold)
                    raise ClientDisconnected
                disconnect = self._receiving()
        finally:
            hold.drop()
            disconnect.cancel()

    def _receiving(self) -> asyncio.Task[Message]:
        async def receive() -> Message:
            return await self.receive()

        return asyncio.create_task(receive())

    async def _respond(self, response: Response, *, more: bool = False) -> None:
        headers = self._headers_of(response)
        if response.has_length:
            headers.append((b"content-length", b"%d" % len(response.body)))
        await self.send(
            {"type": "http.response.start", "status": response.status, "headers": headers}
        )
        body = b"" if self.scope["method"] == "HEAD" else response.body
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def _stream(self, stream: EventStream) -> None:
        opening = stream.opening
        headers = self._headers_of(opening)
        await self.send(
            {"type": "http.response.start", "status": opening.status, "headers": headers}
        )
        step = stream.next(None)
        while step is not None:
            if isinstance(step, Hold) and self.caller is not None:
                self.caller.add(step)
            part = await self._completed(step, stream.begun) if isinstance(step, Hold) else step
            assert isinstance(part, Part), "a stream's holds are completed with parts"
            try:
                # A server that applies back-pressure waits here until the reader has kept up.
                await self.send(
                    {"type": "http.response.body", "body": part.body, "more_body": True}
                )
            except BaseException:
                stream.leave()
                raise
            step = stream.next(part)
        await self.send({"type": "http.response.body", "body": b""})

    def _headers_of(self, response: Response) -> list[tuple[bytes, bytes]]:
        if isinstance(response, RawResponse):
            # An origin's own, with its own CORS or none; ASGI requires names in lower case.
            headers = [(name.lower(), value) for name, value in response.headers]
        else:
            headers = [*response.headers, *self.variant.headers]
        if self.endpoints.service.hub.draining:
            headers.append(_CLOSE)
        return headers


def _too_large(limit: int) -> Problem:
    return Problem("too-large", f"A body of this route has at most {limit} bytes.", limit=limit)
