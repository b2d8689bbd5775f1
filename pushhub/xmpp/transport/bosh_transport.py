"""One BOSH session as the transport of one stream: each performs the actions of the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from pushhub.bosh.action import Action, Deliver, Ended, Respond
from pushhub.bosh.condition import BoshCondition
from pushhub.hub.wheel import OFF
from pushhub.xmpp.model.stanza import StreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.bosh.body import BoshBody
    from pushhub.bosh.session import BoshSession
    from pushhub.bosh.sessions import PendingRequest
    from pushhub.xml import Element
    from pushhub.xmpp.transport.bosh_sessions import BoshSessions
    from pushhub.xmpp.transport.stream import XmppStream


class BoshTransport:
    """A BOSH session as the transport of its stream."""

    __slots__ = (
        "_flushing",
        "_held",
        "_performing",
        "client",
        "owner",
        "secure",
        "session",
        "stream",
        "tick",
    )

    def __init__(self, owner: BoshSessions, session: BoshSession) -> None:
        self.owner = owner
        self.session = session
        self.stream: XmppStream
        # The address of the last request.
        self.client = ""
        self.secure = False
        # The bytes that were last counted.
        self._held = 0
        self.tick = OFF
        # While actions are performed, the stream's elements wait for their responses.
        self._performing = False
        self._flushing = False

    # From HTTP

    def request(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        """Handle a request."""
        self.client, self.secure = request.client, request.secure
        self.stream.end_by_grant()
        self.perform(self.session.request(body.rid, body, raw, self.owner.now(), request))

    def disconnected(self, request: PendingRequest) -> None:
        """The connection of a request closed before the response."""
        self.session.disconnected(request, self.owner.now())
        self.flush()

    def hurry(self) -> None:
        """Respond to all open requests now."""
        self._perform_all(self.session.hurry(self.owner.now()))
        self._count_bytes()
        self._set_deadline()

    def expire(self) -> None:
        """A deadline has passed, the session's or the stream's; see `Wheel`."""
        if self.owner.now() >= self.stream.deadline:
            self.stream.expire()
        self._perform_all(self.session.expire(self.owner.now()))
        self._set_deadline()

    # From the stream

    def send(self, payload: bytes) -> None:
        """Send an element to the client: in the response that is being made, or with all elements
        of this turn of the event loop."""
        self.session.put(payload)
        if not (self._performing or self._flushing):
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def pending(self) -> list[Element]:
        """The elements that the client may not have received."""
        undelivered, unconfirmed = self.session.pending()
        return [*unconfirmed, *undelivered]

    def reclaim(self) -> tuple[Sequence[Element], Sequence[Element]]:
        """Take these elements back, if no request waits for them."""
        return self.session.reclaim()

    def end(self, error: Element | None) -> None:
        """End the session with the stream."""
        condition = None if error is None else BoshCondition.REMOTE_STREAM_ERROR  # [N2]
        payloads = () if error is None else (error,)  # [P13]
        self._perform_all(self.session.terminate(condition, payloads, self.owner.now()))
        self._set_deadline()

    def release(self) -> bytes | None:
        """Respond to all requests; return the session and its stream as JSON, None while the stream
        is busy."""
        stream = self.stream.dump()
        if stream is None or self.session.ended:
            return None
        now = self.owner.now()
        self._perform_all(self.session.release(now))
        self._release_bytes()
        self.owner.wheel.clear(self)
        return orjson.dumps({"bosh": self.session.dump(now), "stream": stream})

    def abandon(self) -> None:
        """Drop the session and its stream: the store failed before they were complete."""
        self.session.ended = True
        self._release_bytes()
        self._set_deadline()
        self.stream.detach()

    # Actions

    def perform(self, actions: list[Action]) -> None:
        """Perform a request's actions, then respond."""
        self._performing = True
        self._perform_all(actions)
        self._performing = False
        self.flush()

    def flush(self) -> None:
        """Respond with the elements that wait."""
        self._flushing = False
        self._perform_all(self.session.flush(self.owner.now()))
        self._count_bytes()
        self._set_deadline()

    def _count_bytes(self) -> None:
        """Count the bytes that the session holds, and end it if they are too many."""
        if self.session.ended:
            return
        before, self._held = self._held, self.session.held_bytes + self.stream.held_bytes
        if not self.owner.memory.change(before, self._held):
            error = StreamError("resource-constraint", "The session holds too many bytes.")
            self.stream.fail(error)
            if not self.session.ended:
                # The end waits for the client's next request.
                before, self._held = self._held, self.session.held_bytes
                self.owner.memory.change(before, self._held)

    def _release_bytes(self) -> None:
        self.owner.memory.change(self._held, 0)
        self._held = 0

    def _perform_all(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Respond):
                request: PendingRequest = action.handle  # type: ignore[assignment]
                self.owner.responded(request)
                request.respond(action.body, action.status, self.session.negotiated.content)
            elif isinstance(action, Deliver):
                for element in action.elements:
                    self.stream.receive(element)
            elif isinstance(action, Ended):
                self._release_bytes()
                self.owner.ended(self)
                self.stream.closed(action.undelivered, action.unconfirmed)
            else:
                self.stream.restart()

    def _set_deadline(self) -> None:
        wheel = self.owner.wheel
        if self.session.ended:
            wheel.clear(self)
        else:
            wheel.set(self, min(self.session.deadline, self.stream.deadline))

    def __repr__(self) -> str:
        return f"<BoshTransport of {self.stream!r}>"
