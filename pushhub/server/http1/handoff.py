"""What a connection has to do with its guests: those who serve one request on it, as uvicorn's
protocol serves a page (`guest.py`), or pass it through to the origin (`relay.py`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.http.body import ChunkedBody, RequestBody, SizedBody
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.server.http1.phase import GUEST, IDLE
from pushhub.server.sockets import reset

if TYPE_CHECKING:
    from pushhub.api.endpoints import Outcome
    from pushhub.origin.shared.table import SharedRequest
    from pushhub.server.http1.context import ConnectionContext
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.proxy import OriginProxy
    from pushhub.server.http1.response_headers import Extra
    from pushhub.server.http1.uvicorn_request import UvicornRequest


class Handoff(asyncio.Protocol):
    """The part of a connection that guests see."""

    __slots__ = (
        "body",
        "buffer",
        "extra",
        "guest",
        "head",
        "keep",
        "lobby",
        "phase",
        "since",
        "tick",
        "transport",
    )

    tick: int
    lobby: ConnectionContext
    transport: asyncio.Transport
    phase: int
    buffer: bytes
    keep: bool
    since: float
    extra: Extra
    head: Head | None
    body: RequestBody | None
    guest: UvicornRequest | OriginProxy | None

    if TYPE_CHECKING:
        # What the rest of the connection does (`front.py`).
        def expire(self) -> None: ...
        @property
        def client(self) -> str: ...
        def _advance(self) -> None: ...
        def _read_on(self) -> None: ...
        def _see_through(self, outcome: Outcome) -> None: ...
        def _refuse(self, problem: Problem) -> None: ...
        def _answer(self, answer: Response, *, linger: bool = False) -> None: ...
        def _end(self, *, linger: bool) -> None: ...

    # Requests for the origin that need no guest

    def _repeated(self, data: bytes) -> bool:
        """Answer or hold a request for a shared resource that is understood without being parsed;
        False if it is not.
        """
        lobby = self.lobby
        known = None if lobby.repeats is None else lobby.repeats.outcome(data, self)
        if known is None:
            return False
        outcome, self.extra = known
        lobby.state.total_requests += 1
        self._see_through(outcome)
        return True

    def learn(self, raw: bytes, head: Head, shared: SharedRequest) -> None:
        """Remember the parsed form of a request with these bytes."""
        if self.lobby.repeats is not None:
            self.lobby.repeats.learn(raw, head, shared, self.extra)

    # A guest comes, and goes.

    def _lend(self, head: Head, raw: bytes) -> None:
        lobby = self.lobby
        if head.upgrades and lobby.takes_over(head):
            self._hand_over(head, raw)
            return
        self.phase = GUEST
        self.guest = lobby.guest(self, head)
        if head.length != 0:
            self.body = ChunkedBody() if head.length is None else SizedBody(head.length)
            lobby.wheel.set(self, lobby.now() + lobby.body_seconds)
        self.guest.begin(head, raw)
        # It may have been refused by its head.
        if self.body is not None:
            self._forward()

    def _forward(self) -> None:
        """Pass on what belongs to the guest's request, and nothing of the next one."""
        assert self.body is not None
        assert self.guest is not None
        taken = self.body.feed(self.buffer)
        payload = bytes(self.body.payload)
        self.body.payload.clear()
        raw, self.buffer = self.buffer[:taken], self.buffer[taken:]
        if raw:
            self.since = self.lobby.now()
            self.guest.forward(raw, payload, done=self.body.done)

    @property
    def leaving(self) -> bool:
        """Whether the server answers what it has been asked, and goes."""
        return self.lobby.hub.draining

    def cut(self) -> None:
        """The process ends in the middle of whatever this is."""
        if self.guest is not None:
            self.guest.cut()
        elif self.transport.is_closing() and self.transport.get_write_buffer_size():
            # What is left of a last response is lost: its end must not look like one.
            reset(self.transport)

    def returned(self) -> None:
        """The guest's response has ended: the connection is ours again."""
        body, self.body, self.guest, self.head = self.body, None, None, None
        self._read_on()
        if (body is not None and not body.done) or not self.keep:
            self._end(linger=body is not None)
            return
        self.phase = IDLE
        self.since = self.lobby.coarse
        self._advance()

    def closed(self, *, finished: bool) -> None:
        """The guest closes. If it has not `finished` its response, the client must see that."""
        self.keep = False
        if not finished and self.guest is not None:
            self.transport.close()

    def become(self, outcome: Outcome) -> None:
        """The guest leaves its request to something of ours."""
        body, self.body, self.guest = self.body, None, None
        self._read_on()
        whole = body is None or body.done
        self.keep = self.keep and whole
        if whole or not isinstance(outcome, Response):
            self._see_through(outcome)
        else:
            # What is still being sent must not reset the connection before the answer is read.
            self._answer(outcome, linger=True)
        if self.buffer:
            self._advance()

    def refuse(self, problem: Problem) -> Response:
        """A problem as the answer to this request."""
        return self.lobby.service.refuse(problem)

    def passed(self, status: int, size: int) -> None:
        """A guest's response has passed through."""
        if self.lobby.access is not None and self.head is not None:
            self.lobby.access(self.client, self.head, status, size)

    def refused(self, detail: str) -> None:
        """The guest cannot read what we took for a request."""
        self._refuse(Problem("bad-request", detail))

    def _hand_over(self, head: Head, raw: bytes) -> None:
        """Leave for good: another protocol than HTTP comes next."""
        self.lobby.hand_over(self, raw, self.part())

    def part(self) -> bytes:
        """Leave for good; returns what has arrived and was not read."""
        self.lobby.state.connections.discard(self)
        self.lobby.wheel.clear(self)
        self.guest = self.head = None
        rest, self.buffer = self.buffer, b""
        return rest
