"""One connection to an origin: a request goes out, its response comes in.

It is a connection of asyncio's without streams or tasks, because every request that passes through
pays for it; and it keeps what it reads as it was sent, which no client library does. It is in one
of five phases:

    IDLE  in the pool
    HEAD  a request is on its way, `_buffer` has the start of a response's head
    BODY  the head is there, the body is coming in
    DONE  the response is complete, and its reader has not left yet
    DEAD  closed, or handed over
"""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING, cast

from pushhub.http.body import ChunkedBody
from pushhub.http.problem import Problem
from pushhub.origin.client.early_response import EarlyResponse
from pushhub.origin.client.response import UpstreamResponse, garbage, may_begin

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

IDLE, HEAD, BODY, DONE, DEAD = range(5)
NAMES = ("idle", "head", "body", "done", "dead")

# As much as our own front takes in a head; nginx's large buffers are four of 8 KiB.
MAX_HEAD_BYTES = 64 * 1024
# nginx gives up on more than a few, too; each costs a client a read.
MAX_INTERIM = 16
# What is kept for a client that reads more slowly than its origin writes, and the other way round.
AHEAD_BYTES = 64 * 1024


class UpstreamConnection(asyncio.Protocol):
    """A connection. `used` is how many responses it has brought; `since` when something last
    happened on it, on the loop's clock.
    """

    __slots__ = (
        "_body", "_buffer", "_inform", "_interim", "_left", "_loop", "_method", "_news", "_over",
        "_parting", "_pieces", "_problem", "_response", "_reusable", "_room", "_sending", "_size",
        "_watch", "_wired", "doubtful", "phase", "since", "transport", "untouched", "used",
    )  # fmt: skip

    def __init__(self, over: Callable[[UpstreamConnection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        # Called once for each use, when it is over.
        self._over = over
        self.transport: asyncio.Transport
        self.phase = IDLE
        self.used = 0
        self.since = 0.0
        self.untouched = False
        """Whether the origin has said nothing to the request, and may never have seen it."""
        self.doubtful = False
        """Whether a body may still follow the last response, which had none."""
        self._method = ""
        self._buffer = b""
        self._inform: Callable[[bytes], None] | None = None
        self._interim = 0
        self._response: UpstreamResponse | None = None
        self._problem: Problem | None = None
        self._reusable = False
        # Of the body: its end, and what has come and was not read yet.
        self._body: ChunkedBody | None = None
        self._left: int | None = 0
        self._pieces: list[bytes] = []
        self._wired: list[bytes] = []
        self._size = 0
        # Who waits for the response, and who for room to write.
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._parting: EarlyResponse | None = None
        # Asks the kernel what has arrived; made when the connection is used for a second time.
        self._watch: select.poll | None = None

    # One use of it

    async def ask(
        self,
        method: str,
        head: bytes,
        body: AsyncIterable[bytes] | bytes | None,
        inform: Callable[[bytes], None] | None,
        *,
        chunked: bool,
    ) -> UpstreamResponse:
        """Send a request; its response is there when its head is.

        Raises:
            Problem: 502 or 504. `untouched` says whether the origin may have seen the request.
        """
        self.phase = HEAD
        self.since = self._loop.time()
        self.untouched = True
        self._method = method
        self._inform = inform
        self._interim = 0
        self._reusable = False
        self._response = self._problem = self._body = None
        if body is None:
            self.transport.write(head)
        elif isinstance(body, bytes):
            self.transport.writelines(
                (head, *_framed(body, last=True)) if chunked else (head, body)
            )
        else:
            self._parting = EarlyResponse(self.transport)
            self.transport.write(head)
            self._sending = self._loop.create_task(self._send(body, chunked=chunked))
        while self._response is None:
            if self._problem is not None:
                raise self._problem
            await self._wait()
        self._response.link = self
        return self._response

    def is_silent(self) -> bool:
        """Whether nothing has arrived on an open connection that is unused, neither bytes nor its
        end: the loop may not have read them yet.
        """
        if self._watch is None and (sock := self.transport.get_extra_info("socket")) is not None:
            self._watch = select.poll()
            self._watch.register(sock.fileno(), select.POLLIN)
        # A connection in memory has no kernel that knows more.
        return self._watch is None or not self._watch.poll(0)

    @property
    def ready(self) -> bool:
        """Whether `piece` need not wait."""
        return bool(self._pieces) or self.phase != BODY or self._problem is not None

    async def piece(self) -> bytes:
        """The next piece of the body; empty at its end.

        Raises:
            Problem: it broke off, or the origin was silent for too long.
        """
        while not self._pieces:
            if self._problem is not None:
                raise self._problem
            if self.phase != BODY:
                return b""
            await self._wait()
        return self._taken(self._pieces)

    async def wired(self) -> bytes:
        """As `piece`, but as on the wire: a chunked body with its chunks and trailers."""
        if self._body is None:
            return await self.piece()
        while not self._wired:
            if self._problem is not None:
                raise self._problem
            if self.phase != BODY:
                return b""
            await self._wait()
        return self._taken(self._wired)

    def _taken(self, pieces: list[bytes]) -> bytes:
        self._pieces, self._wired, self._size = [], [], 0
        transport = self.transport
        if self.phase == BODY and not transport.is_reading() and not transport.is_closing():
            self.since = self._loop.time()
            transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def leave(self) -> None:
        """The response's reader goes. What cannot have another request is closed."""
        sending, self._sending = self._sending, None
        if sending is not None and not sending.done():
            sending.cancel()
            self._reusable = False
        if self.phase == DONE and self._reusable:
            self.phase = IDLE
            self.used += 1
            self.since = self._loop.time()
        elif self.phase != DEAD:
            self.abort()
        self._close_parting()
        self._pieces, self._wired = [], []
        self._buffer = b""
        self._response = self._body = self._inform = self._news = None
        self._over(self)

    def part(self) -> bytes:
        """Leave for good to who speaks another protocol on it from now on; returns what has
        arrived for them.
        """
        self.phase = DEAD
        self._close_parting()
        early, self._buffer = self._buffer, b""
        self._over(self)
        return early

    def abort(self) -> None:
        """Close at once."""
        self.phase = DEAD
        self.transport.abort()

    def fail(self, problem: Problem) -> None:
        """Close at once, and say why to who waits for the response."""
        self._problem = problem
        self._wake()
        self.abort()

    def look(self, now: float, silent_seconds: float) -> None:
        """Give up if the origin should have said something by now."""
        if self.phase in (HEAD, BODY) and now - self.since >= silent_seconds and self._ours_to_wait:
            self.fail(Problem("origin-timeout", "The origin did not respond in time; try later."))

    @property
    def _ours_to_wait(self) -> bool:
        """Whether it is the origin that should do something, and not the client."""
        if not self.transport.is_reading():
            return False
        sending = self._sending
        return sending is None or sending.done() or self._room is not None

    async def _wait(self) -> None:
        self._news = self._loop.create_future()
        await self._news

    def _close_parting(self) -> None:
        parting, self._parting = self._parting, None
        if parting is not None:
            parting.close()

    def _wake(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    # The request's body

    async def _send(self, body: AsyncIterable[bytes], *, chunked: bool) -> None:
        async for piece in body:
            if self.transport.is_closing():
                return
            self.transport.writelines(_framed(piece, last=False) if chunked else (piece,))
            if self._room is not None:
                await self._room
            self.since = self._loop.time()
        self.since = self._loop.time()
        if chunked:
            self.transport.write(b"0\r\n\r\n")

    def pause_writing(self) -> None:
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # What comes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, though they are all that one is.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(AHEAD_BYTES)
        self.since = self._loop.time()

    def data_received(self, data: bytes) -> None:
        self.since = self._loop.time()
        self.untouched = False
        if self.phase == BODY:
            self._take(data)
        elif self.phase == HEAD:
            self._buffer = self._buffer + data if self._buffer else data
            self._heads()
        else:
            # Nobody asked for it: an answer to nothing must not become the answer to the next.
            self._reusable = False
            if self.phase == IDLE:
                self.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._reusable = False
        self.resume_writing()
        parting = self._parting if self.phase in (HEAD, BODY) else None
        if parting is not None and (words := parting.words()):
            self.data_received(words)
        self._close_parting()
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
            self._over(self)

    def _heads(self) -> None:
        """Read what has come of the head, or of several: those of 1xx come before it."""
        said = self._buffer
        try:
            while self.phase == HEAD:
                end = self._buffer.find(b"\r\n\r\n")
                if (end if end >= 0 else len(self._buffer)) > MAX_HEAD_BYTES:
                    raise garbage(f"its head is larger than {MAX_HEAD_BYTES} bytes")
                if end < 0:
                    if not may_begin(self._buffer):
                        # It will never be a response: there is no use in waiting for the rest.
                        raise garbage("it does not begin as HTTP/1 does")
                    return
                raw, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
                self._head(UpstreamResponse(raw, self._method))
        except Problem as problem:
            # On a connection that was used before, what begins as no response is what the origin
            # still had to say to an earlier request.
            self.untouched = self.used > 0 and not self._interim and not may_begin(said)
            self.fail(problem)

    def _head(self, response: UpstreamResponse) -> None:
        if response.status < 200 and response.status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise garbage("it has too many 1xx before it")
            if self._inform is not None:
                self._inform(response.raw)
            return
        self._response = response
        self._reusable = response.reusable and response.status != 101
        self.doubtful = response.bodiless and response.names_body
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
                self._take(rest)
        self._wake()

    def _take(self, data: bytes) -> None:
        """Take in a part of the body."""
        if self._body is not None:
            self._unchunk(self._body, data)
        elif self._left is None:
            self._keep(data)
        elif len(data) < self._left:
            self._left -= len(data)
            self._keep(data)
        else:
            # The usual case: all of it is there.
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
            self.fail(garbage("its chunks are none"))
            return
        self._wired.append(data[:taken])
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
        # More than the response: whatever it is, the next one must not begin with it.
        self._reusable = self._reusable and not rest
        self._buffer = b""

    def __repr__(self) -> str:
        return f"<Link {NAMES[self.phase]}>"


def _framed(piece: bytes, *, last: bool) -> tuple[bytes, ...]:
    """A piece as a chunk; with `last` also the end of the body."""
    chunk = (b"%x\r\n" % len(piece), piece, b"\r\n") if piece else ()
    return (*chunk, b"0\r\n\r\n") if last else chunk
