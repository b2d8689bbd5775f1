"""One client's HTTP/1.1 connection, without a task: a held request costs a few slotted objects.

uvicorn creates connections through its option `http=`. A connection reads one whole request at a
time, runs its endpoint, and writes the response, or waits until the hold is completed. A guest
(`handoff.py`) serves requests without an endpoint: uvicorn's own protocol, or the proxy to the
origin.

`states.py` has the states and their transitions. The connection changes its state in the callbacks
of its transport, in `deliver` and in `expire`, with the help of reader and writer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import structlog

from pushhub.api.access_log import CLIENT_LEFT
from pushhub.api.limits import charge_abandoned, counted
from pushhub.http.byte_budget import FREE_BYTES
from pushhub.http.problem import Problem
from pushhub.http.response import Part, Response
from pushhub.hub.hold import Hold
from pushhub.hub.stream import EventStream
from pushhub.hub.wheel import OFF, TICK_SECONDS
from pushhub.server.http1.deadlines import check_deadline
from pushhub.server.http1.handoff import Handoff
from pushhub.server.http1.head import MAX_HEAD_BYTES
from pushhub.server.http1.limits import (
    LINGER_BYTES,
    LINGER_SECONDS,
    MAX_AHEAD_BYTES,
    SLICE_SECONDS,
    WRITE_HIGH_WATER,
)
from pushhub.server.http1.slow_refusal import SlowRefusal
from pushhub.server.http1.states import BODY, GUEST, HEAD, HELD, IDLE, LINGER, NAMES, STREAM
from pushhub.server.sockets import has_unread, reset

if TYPE_CHECKING:
    from pushhub.api.access_log import AccessEntry
    from pushhub.api.endpoints import Match, Outcome
    from pushhub.auth.caller import Caller
    from pushhub.http.body import RequestBody
    from pushhub.http.byte_budget import ByteLease
    from pushhub.http.connection_record import ConnectionRecord
    from pushhub.server.http1.context import ConnectionContext
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.header_lines import HeaderLines
    from pushhub.server.http1.request_cache import ClientHeaders
    from pushhub.server.http1.stream_framing import StreamFraming

log = structlog.get_logger(__name__)


class Connection(asyncio.Protocol):
    """The state of one connection."""

    __slots__ = (
        "access", "advancing", "body", "buffer", "caller", "client_headers", "context", "framing",
        "half_closed", "handoff", "head", "hold", "keep", "lease", "lines", "match", "network",
        "paused", "peer", "record", "since", "state", "tick", "transport",
    )  # fmt: skip

    def __init__(self, context: ConnectionContext) -> None:
        self.context = context
        self.state = IDLE
        self.buffer = b""
        self.lines: HeaderLines = context.lines
        self.keep = True
        self.advancing = False
        self.half_closed = False
        self.paused = False
        self.tick = OFF
        self.since = 0.0
        # None between two requests, so that an idle connection keeps nothing else in memory.
        self.head: Head | None = None
        self.access: AccessEntry | None = None
        self.match: Match | None = None
        self.body: RequestBody | None = None
        self.lease: ByteLease | None = None
        self.hold: Hold | None = None
        self.framing: StreamFraming | None = None
        self.handoff: Handoff | None = None
        self.peer: str | None = None
        self.record: ConnectionRecord | None = None
        # The parsed headers of its last poll.
        self.client_headers: ClientHeaders | None = None
        self.network: str | None = ""
        self.caller: Caller | None = None
        self.transport: asyncio.Transport

    # The transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio.Transport.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(WRITE_HIGH_WATER)
        context = self.context
        context.server_state.connections.add(self)  # type: ignore[arg-type]
        self.since = context.now()
        context.wheel.set(self, self.since + context.keep_alive_seconds)
        context.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        context = self.context
        context.server_state.connections.discard(self)
        context.wheel.clear(self)
        context.released(self)
        if self.record is not None:
            self.record.end(context.now() - self.since if self.state == IDLE else None)
        hold, self.hold = self.hold, None
        if hold is not None and not hold.done:
            charge_abandoned(self.caller, hold)
            hold.drop()
            context.hub.dropped(hold)
        elif hold is None and self.framing is not None:
            self.framing.leave()
        if self.handoff is not None:
            self.handoff.guest.connection_lost(exc)
            self.handoff = None
        context.writer.log_access(self, CLIENT_LEFT)
        self.framing = self.body = self.head = self.match = None
        self.buffer = b""
        self.release_bytes()
        self.keep = False

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == IDLE and not self.buffer:
            if not self.paused and self.context.reader.serve_cached(self, data):
                return
            self.buffer = data
            self.advance()
        elif state <= BODY:
            self.buffer += data
            if not self.paused:
                self.advance()
            elif len(self.buffer) > MAX_AHEAD_BYTES:
                self.transport.pause_reading()
        elif state == LINGER:
            self.since -= len(data) * LINGER_SECONDS / LINGER_BYTES
            if self.context.now() - self.since > LINGER_SECONDS:
                self.transport.abort()
        else:
            self._buffer_ahead(data)

    def eof_received(self) -> bool:
        # A client that has sent FIN may still read, as `nc` does: earlier requests get their
        # responses. A wait ends: for nginx, too, a client that sends FIN during a wait has
        # disconnected.
        hold = self.hold
        if self.state == HELD:
            stays = hold is None or not hold.waits
        else:
            # A page that still reads its body would wait for bytes that cannot come. The origin
            # does not work for a client that has probably disconnected; nginx and Go do the same.
            page = (
                self.state == GUEST
                and (self.body is None or self.body.done)
                and self.handoff is not None
                and not self.handoff.is_proxy
            )
            stays = page or (self.state == IDLE and self.buffer != b"")
        self.half_closed = stays
        if not self.buffer:
            self.keep = False
        return stays

    def pause_writing(self) -> None:
        self.paused = True
        self.since = self.context.now()
        self.context.wheel.set(self, self.since + self.context.write_seconds)
        if self.handoff is not None:
            self.handoff.guest.pause_writing()

    def resume_writing(self) -> None:
        self.paused = False
        self.transport.set_write_buffer_limits(WRITE_HIGH_WATER)
        if self.handoff is not None:
            self.handoff.guest.resume_writing()
        else:
            if self.state == STREAM and self.hold is None:
                self.context.writer.continue_stream(self)
            self.advance()

    def shutdown(self) -> None:
        """The server shuts down: close the connection after the request that is being served."""
        self.keep = False
        if self.state == IDLE:
            # A request that is on its way is served: most proxies repeat no POST.
            if not has_unread(self.transport):
                self.transport.close()
        elif self.handoff is not None:
            self.handoff.guest.shutdown()

    def abort_unfinished(self) -> None:
        """The process exits: reset the connection if a response is incomplete."""
        if self.handoff is not None:
            self.handoff.guest.abort_unfinished()
        elif self.transport.is_closing() and self.transport.get_write_buffer_size():
            # The rest of the last response is lost: the truncated response must not look complete.
            reset(self.transport)

    # Requests

    def advance(self) -> None:
        """Process the buffered bytes, until a request waits or is incomplete. Responses are written
        in the order of their requests.
        """
        if self.advancing:
            return
        self.advancing = True
        context = self.context
        end = context.now() + SLICE_SECONDS
        try:
            while self.buffer and not self.paused and not self.transport.is_closing():
                if context.now() > end:
                    if len(self.buffer) > MAX_AHEAD_BYTES:
                        self.transport.pause_reading()
                    asyncio.get_running_loop().call_soon(self.advance)
                    return
                if self.state <= HEAD:
                    if not context.reader.read_head(self):
                        break
                elif self.state == BODY:
                    if not context.reader.read_body(self):
                        break
                elif not self.release_held():
                    break
        except Problem as problem:
            self.refuse(problem)
        except Exception:
            # This may run during a fan-out; the error must not reach its other readers.
            context.hub.log.exception(log, "connection.failed")
            self.transport.abort()
        finally:
            self.advancing = False
        if self.half_closed and self.state <= BODY and not self.paused:
            context.writer.end(self, linger=False)
        elif not self.transport.is_reading() and len(self.buffer) <= MAX_AHEAD_BYTES:
            self.resume_reading()

    def resume_reading(self) -> None:
        """Read from the transport again, unless the client has sent its last byte or is slowed."""
        slowed = isinstance(self.hold, SlowRefusal)
        if not (slowed or self.half_closed or self.transport.is_closing()):
            self.transport.resume_reading()

    def conclude(self, outcome: Outcome) -> None:
        """Write a response, park a hold or open a stream."""
        if self.caller is not None:
            outcome = counted(self.caller, outcome, self.context.service)
        if isinstance(outcome, Hold):
            head = self.head
            if outcome.waits and head is not None and self.access is None:
                plain = head.keep and not head.http_1_0 and head.method != "HEAD"
                if plain:
                    # No response depends on such a head; without it the hold takes less memory.
                    self.head = self.match = None
            if outcome.waits and self.access is not None:
                self.access.waits_since = self.context.now()
            self.state = HELD
            self.hold = outcome
            outcome.attach(self)
        elif isinstance(outcome, Response):
            self.context.writer.respond(self, outcome)
        else:
            self.context.writer.open_stream(self, outcome)

    def hand_off(self, head: Head, raw: bytes) -> None:
        """Hand the request to a guest."""
        context = self.context
        if head.upgrades and context.uvicorn_upgrades(head):
            # The next bytes are WebSocket frames, not HTTP.
            context.writer.discard_access(self)
            context.hand_to_uvicorn(self, raw)
            return
        self.state = GUEST
        self.handoff = Handoff(self, head)
        self.handoff.begin(head, raw)

    @property
    def begun(self) -> float | None:
        """The start of the stream that is being written, on the hub's clock; None without one."""
        return None if self.framing is None else self.framing.begun

    @property
    def client(self) -> str:
        """The address of the client."""
        if self.peer is None:
            peer = self.transport.get_extra_info("peername")
            local = self.context.local_address
            self.peer = str(peer[0]) if isinstance(peer, tuple) else local(self.transport)
        return self.peer

    def _buffer_ahead(self, data: bytes) -> None:
        """Buffer bytes that arrive while a request is being served."""
        self.buffer += data
        if self.handoff is None:
            self.release_held()
        else:
            self.handoff.received()
        size = len(self.buffer)
        counts = size > FREE_BYTES or self.lease is not None
        full = counts and self.state >= HELD and self._exceeds_budget(size)
        if (full or size > MAX_AHEAD_BYTES) and not self.transport.is_closing():
            self.transport.pause_reading()

    def hold_bytes(self, size: int) -> None:
        """Count `size` bytes of an incomplete request, or of requests that wait for their turn.

        Raises:
            Problem: they are too many, for the client or for the process.
        """
        if self.lease is None:
            self.lease = self.context.lease(self)
        self.lease.hold(size)

    def release_bytes(self) -> None:
        """The request is complete, or given up."""
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.release()

    def _exceeds_budget(self, size: int) -> bool:
        try:
            self.hold_bytes(size)
        except Problem:
            return True
        return False

    def release_held(self) -> bool:
        """Complete the hold or stream if a whole newer request has arrived; False if it stays."""
        hold = self.hold
        if self.state not in (HELD, STREAM) or not (
            b"\r\n\r\n" in self.buffer or len(self.buffer) > MAX_HEAD_BYTES
        ):
            return False
        if self.state == STREAM:
            if hold is None:
                return False
            self.hold = None
            hold.drop()
            self.context.writer.close_stream(self)
            return True
        if hold is not None:
            charge_abandoned(self.caller, hold)
        released = None if hold is None else hold.hurry()
        if released is False:
            self.context.wheel.set(self, self.context.now() + TICK_SECONDS)
        return bool(released)

    def refuse(self, problem: Problem) -> None:
        """Respond with a problem, and close: after a malformed request no next one can be found."""
        hold, handoff, context, head = self.hold, self.handoff, self.context, self.head
        self.hold = self.handoff = self.framing = self.body = None
        if hold is not None:
            hold.drop()
        self.keep = False
        self.buffer = b""
        self.release_bytes()
        if self.match is not None:
            problem = self.match.refusal(problem)
        if handoff is not None:
            handoff.guest.connection_lost(None)
        request = None if head is None else head.request(b"", self.client, context.proxies)
        response = context.service.refuse(problem, request)
        context.writer.respond(self, response, linger=True)

    def fail_body(self, problem: Problem) -> None:
        """The body of a guest's request is too slow: respond with a problem, if still possible."""
        assert self.handoff is not None
        self.handoff.guest.fail(problem)

    # Delivery

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """Write the result of the completed hold, and process the bytes that came meanwhile."""
        self.hold = None
        writer = self.context.writer
        if isinstance(reply, Response):
            writer.respond(self, reply)
        elif isinstance(reply, Part):
            writer.write_part(self, reply)
            writer.continue_stream(self)
        elif isinstance(reply, EventStream):
            writer.open_stream(self, reply)
        if self.buffer or self.half_closed:
            self.advance()

    # Time

    def expire(self) -> None:
        """Check the deadline of the present state; the wheel calls this, sometimes too early."""
        check_deadline(self)

    def __repr__(self) -> str:
        return f"<Connection {NAMES[self.state]}>"
