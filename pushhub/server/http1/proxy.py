"""The proxy to the origin as the guest of a connection, for one request.

It writes the origin's response byte for byte: no date, no server, no other case of header names.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from pushhub.http.problem import Problem
from pushhub.origin.exchange import ProxyExchange
from pushhub.origin.request import ProxiedRequest, pairs_of
from pushhub.server.http1.limits import MAX_AHEAD_BYTES
from pushhub.server.http1.tunnel import join
from pushhub.server.sockets import reset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.http.response import Response
    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import EventStream
    from pushhub.origin.client.response import UpstreamResponse
    from pushhub.origin.origin import Origin
    from pushhub.origin.shared.table import SharedRequest
    from pushhub.server.http1.head import Head

log = structlog.get_logger(__name__)

# A larger piece is written at once, however soon the next one comes.
SMALL_BYTES = 64 * 1024


class ProxyHost(Protocol):
    """Whose connection it is."""

    keep: bool

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def client(self) -> str:
        """The address of the peer."""

    @property
    def leaving(self) -> bool:
        """Whether what is answered now is the last on its connection."""

    def learn(self, raw: bytes, head: Head, shared: SharedRequest) -> None:
        """Remember the parsed form of a request with these bytes."""

    def returned(self) -> None:
        """The response has ended."""

    def part(self) -> bytes:
        """Leave the connection for good; returns what has arrived after the request."""

    def become(self, outcome: Response | Hold | EventStream) -> None:
        """Something else than the origin's response answers the request."""

    def refuse(self, problem: Problem) -> Response:
        """A problem as an answer, for whoever asked from wherever."""

    def passed(self, status: int, size: int) -> None:
        """A response passed through; for the log of requests."""


class OriginProxy:
    """One request that belongs to the origin."""

    __slots__ = ("_ahead", "_asked", "_ends", "_host", "_origin", "_response",
                 "_room", "_size", "_status", "_task", "_upload")  # fmt: skip

    def __init__(self, host: ProxyHost, origin: Origin) -> None:
        self._host = host
        self._origin = origin
        self._asked: ProxiedRequest
        self._upload: Upload | None = None
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        # Of the response, once it has begun.
        self._status = 0
        self._size = 0
        self._ends = False
        self._response: UpstreamResponse | None = None
        # What is to be written with what comes next, since that is there already: a system call
        # costs more than all the rest.
        self._ahead: list[bytes] = []

    # What the connection tells its guest

    def begin(self, head: Head, raw: bytes) -> None:
        """The head is there; the body follows by `forward`."""
        pairs = pairs_of(raw)
        if not raw.startswith(b"/", len(head.method) + 1) and head.path != "*":
            # A whole URL says which host is meant, whatever Host says (RFC 9112 §3.2.2).
            host = (b"Host", head.headers["host"].encode("latin-1"))
            pairs = (host, *(pair for pair in pairs if pair[0].lower() != b"host"))
        self._asked = ProxiedRequest(
            head.method,
            head.target,
            pairs,
            client=self._host.client,
            trusted=self._origin.proxies.trusts(self._host.client),
            http_1_0=head.http_1_0,
            upgrades=head.upgrades,
            headers=head.headers,
        )
        if head.length != 0:
            self._upload = Upload(self._host.transport)
        origin, request = self._origin, self._asked
        resources, outcome = origin.resources, None
        try:
            origin.route(request)
            resource = None if resources is None else resources.get(request)
            if resources is not None and resource is not None:
                shared = resources.repeatable(request, resource)
                if shared is not None:
                    self._host.learn(raw, head, shared)
                wait_request = request.wait_request
                outcome = resource.serve_from_memory(wait_request.wait, wait_request.condition)
        except Problem as problem:
            self.refuse(problem)
            return
        if outcome is not None:
            self._host.become(outcome)
        else:
            exchange = ProxyExchange(origin, request, resource, self)
            self._task = origin.spawn(self._run(exchange))

    def forward(self, raw: bytes, payload: bytes, *, done: bool) -> None:
        """More of the request's body."""
        assert self._upload is not None
        self._upload.feed(payload, done=done)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def shutdown(self) -> None:
        """The server is leaving; what has begun is still written."""

    def cut(self) -> None:
        """The process ends, and the client has not read all of it. Where only the connection's end
        would end the body, it must not look like that.
        """
        if self._status and not self._ends:
            reset(self._host.transport)

    # Where the passage writes

    def inform(self, head: bytes) -> None:
        transport = self._host.transport
        # It comes from the origin's connection, perhaps when the client has just gone.
        if not (self._asked.http_1_0 or transport.is_closing()):
            transport.write(head)

    @property
    def framed(self) -> bool:
        # HTTP/1.0 has no chunks: there a body ends with its connection (RFC 9112 §6.3).
        return not self._asked.http_1_0

    def open(self, response: UpstreamResponse) -> None:
        host, framed = self._host, self.framed
        self._status = response.status
        self._response = response
        self._ends = (
            response.bodiless or response.length is not None or (response.chunked and framed)
        )
        host.keep = host.keep and self._ends and not host.leaving
        opening = response.opening(framed=framed)
        if not host.keep:
            opening += b"Connection: close\r\n"
        elif not framed:
            opening += b"Connection: keep-alive\r\n"
        self._ahead.append(opening + b"\r\n")
        if not response.is_readable:
            self._flush()

    async def write(self, piece: bytes) -> None:
        assert self._response is not None
        self._size += len(piece)
        self._ahead.append(piece)
        if len(piece) > SMALL_BYTES or not self._response.is_readable:
            self._flush()
            if self._room is not None:
                await self._room

    def _flush(self) -> None:
        if self._ahead:
            self._host.transport.writelines(self._ahead)
            self._ahead = []

    def end(self) -> None:
        self._flush()
        self._host.passed(self._status, self._size)
        self._host.returned()

    def switch(self, response: UpstreamResponse) -> None:
        connection, transport = response.connection, self._host.transport
        assert connection is not None
        response.connection = None
        transport.write(response.raw)
        self._host.passed(response.status, 0)
        join(transport, self._host.part(), connection.transport, connection.detach())

    def refuse(self, problem: Problem) -> None:
        transport = self._host.transport
        if not self._status:
            self._host.become(self._host.refuse(problem))
            return
        # Half a response must not look like a whole one: where its length is known the end of the
        # connection shows that, else only a reset does.
        self._flush()
        self._host.passed(self._status, self._size)
        if self._ends:
            transport.close()
        else:
            reset(transport)

    def become(self, outcome: Response | Hold | EventStream) -> None:
        self._host.become(outcome)

    async def _run(self, exchange: ProxyExchange) -> None:
        try:
            body = None if self._upload is None else self._upload.whole()
            await exchange.run(body)
        except Problem as problem:
            self.refuse(problem)
        except Exception:
            method = exchange.request.method
            self._origin.log.exception(log, "passage.failed", method=method)
            self.refuse(Problem("internal", "Internal error; see the server log."))


class Upload:
    """A request's body on its way to the origin. Who sends faster than the origin takes waits."""

    __slots__ = ("_done", "_more", "_pieces", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []
        self._size = 0
        self._done = False
        self._more: asyncio.Future[None] | None = None

    def feed(self, piece: bytes, *, done: bool) -> None:
        """Take in a piece; the last one is `done`."""
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
        self._done = self._done or done
        if self._size > MAX_AHEAD_BYTES and not self._transport.is_closing():
            self._transport.pause_reading()
        more, self._more = self._more, None
        if more is not None and not more.done():
            more.set_result(None)

    def whole(self) -> bytes | Upload:
        """The body itself if all of it is there, as nearly always; else what it streams from."""
        return b"".join(self._pieces) if self._done else self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._pieces:
                piece = b"".join(self._pieces)
                self._pieces.clear()
                self._size = 0
                if not self._transport.is_reading() and not self._transport.is_closing():
                    self._transport.resume_reading()
                yield piece
            elif self._done:
                return
            else:
                self._more = asyncio.get_running_loop().create_future()
                await self._more
