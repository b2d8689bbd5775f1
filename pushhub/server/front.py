"""The task-less driver: HTTP/1.1 connections whose held requests cost a few slotted objects.

It is given to uvicorn as `http=`, and stays the connection's protocol. It parses one request at a
time, whole, runs its face, and writes the answer, or waits for the hold to be completed. What no
face answers it lends to uvicorn's own protocol (`guest.py`), one request at a time.

A connection is in one of seven phases, and only `data_received`, `deliver`, `expire` and the
transport's callbacks move it:

    IDLE    between requests
    HEAD    `buffer` has the start of a head
    BODY    a body is arriving for `head`
    HELD    `hold` will be completed with the answer
    STREAM  `outlet` is being written to; `hold` is its present turn, if it waits
    GUEST   uvicorn's protocol serves a request
    LINGER  the last answer is written; what still comes is read and thrown away
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import structlog

from pushhub.hub.hold import Hold, Parked
from pushhub.hub.stream import Stream
from pushhub.hub.wheel import OFF, TICK_SECONDS
from pushhub.protocol.answer import Answer, Part
from pushhub.protocol.body import Body, Chunked, OfLength, too_large
from pushhub.protocol.problem import Problem
from pushhub.server.head import MAX_HEAD_BYTES, Head, check_start
from pushhub.server.lending import Lending
from pushhub.server.limits import (
    ASTERISK,
    LINGER_BYTES,
    LINGER_SECONDS,
    MAX_AHEAD_BYTES,
    SLICE_SECONDS,
    WRITE_HIGH_WATER,
)
from pushhub.server.outlet import Outlet
from pushhub.server.phase import BODY, GUEST, HEAD, HELD, IDLE, LINGER, NAMES, STREAM
from pushhub.server.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.server.extra import Extra
    from pushhub.server.guest import Guest
    from pushhub.server.lobby import Lobby
    from pushhub.server.recall import Manner
    from pushhub.web.faces import Match, Outcome

log = structlog.get_logger(__name__)


class Connection(Lending):
    """One client's connection."""

    __slots__ = (
        "advancing",
        "ended",
        "hold",
        "manner",
        "match",
        "outlet",
        "paused",
        "peer",
    )

    def __init__(self, lobby: Lobby) -> None:
        self.lobby = lobby
        self.phase = IDLE
        self.buffer = b""
        self.extra: Extra = lobby.extra
        self.keep = True
        self.advancing = False
        self.ended = False
        self.paused = False
        self.tick = OFF
        self.since = 0.0
        # None whenever nothing is under way, so that a parked connection holds on to nothing else.
        self.head: Head | None = None
        self.match: Match | None = None
        self.body: Body | None = None
        self.hold: Hold | None = None
        self.outlet: Outlet | None = None
        self.guest: Guest | Relay | None = None
        self.peer: str | None = None
        # What its headers meant the last time.
        self.manner: Manner | None = None
        self.transport: asyncio.Transport

    # The transport's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport, though they are all that one is.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(WRITE_HIGH_WATER)
        lobby = self.lobby
        lobby.state.connections.add(self)  # type: ignore[arg-type]
        self.since = lobby.now()
        lobby.wheel.set(self, self.since + lobby.keep_alive_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lobby.state.connections.discard(self)
        self.lobby.wheel.clear(self)
        hold, self.hold = self.hold, None
        if hold is not None and not hold.done:
            hold.drop()
            self.lobby.hub.dropped(hold)
        elif hold is None and self.outlet is not None:
            self.outlet.leave()
        if self.guest is not None:
            self.guest.connection_lost(exc)
            self.guest = None
        self.outlet = self.body = self.head = self.match = None
        self.buffer = b""
        self.keep = False

    def data_received(self, data: bytes) -> None:
        phase = self.phase
        if phase == IDLE and not self.buffer:
            if not self.paused and self._recalled(data):
                return
            self.buffer = data
            self._advance()
        elif phase <= BODY:
            self.buffer += data
            if not self.paused:
                self._advance()
            elif len(self.buffer) > MAX_AHEAD_BYTES:
                self.transport.pause_reading()
        elif phase == LINGER:
            self.since -= len(data) * LINGER_SECONDS / LINGER_BYTES
            if self.lobby.now() - self.since > LINGER_SECONDS:
                self.transport.abort()
        else:
            self._ahead(data)

    def eof_received(self) -> bool:
        # The client sends nothing more, and may still listen, as `nc` does: what it asked for
        # before is answered. A wait is given up: whoever stops sending in the middle of one has
        # gone, as nginx sees it too.
        hold = self.hold
        if self.phase == HELD:
            stays = hold is None or not hold.waits
        else:
            # A page that still reads its body would wait for what cannot come. An origin is not
            # kept busy for a client that has probably gone, as nginx and Go see it too.
            page = (
                self.phase == GUEST
                and (self.body is None or self.body.done)
                and type(self.guest) is not Relay
            )
            stays = page or (self.phase == IDLE and self.buffer != b"")
        self.ended = stays
        if not self.buffer:
            self.keep = False
        return stays

    def pause_writing(self) -> None:
        self.paused = True
        self.since = self.lobby.now()
        self.lobby.wheel.set(self, self.since + self.lobby.write_seconds)
        if self.guest is not None:
            self.guest.pause_writing()

    def resume_writing(self) -> None:
        self.paused = False
        self.transport.set_write_buffer_limits(WRITE_HIGH_WATER)
        if self.guest is not None:
            self.guest.resume_writing()
        else:
            if self.phase == STREAM and self.hold is None:
                self._turn()
            self._advance()

    def shutdown(self) -> None:
        """The server is leaving: close when nothing is under way."""
        self.keep = False
        if self.phase == IDLE:
            self.transport.close()
        elif self.guest is not None:
            self.guest.shutdown()

    # Requests

    def _recalled(self, data: bytes) -> bool:
        """Answer a request that is understood without being parsed; False if it is not."""
        lobby, manner = self.lobby, self.manner
        if manner is None or not data.endswith(manner.raw):
            manner = lobby.recall.manner(data)
            if manner is None:
                return self._repeated(data)
            self.manner = manner
        if manner.expires is not None and lobby.hub.clock() >= manner.expires:
            return False
        poll = lobby.recall.poll(data[: -len(manner.raw)], manner)
        if poll is None:
            return self._repeated(data)
        lobby.state.total_requests += 1
        self.extra = manner.extra
        outcome = poll if isinstance(poll, Answer) else lobby.hub.hold(poll)
        if isinstance(outcome, Parked):
            self.phase = HELD
            self.hold = outcome
            outcome.attach(self)
        else:
            assert isinstance(outcome, Answer)
            self._answer(outcome)
        return True

    def _advance(self) -> None:
        """Go through what has arrived, as far as it goes. Answers are written in the order of the
        requests.
        """
        if self.advancing:
            return
        self.advancing = True
        end = self.lobby.now() + SLICE_SECONDS
        try:
            while self.buffer and not self.paused and not self.transport.is_closing():
                if self.lobby.now() > end:
                    if len(self.buffer) > MAX_AHEAD_BYTES:
                        self.transport.pause_reading()
                    asyncio.get_running_loop().call_soon(self._advance)
                    return
                if self.phase <= HEAD:
                    if not self._take_head():
                        break
                elif self.phase == BODY:
                    if not self._take_body():
                        break
                elif not self._hurry():
                    break
        except Problem as problem:
            self._refuse(problem)
        except Exception:
            # This may run in the middle of a fan-out, whose other readers must not suffer.
            self.lobby.hub.log.exception(log, "connection.failed")
            self.transport.abort()
        finally:
            self.advancing = False
        if self.ended and self.phase <= BODY and not self.paused:
            self._end(linger=False)
        elif not self.transport.is_reading() and len(self.buffer) <= MAX_AHEAD_BYTES:
            self._read_on()

    def _read_on(self) -> None:
        if not self.ended and not self.transport.is_closing():
            self.transport.resume_reading()

    def _take_head(self) -> bool:
        """Begin the next request; False if its head is not all there."""
        buffer = self.buffer
        if buffer[0] in b"\r\n":
            # An empty line before a request is to be ignored (RFC 9112 §2.2).
            buffer = self.buffer = buffer.lstrip(b"\r\n")
            if not buffer:
                self.phase = IDLE
                return False
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._await_head(buffer)
            return False
        if end > MAX_HEAD_BYTES:
            check_start(buffer)
        raw = buffer[: end + 4]
        self.buffer = buffer[end + 4 :]
        self.phase = IDLE
        self._begin(self.lobby.head(raw), raw)
        return True

    def _await_head(self, buffer: bytes) -> None:
        check_start(buffer)
        if self.phase == IDLE:
            self.phase = HEAD
            self.since = self.lobby.now()
            self.lobby.wheel.set(self, self.since + self.lobby.head_seconds)

    def _begin(self, head: Head, raw: bytes) -> None:
        lobby = self.lobby
        lobby.state.total_requests += 1
        self.keep = self.keep and head.keep
        match = lobby.faces.match(head.path)
        self.head = head
        self.extra = lobby.extras.of(lobby.faces.cors.variant(head.headers.get("origin")))
        if match is None:
            if head.path != "*" or lobby.origin is not None:
                self._lend(head, raw)
                return
            match = ASTERISK
        self.match = match
        if head.length == 0:
            self._run(b"", raw)
            return
        limit = match.max_body(head.method)
        if head.length is not None and head.length > limit:
            raise too_large(limit)
        self._expect_body(head)
        if head.expects and not self.buffer:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _expect_body(self, head: Head) -> None:
        self.phase = BODY
        self.body = Chunked() if head.length is None else OfLength(head.length)
        if not self.buffer or head.length is None or len(self.buffer) < head.length:
            self.since = self.lobby.now()
            self.lobby.wheel.set(self, self.since + self.lobby.body_seconds)

    def _take_body(self) -> bool:
        """Take what has arrived of the body, and run the request when that is all; False if more
        must come.
        """
        body, head, match = self.body, self.head, self.match
        assert body is not None
        taken = body.feed(self.buffer)
        self.buffer = self.buffer[taken:]
        assert head is not None
        assert match is not None
        limit = match.max_body(head.method)
        if len(body.payload) > limit:
            raise too_large(limit)
        if not body.done:
            return False
        self.body = None
        self._run(bytes(body.payload), None)
        return True

    def _run(self, body: bytes, raw: bytes | None) -> None:
        """Run the request's face, and see its outcome through."""
        lobby, head, match = self.lobby, self.head, self.match
        assert head is not None
        assert match is not None
        decision = lobby.faces.decide(head.request(body, self.client, lobby.proxies), match)
        poll = decision.poll
        if poll is None:
            outcome = decision.outcome
            assert outcome is not None
        else:
            if raw is not None and lobby.access is None:
                self.manner = lobby.recall.learn(raw, head, match, decision, self.extra)
            held = lobby.hub.hold(poll)
            assert not isinstance(held, Part)
            outcome = held
        self._see_through(outcome)

    def _see_through(self, outcome: Outcome) -> None:
        if isinstance(outcome, Hold):
            head = self.head
            if outcome.waits and head is not None and self.lobby.access is None:
                plain = head.keep and not head.http_1_0 and head.method != "HEAD"
                if plain:
                    # Nothing of the request is needed for its answer.
                    self.head = self.match = None
            self.phase = HELD
            self.hold = outcome
            outcome.attach(self)
        elif isinstance(outcome, Answer):
            self._answer(outcome)
        else:
            self._open(outcome)

    @property
    def begun(self) -> float | None:
        """When the stream that is being written began; None without one."""
        return None if self.outlet is None else self.outlet.begun

    @property
    def client(self) -> str:
        """The address of the peer."""
        if self.peer is None:
            peer = self.transport.get_extra_info("peername")
            local = self.lobby.local_address
            self.peer = str(peer[0]) if isinstance(peer, tuple) else local(self.transport)
        return self.peer

    def _ahead(self, data: bytes) -> None:
        """More bytes while a request is being answered."""
        self.buffer += data
        if self.phase != GUEST:
            self._hurry()
        elif self.body is not None and not self.body.done:
            try:
                self._forward()
            except Problem:
                # The guest may be in the middle of its answer; nothing of ours fits in there.
                self.transport.abort()
        if len(self.buffer) > MAX_AHEAD_BYTES and not self.transport.is_closing():
            self.transport.pause_reading()

    def _hurry(self) -> bool:
        """A whole next request releases a held one, for it is newer; False if it does not."""
        hold = self.hold
        if self.phase not in (HELD, STREAM) or not (
            b"\r\n\r\n" in self.buffer or len(self.buffer) > MAX_HEAD_BYTES
        ):
            return False
        if self.phase == STREAM:
            if hold is None:
                return False
            self.hold = None
            hold.drop()
            self._close_stream()
            return True
        hurried = None if hold is None else hold.hurry()
        if hurried is False:
            self.lobby.wheel.set(self, self.lobby.now() + TICK_SECONDS)
        return bool(hurried)

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot go on, and part: the bytes after it cannot be told apart."""
        hold, guest = self.hold, self.guest
        self.hold = self.guest = self.outlet = self.body = None
        if hold is not None:
            hold.drop()
        self.keep = False
        self.buffer = b""
        if guest is not None:
            guest.connection_lost(None)
        self._answer(self.lobby.service.refuse(problem), linger=True)

    # Answers

    def deliver(self, reply: Answer | Part | Stream) -> None:
        """Write what the hold was completed with, and go on with what has arrived since."""
        self.hold = None
        if isinstance(reply, Answer):
            self._answer(reply)
        elif isinstance(reply, Part):
            assert self.outlet is not None
            self._write(self.outlet.frame(reply))
            self._turn()
        elif isinstance(reply, Stream):
            self._open(reply)
        if self.buffer or self.ended:
            self._advance()

    def _answer(self, answer: Answer, *, linger: bool = False) -> None:
        extra, head, lobby = self.extra, self.head, self.lobby
        keep = self.keep and not lobby.hub.draining
        tail = extra.keep if keep else extra.close
        self.phase = IDLE
        self.since = lobby.coarse
        if head is None:
            pieces = answer.pieces(tail)
        else:
            self.head = self.match = None
            if keep and head.http_1_0:
                tail = extra.stay
            pieces = answer.pieces(tail) if head.method != "HEAD" else (answer.head(tail),)
            if lobby.access is not None:
                lobby.access(self.client, head, answer.status, sum(map(len, pieces)))
        self._write(pieces)
        if not keep:
            self._end(linger=linger or bool(self.buffer))

    def _write(self, pieces: tuple[bytes, ...]) -> None:
        """Write what belongs together. A large piece stays in memory whole while a byte of it is
        unsent, so nothing may be left of one when another is made.
        """
        transport = self.transport
        body = pieces[1] if len(pieces) > 1 else pieces[0]
        if len(body) <= WRITE_HIGH_WATER:
            transport.writelines(pieces)
            return
        transport.set_write_buffer_limits(0)
        transport.writelines(pieces)
        if not self.paused:
            transport.set_write_buffer_limits(WRITE_HIGH_WATER)

    def _end(self, *, linger: bool) -> None:
        """Close when what was written has left; `linger` when what still comes would reset it."""
        transport = self.transport
        self.keep = False
        self.buffer = b""
        if linger and transport.can_write_eof():
            self.phase = LINGER
            transport.write_eof()
            self.since = self.lobby.now()
            self.lobby.wheel.set(self, self.since + LINGER_SECONDS)
        else:
            self._close()

    def _close(self) -> None:
        """Close when what was written has left. A reader that does not take it is cut off: the
        kernel would wait for it without end.
        """
        transport, now = self.transport, self.lobby.now()
        transport.close()
        if transport.get_write_buffer_size():
            self.phase, self.since = LINGER, now
            self.lobby.wheel.set(self, now + self.lobby.write_seconds)

    # Streams

    def _open(self, stream: Stream) -> None:
        head = self.head
        # Of a request whose head was let go of while it was held, that is known.
        outlet = Outlet(stream, chunked=head is None or not head.http_1_0)
        self.keep = self.keep and outlet.chunked
        keep = self.keep and not self.lobby.hub.draining
        self.transport.write(outlet.opening(self.extra.keep if keep else self.extra.close))
        if self.lobby.access is not None and head is not None:
            self.lobby.access(self.client, head, stream.opening.status, 0)
        self.phase = STREAM
        self.outlet = outlet
        self.head = self.match = None
        self._turn()

    def _turn(self) -> None:
        """Write what the stream has, until it waits, ends, or the reader is behind."""
        outlet = self.outlet
        while outlet is not None and not self.paused and not self.transport.is_closing():
            step = outlet.next()
            if step is None:
                self._close_stream()
                return
            if isinstance(step, Part):
                self._write(outlet.frame(step))
            else:
                self.hold = step
                step.attach(self)
                return

    def _close_stream(self) -> None:
        outlet, self.outlet = self.outlet, None
        assert outlet is not None
        self.phase = IDLE
        self.since = self.lobby.coarse
        if outlet.chunked:
            self.transport.write(outlet.end)
        if not self.keep or self.lobby.hub.draining:
            self._end(linger=False)
        else:
            self._advance()

    # Time

    def expire(self) -> None:
        """A deadline of the connection has passed, or did not matter after all."""
        lobby = self.lobby
        now = lobby.now()
        if self.paused:
            self._due(now, lobby.write_seconds, self.transport.abort)
        elif self.phase == LINGER:
            self.transport.abort()
        elif self.phase == BODY:
            self._due(now, lobby.body_seconds, self._too_slow)
        elif self.phase == HEAD:
            self._due(now, lobby.head_seconds, self._too_slow)
        elif self.phase == IDLE:
            self._due(now, lobby.keep_alive_seconds, self._close)
        elif (
            self.phase == GUEST
            and self.body is not None
            and not self.body.done
            and self.transport.is_reading()
        ):
            # A page may take long; its client may not stop in the middle of a body.
            self._due(now, lobby.body_seconds, self.transport.abort)
        else:
            lobby.wheel.set(self, now + lobby.keep_alive_seconds)
            self._hurry()

    def _due(self, now: float, seconds: float, end: Callable[[], None]) -> None:
        if now - self.since >= seconds:
            end()
        else:
            self.lobby.wheel.set(self, self.since + seconds)

    def _too_slow(self) -> None:
        lobby = self.lobby
        seconds = lobby.body_seconds if self.phase == BODY else lobby.head_seconds
        self._refuse(Problem("timeout", f"This part of a request arrives in {seconds:g} seconds."))

    def __repr__(self) -> str:
        return f"<Connection {NAMES[self.phase]}>"
