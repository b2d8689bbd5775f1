"""A connection to an origin: it sends one request at a time, and receives the response.

It is an asyncio protocol without streams or tasks, because every request that passes through pays
for it. It keeps what it receives as it was sent, which no client library does. It is in one of
five phases:

    IDLE  in the pool
    HEAD  a request was sent; `_buffer` has the start of a response's head
    BODY  the head was received, the body is being received
    DONE  the response is complete, and its reader has not released it yet
    DEAD  closed, or detached
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

from pushhub.http.body import ChunkedBody
from pushhub.http.problem import Problem
from pushhub.origin.client.request_body import RequestBodySender, framed
from pushhub.origin.client.response import UpstreamResponse, bad_response, may_begin
from pushhub.origin.client.slots import Use

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

IDLE, HEAD, BODY, DONE, DEAD = range(5)
NAMES = ("idle", "head", "body", "done", "dead")

# As much as pushhub's own server accepts as a head; nginx's large buffers are four of 8 KiB.
MAX_HEAD_BYTES = 64 * 1024
# nginx gives up on more than a few, too; each costs a client a read.
MAX_INTERIM = 16
# The bytes that are kept for a client that reads more slowly than its origin writes, and the other
# way round.
AHEAD_BYTES = 64 * 1024


class UpstreamConnection(asyncio.Protocol):
    """A connection.

    `responses` counts those that it has completed; `last_active` is the time of
    its last event, on the loop's clock. `on_released` is called once for each use, at its end.
    """

    __slots__ = (
        "_body", "_buffer", "_interim", "_left", "_loop", "_method", "_on_interim", "_on_released",
        "_paused", "_pieces", "_poller", "_problem", "_raw_pieces", "_response", "_reusable",
        "_sender", "_size", "_waiter", "body_may_follow", "last_active", "phase", "responses",
        "transport", "unseen", "use",
    )  # fmt: skip

    def __init__(self, on_released: Callable[[UpstreamConnection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_released = on_released
        self.transport: asyncio.Transport
        self.phase = IDLE
        self.responses = 0
        self.last_active = 0.0
        self.unseen = False
        """Whether the origin has sent nothing since the request, and may never have seen it."""
        self.use = Use()
        self.body_may_follow = False
        """Whether a body may still follow the last response, which had none."""
        self._method = ""
        self._buffer = b""
        self._on_interim: Callable[[bytes], None] | None = None
        self._interim = 0
        self._response: UpstreamResponse | None = None
        self._problem: Problem | None = None
        self._reusable = False
        # The response's body: its framing, and the pieces that were received and not read yet.
        self._body: ChunkedBody | None = None
        self._left: int | None = 0
        self._pieces: list[bytes] = []
        self._raw_pieces: list[bytes] = []
        self._size = 0
        # The reader that waits for more of the response.
        self._waiter: asyncio.Future[None] | None = None
        # Sends a body that comes in pieces.
        self._sender: RequestBodySender | None = None
        self._paused = False
        # Asks the kernel what has arrived; created when the connection is used for a second time.
        self._poller: select.poll | None = None

    # One use of it

    async def send(
        self,
        method: str,
        head: bytes,
        body: AsyncIterable[bytes] | bytes | None,
        on_interim: Callable[[bytes], None] | None,
        *,
        chunked: bool,
    ) -> UpstreamResponse:
        """Send a request; returns when the head of its response was received.

        Raises:
            Problem: 502 or 504. `unseen` says whether the origin may have seen the request.
        """
        self.phase = HEAD
        self.last_active = self._loop.time()
        self.unseen = True
        self._method = method
        self._on_interim = on_interim
        self._interim = 0
        self._reusable = False
        self._response = self._problem = self._body = None
        if body is None:
            self.transport.write(head)
        elif isinstance(body, bytes):
            self.transport.writelines((head, *framed(body, last=True)) if chunked else (head, body))
        else:
            self._sender = RequestBodySender(self.transport, self._touch)
            if self._paused:
                # The origin has not read all of an earlier request.
                self._sender.pause()
            self.transport.write(head)
            self._sender.start(body, chunked=chunked)
        while self._response is None:
            if self._problem is not None:
                raise self._problem
            await self._wait()
        self._response.connection = self
        return self._response

    def is_silent(self) -> bool:
        """Whether nothing has arrived on an open connection that is unused, neither bytes nor its
        end: the loop may not have read them yet.
        """
        if self._poller is None and (sock := self.transport.get_extra_info("socket")) is not None:
            self._poller = select.poll()
            self._poller.register(sock.fileno(), select.POLLIN)
        # A connection in memory has no kernel that knows more.
        return self._poller is None or not self._poller.poll(0)

    @property
    def is_readable(self) -> bool:
        """Whether `read` returns without waiting."""
        return bool(self._pieces) or self.phase != BODY or self._problem is not None

    async def read(self) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
            Problem: the body broke off, or the origin was silent for too long.
        """
        while not self._pieces:
            if self._problem is not None:
                raise self._problem
            if self.phase != BODY:
                return b""
            await self._wait()
        return self._take(self._pieces)

    async def read_raw(self) -> bytes:
        """As `read`, but as on the wire: a chunked body with its chunks and trailers."""
        if self._body is None:
            return await self.read()
        while not self._raw_pieces:
            if self._problem is not None:
                raise self._problem
            if self.phase != BODY:
                return b""
            await self._wait()
        return self._take(self._raw_pieces)

    def _take(self, pieces: list[bytes]) -> bytes:
        self._pieces, self._raw_pieces, self._size = [], [], 0
        transport = self.transport
        if self.phase == BODY and not transport.is_reading() and not transport.is_closing():
            self.last_active = self._loop.time()
            transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self) -> None:
        """End the use. A connection that cannot carry another request is closed."""
        sender = self._sender
        if sender is not None and sender.cancel():
            self._reusable = False
        if self.phase == DONE and self._reusable:
            self.phase = IDLE
            self.responses += 1
            self.last_active = self._loop.time()
        elif self.phase != DEAD:
            self.abort()
        self._drop_sender()
        self._pieces, self._raw_pieces = [], []
        self._buffer = b""
        self._response = self._body = self._on_interim = self._waiter = None
        self._on_released(self)

    def detach(self) -> bytes:
        """Give the transport away permanently, for another protocol; returns the bytes that have
        arrived for it.
        """
        self.phase = DEAD
        self._drop_sender()
        early, self._buffer = self._buffer, b""
        self._on_released(self)
        return early

    def abort(self) -> None:
        """Close immediately."""
        self.phase = DEAD
        self.transport.abort()

    def fail(self, problem: Problem) -> None:
        """Close immediately, with an error for the reader of the response."""
        self._problem = problem
        self._wake()
        self.abort()

    def check_silence(self, now: float, silent_seconds: float) -> None:
        """Fail if the origin was silent for too long while it had to act."""
        if (
            self.phase in (HEAD, BODY)
            and now - self.last_active >= silent_seconds
            and self._is_origins_turn
        ):
            self.fail(Problem("origin-timeout", "The origin did not respond in time; try later."))

    @property
    def _is_origins_turn(self) -> bool:
        """Whether the exchange waits for the origin, and not for the client."""
        if not self.transport.is_reading():
            return False
        sender = self._sender
        return sender is None or sender.is_done or sender.is_blocked

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _touch(self) -> None:
        self.last_active = self._loop.time()

    def _drop_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.early.close()

    # Events of the transport

    def pause_writing(self) -> None:
        self._paused = True
        if self._sender is not None:
            self._sender.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._sender is not None:
            self._sender.resume()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have all of asyncio.Transport's methods, and are no subclass.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(AHEAD_BYTES)
        self.last_active = self._loop.time()

    def data_received(self, data: bytes) -> None:
        self.last_active = self._loop.time()
        self.unseen = False
        if self.phase == BODY:
            self._receive_body(data)
        elif self.phase == HEAD:
            self._buffer = self._buffer + data if self._buffer else data
            self._receive_heads()
        else:
            # A response without a request must not become the response to the next one.
            self._reusable = False
            if self.phase == IDLE:
                self.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._reusable = False
        self.resume_writing()
        sender = self._sender if self.phase in (HEAD, BODY) else None
        if sender is not None and (received := sender.early.read()):
            self.data_received(received)
        if self._sender is not None:
            self._sender.early.close()
        if self.phase == BODY and self._body is None and self._left is None and exc is None:
            self.phase = DEAD
            self._wake()
            return
        if self.phase == HEAD or self.phase == BODY:
            self._problem = Problem("bad-gateway", "The origin closed the connection too early.")
            self._wake()
        idle = self.phase == IDLE
        self.phase = DEAD
        if idle:
            self._on_released(self)

    # The response

    def _receive_heads(self) -> None:
        """Parse the head, or several: those of 1xx come before the final one."""
        received = self._buffer
        try:
            while self.phase == HEAD:
                end = self._buffer.find(b"\r\n\r\n")
                if (end if end >= 0 else len(self._buffer)) > MAX_HEAD_BYTES:
                    raise bad_response(f"its head is larger than {MAX_HEAD_BYTES} bytes")
                if end < 0:
                    if not may_begin(self._buffer):
                        # The rest cannot make a response of it, so there is no use in waiting.
                        raise bad_response("it does not begin as HTTP/1 does")
                    return
                raw, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
                self._receive_head(UpstreamResponse(raw, self._method))
        except Problem as problem:
            # On a reused connection, bytes that begin no response belong to an earlier exchange.
            self.unseen = self.responses > 0 and not self._interim and not may_begin(received)
            self.fail(problem)

    def _receive_head(self, response: UpstreamResponse) -> None:
        if response.status < 200 and response.status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise bad_response("it has too many 1xx before it")
            if self._on_interim is not None:
                self._on_interim(response.raw)
            return
        self._response = response
        self._reusable = response.reusable and response.status != 101
        self.body_may_follow = response.bodiless and response.names_body
        if response.status == 101:
            self.phase = DONE
        elif response.bodiless or response.length == 0:
            self._finish(self._buffer)
        else:
            self.phase = BODY
            self._body = ChunkedBody() if response.chunked else None
            self._left = response.length
            rest, self._buffer = self._buffer, b""
            if rest:
                self._receive_body(rest)
        self._wake()

    def _receive_body(self, data: bytes) -> None:
        if self._body is not None:
            self._unchunk(self._body, data)
        elif self._left is None:
            self._keep(data)
        elif len(data) < self._left:
            self._left -= len(data)
            self._keep(data)
        else:
            # The usual case: the rest of the body is here.
            rest = data[self._left :]
            self._keep(data[: self._left] if rest else data)
            self._finish(rest)
        if self._size > AHEAD_BYTES and self.phase == BODY and not self.transport.is_closing():
            self.transport.pause_reading()
        self._wake()

    def _unchunk(self, body: ChunkedBody, data: bytes) -> None:
        try:
            taken = body.feed(data)
        except Problem:
            self.fail(bad_response("its chunks are none"))
            return
        self._raw_pieces.append(data[:taken])
        self._size += taken
        if body.payload:
            self._pieces.append(bytes(body.payload))
            body.payload.clear()
        if body.done:
            self._finish(data[taken:])

    def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)

    def _finish(self, rest: bytes) -> None:
        self.phase = DONE
        # Bytes after the response must not begin the next one.
        self._reusable = self._reusable and not rest
        self._buffer = b""

    def __repr__(self) -> str:
        return f"<UpstreamConnection {NAMES[self.phase]}>"
