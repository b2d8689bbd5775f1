"""One BOSH session and the stream that it carries: what the one wants done, the other does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from pushhub.bosh.action import Action, Answer, Deliver, Ended
from pushhub.bosh.condition import Condition
from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.bosh.body import Body
    from pushhub.bosh.session import Session
    from pushhub.bosh.sessions import Caller
    from pushhub.protocol.xml import Element
    from pushhub.xmpp.sessions import BoshSessions
    from pushhub.xmpp.stream import Stream


class Carrier:
    """A session of BOSH, as the transport of its stream."""

    __slots__ = ("_doing", "_flushing", "client", "owner", "session", "stream", "tick")

    def __init__(self, owner: BoshSessions, session: Session) -> None:
        self.owner = owner
        self.session = session
        self.stream: Stream
        # The address that the last request came from.
        self.client = ""
        self.tick = OFF
        # Whether actions are being done: what the stream says then goes out with their answer.
        self._doing = False
        self._flushing = False

    # What HTTP says

    def request(self, body: Body, raw: bytes, caller: Caller) -> None:
        """Take a request."""
        self.client = caller.client
        self.do(self.session.request(body.rid, body, raw, self.owner.now(), caller))

    def gone(self, caller: Caller) -> None:
        """A request's connection was closed before the answer."""
        self.session.gone(caller, self.owner.now())
        self.flush()

    def expire(self) -> None:
        """A deadline has passed, the session's or the login's; see `Wheel`."""
        if self.owner.now() >= self.stream.login_by:
            self.stream.expire()
        self._do_all(self.session.expire(self.owner.now()))
        self._set_deadline()

    # What the stream says

    def send(self, payload: bytes) -> None:
        """Bring an element to the client: with the answer that is being made, or with all that
        comes in this turn of the loop."""
        self.session.put(payload)
        if not (self._doing or self._flushing):
            self._flushing = True
            asyncio.get_running_loop().call_soon(self.flush)

    def pending(self) -> list[Element]:
        """What the client may not have."""
        undelivered, unconfirmed = self.session.pending()
        return [*unconfirmed, *undelivered]

    def reclaim(self) -> tuple[Sequence[Element], Sequence[Element]]:
        """Take that back, if nobody is there for it."""
        return self.session.reclaim()

    def end(self, error: Element | None) -> None:
        """The stream is over."""
        condition = None if error is None else Condition.REMOTE_STREAM_ERROR  # [N2]
        payloads = () if error is None else (error,)  # [P13]
        self._do_all(self.session.terminate(condition, payloads, self.owner.now()))
        self._set_deadline()

    def release(self) -> bytes | None:
        """Let go of all requests; the session and its stream as JSON, None if something is still
        under way."""
        stream = self.stream.dump()
        if stream is None or self.session.ended:
            return None
        now = self.owner.now()
        self._do_all(self.session.release(now))
        self.owner.wheel.clear(self)
        return orjson.dumps({"bosh": self.session.dump(now), "stream": stream})

    # Doing it

    def do(self, actions: list[Action]) -> None:
        """Do what a request asks for, and answer what can be answered then."""
        self._doing = True
        self._do_all(actions)
        self._doing = False
        self.flush()

    def flush(self) -> None:
        """Answer with what there is."""
        self._flushing = False
        self._do_all(self.session.flush(self.owner.now()))
        self._set_deadline()

    def _do_all(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Answer):
                caller: Caller = action.handle  # type: ignore[assignment]
                self.owner.answered(caller)
                caller.answer(action.body, action.status, self.session.terms.content)
            elif isinstance(action, Deliver):
                for element in action.elements:
                    self.stream.receive(element)
            elif isinstance(action, Ended):
                self.owner.ended(self)
                self.stream.closed(action.undelivered, action.unconfirmed)
            else:
                self.stream.restart()

    def _set_deadline(self) -> None:
        wheel = self.owner.wheel
        if self.session.ended:
            wheel.clear(self)
        else:
            wheel.set(self, min(self.session.deadline, self.stream.login_by))

    def __repr__(self) -> str:
        return f"<Carrier of {self.stream!r}>"
