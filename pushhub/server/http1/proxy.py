"""The proxy to the origin as a guest of a connection, for one request.

The origin's response passes byte for byte: no added `Date` or `Server`, no changed case of names.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import structlog

from pushhub.http.problem import Problem
from pushhub.http.traceparent import TRACEPARENT, in_context
from pushhub.origin.exchange import ProxyExchange
from pushhub.origin.request import ProxiedRequest, pairs_of
from pushhub.server.http1.tunnel import join
from pushhub.server.http1.upload import Upload
from pushhub.server.sockets import reset

if TYPE_CHECKING:
    from pushhub.http.byte_budget import ByteLease
    from pushhub.http.response import Response
    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import EventStream
    from pushhub.origin.client.response import UpstreamResponse
    from pushhub.origin.origin import Origin
    from pushhub.origin.shared.table import SharedRequest
    from pushhub.origin.tunnels import Tunnel
    from pushhub.server.http1.head import Head

log = structlog.get_logger(__name__)

# A larger piece is written immediately, even if the next one has arrived.
SMALL_BYTES = 64 * 1024


class ProxyHost(Protocol):
    """The connection, for the proxy."""

    keep: bool

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def client(self) -> str:
        """The address of the peer."""

    @property
    def draining(self) -> bool:
        """Whether this response is the last one of its connection."""

    def lease(self) -> ByteLease:
        """The bytes of the request in memory."""

    def resume_body(self) -> None:
        """Read the body again; the time of the pause counts for no deadline."""

    def cache(self, raw: bytes, head: Head, shared: SharedRequest) -> None:
        """Cache a parsed request under its bytes."""

    def response_ended(self) -> None:
        """The response has ended."""

    def detach(self) -> bytes:
        """Take the transport from the connection; returns the bytes after the request."""

    def conclude(self, outcome: Response | Hold | EventStream) -> None:
        """Serve the request with a response, hold or stream of pushhub itself."""

    def refuse(self, problem: Problem) -> Response:
        """The response for a problem, in the client's format and with CORS."""

    @property
    def traceparent(self) -> str:
        """The context of the request's span; empty without one."""

    def log_response(self, status: int, size: int) -> None:
        """Write a response that passed through to the access log."""


class OriginProxy:
    """One request to the origin."""

    __slots__ = ("_delimited", "_host", "_origin", "_pending", "_request", "_response", "_size",
                 "_status", "_task", "_upload", "_writable")  # fmt: skip

    def __init__(self, host: ProxyHost, origin: Origin) -> None:
        self._host = host
        self._origin = origin
        self._request: ProxiedRequest
        self._upload: Upload | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        # The response, after its head. `_delimited`: its end shows without the connection's end.
        self._status = 0
        self._size = 0
        self._delimited = False
        self._response: UpstreamResponse | None = None
        # Pieces that wait for the next one, if that has arrived: one system call for both, which
        # costs more than all other work.
        self._pending: list[bytes] = []

    # Guest

    def begin(self, head: Head, raw: bytes) -> None:
        """Route the request; its body follows by `forward`."""
        pairs = pairs_of(raw)
        if not raw.startswith(b"/", len(head.method) + 1) and head.path != "*":
            # The host of a whole URL replaces the header Host (RFC 9112 §3.2.2).
            host = (b"Host", head.headers["host"].encode("latin-1"))
            pairs = (host, *(pair for pair in pairs if pair[0].lower() != b"host"))
        headers = head.headers
        if traceparent := self._host.traceparent:
            pairs = in_context(traceparent, pairs)
            headers = {**headers, TRACEPARENT: traceparent}
        self._request = ProxiedRequest(
            head.method,
            head.target,
            pairs,
            client=self._host.client,
            trusted=self._origin.proxies.trusts(self._host.client),
            http_1_0=head.http_1_0,
            upgrades=head.upgrades,
            headers=headers,
        )
        if head.length != 0:
            self._upload = Upload(self._host, origin_takes_whole(self._origin, head))
        origin, request = self._origin, self._request
        resources, outcome = origin.resources, None
        try:
            origin.route(request)
            resource = None if resources is None else resources.get(request)
            if resources is not None and resource is not None:
                shared = resources.repeatable(request, resource)
                if shared is not None:
                    self._host.cache(raw, head, shared)
                wait_request = request.wait_request
                outcome = resource.serve_from_memory(wait_request.wait, wait_request.condition)
        except Problem as problem:
            self.refuse(problem)
            return
        if outcome is not None:
            self._host.conclude(outcome)
        else:
            exchange = ProxyExchange(origin, request, resource, self)
            self._task = origin.spawn(self._run(exchange))

    def forward(self, raw: bytes, payload: bytes, *, done: bool) -> None:
        """Add bytes to the request's body."""
        assert self._upload is not None
        try:
            self._upload.feed(payload, done=done)
        except Problem as problem:
            self.fail(problem)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def fail(self, problem: Problem) -> None:
        """The client's body is refused, or too slow."""
        self._leave()
        self.refuse(problem)

    def _leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._upload is not None:
            self._upload.release()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def shutdown(self) -> None:
        """The server shuts down; a response that has started is completed."""

    def abort_unfinished(self) -> None:
        """The process exits during the response. If only the end of the connection would end the
        body, a reset shows that it is truncated.
        """
        if self._status and not self._delimited:
            reset(self._host.transport)

    # Writer of the exchange (`origin/exchange.py`)

    def inform(self, head: bytes) -> None:
        transport = self._host.transport
        # An interim response may arrive after the client has disconnected.
        if not (self._request.http_1_0 or transport.is_closing()):
            transport.write(head)
            # A client that waited for `100 Continue` sends its body only now.
            self._host.resume_body()

    @property
    def framed(self) -> bool:
        # HTTP/1.0 has no chunks: there a body ends with its connection (RFC 9112 §6.3).
        return not self._request.http_1_0

    def open(self, response: UpstreamResponse) -> None:
        host, framed = self._host, self.framed
        self._status = response.status
        self._response = response
        self._delimited = (
            response.bodiless or response.length is not None or (response.chunked and framed)
        )
        host.keep = host.keep and self._delimited and not host.draining
        opening = response.opening(framed=framed)
        if not host.keep:
            opening += b"Connection: close\r\n"
        elif not framed:
            opening += b"Connection: keep-alive\r\n"
        self._pending.append(opening + b"\r\n")
        if not response.is_readable:
            self._flush()

    async def write(self, piece: bytes) -> None:
        assert self._response is not None
        self._size += len(piece)
        self._pending.append(piece)
        if len(piece) > SMALL_BYTES or not self._response.is_readable:
            self._flush()
            if self._writable is not None:
                await self._writable

    def _flush(self) -> None:
        if self._pending:
            self._host.transport.writelines(self._pending)
            self._pending = []

    def end(self) -> None:
        self._flush()
        self._host.log_response(self._status, self._size)
        self._host.response_ended()

    def switch(self, response: UpstreamResponse, tunnel: Tunnel) -> None:
        connection, transport = response.connection, self._host.transport
        assert connection is not None
        response.connection = None
        transport.write(response.raw)
        self._host.log_response(response.status, 0)
        far, early = connection.transport, connection.detach()
        stall_seconds = self._origin.tunnels.stall_seconds
        join(transport, self._host.detach(), far, early, tunnel, stall_seconds)

    def refuse(self, problem: Problem) -> None:
        transport = self._host.transport
        if not self._status:
            self._host.conclude(self._host.refuse(problem))
            return
        # A truncated response must not look complete: with a length the end of the connection shows
        # that, else only a reset does.
        self._flush()
        self._host.log_response(self._status, self._size)
        if self._delimited:
            transport.close()
        else:
            reset(transport)

    def become(self, outcome: Response | Hold | EventStream) -> None:
        self._host.conclude(outcome)

    async def _run(self, exchange: ProxyExchange) -> None:
        try:
            body = None if self._upload is None else await self._upload.body()
            await exchange.run(body)
        except Problem as problem:
            self.refuse(problem)
        except Exception:
            method = exchange.request.method
            self._origin.log.exception(log, "exchange.failed", method=method)
            self.refuse(Problem("internal", "Internal error; see the server log."))
        finally:
            if self._upload is not None:
                self._upload.release()


def origin_takes_whole(origin: Origin, head: Head) -> bool:
    """Whether the body is received completely before the origin gets the request. A client that
    expects `100 Continue` waits for the origin's.
    """
    length = head.length
    return length is not None and length <= origin.whole_body_bytes and not head.expects
