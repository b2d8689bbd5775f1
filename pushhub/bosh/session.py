"""One BOSH session, as a state machine (XEP-0124).

Events are method calls, and return actions, to be performed in order:

    request       an HTTP request arrived             → Deliver, Restart, certain Responds
    disconnected  its connection closed before the response; then call `flush`
    put           the stream has elements for the client
    flush         the actions are performed, and the stream has put its elements → Responds
    expire        `deadline` has passed               → Responds, Ended
    terminate     the stream has ended                → Responds, Ended

Rule 1: after `request`, perform its actions, then call `flush`. Only `flush` decides which requests
get a response and which are held: the stream's new elements go out with the oldest request, all in
one body, and no request gets an empty response without need.

Rule 2: requests are processed in rid order, and get their responses in rid order [E5] [K2].

Rule 3: a payload goes into one response only. All connections of a rid get the same bytes, those of
repeats too, and only a connected client gets a response: the request of a disconnected client stays
open, and new elements wait for its next one.

After each event, `deadline` is when to call `expire`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pushhub import xml
from pushhub.bosh.action import Action, Deliver, Ended, Respond, Restart
from pushhub.bosh.body import EMPTY, payload, terminate
from pushhub.bosh.checks import Checks, checksum
from pushhub.bosh.condition import LEGACY_STATUS, BindingError, BoshCondition
from pushhub.bosh.keys import KeySequence, first_key, key_of
from pushhub.bosh.negotiation import BoshPolicy, Negotiation, negotiate, opening
from pushhub.bosh.outbox import Outbox
from pushhub.bosh.window import MAX_UNACKNOWLEDGED, OpenRequest, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pushhub.bosh.body import BoshBody
    from pushhub.xml import Element

TERMINATED = "terminated"
INACTIVITY = "inactivity"


class BoshSession:
    """A session and its requests. `now` is in seconds, of one clock that never goes back.

    Args:
        sid: unpredictable [D1] [O5].
        negotiated: the session's parameters.
        rid: of the creation request.
        greeting: the attributes of the creation response.
    """

    __slots__ = (
        "_checks", "_idle", "_outbox", "_seen", "_termination", "_window", "ended", "negotiated",
        "paused_rid", "sid",
    )  # fmt: skip

    def __init__(
        self, sid: str, negotiated: Negotiation, rid: int, now: float, greeting: bytes = b""
    ) -> None:
        self.sid = sid
        self.negotiated = negotiated
        self.ended = False
        self.paused_rid = 0
        # [K4] [F7] The number of responses that are kept for a repeat.
        kept = MAX_UNACKNOWLEDGED if negotiated.acks else negotiated.requests
        self._window = Window(rid - 1, kept)
        self._checks = Checks(negotiated)
        self._outbox = Outbox(greeting=greeting)
        self._termination: bytes | None = None
        # The time of the last request or response; the allowed silence while no request is held.
        self._seen = now
        self._idle = float(negotiated.inactivity)

    @classmethod
    def create(
        cls, sid: str, body: BoshBody, raw: bytes, policy: BoshPolicy, now: float, handle: object
    ) -> tuple[BoshSession, list[Action]]:
        """Create a session. The creation response waits for the stream's features [D13].

        Raises:
            BindingError: the request is no valid creation request.
        """
        negotiated = negotiate(body, policy)
        session = cls(sid, negotiated, body.rid, now, opening(body, negotiated, policy, sid))
        actions = session.request(body.rid, body, raw, now, handle)
        session._checks.keys = first_key(body)  # [L4]
        return session, actions

    # Requests

    def request(
        self, rid: int, body: BoshBody, raw: bytes, now: float, handle: object
    ) -> list[Action]:
        """Handle a request; `body` was parsed from the bytes `raw`."""
        window = self._window
        if self.ended:
            return [Respond(handle, terminate(BoshCondition.ITEM_NOT_FOUND))]
        self._seen = now
        if window.has(rid):
            return self._repeat(window.find(rid), rid, body, raw, now, handle)
        window.confirm()
        actions: list[Action] = []
        if rid > window.last + self._simultaneous(body):
            self._fail(BoshCondition.ITEM_NOT_FOUND, (handle,), actions)  # [K3] [K8] [K10]
            return actions
        key = key_of(body) if self._checks.keys is not None else ""
        entry = OpenRequest(rid, handle, now, checksum(body, raw), key, body)
        if rid != window.last + 1:
            window.defer(entry)
            return actions
        self._process(entry, now, actions)
        while not self.ended and (early := window.next(now)) is not None:
            self._process(early, now, actions)
        return actions

    def _simultaneous(self, body: BoshBody) -> int:
        """How many requests may be open at one time, the last of them with this body: one more than
        usual, if it asks for a pause or for the end [H1]. It may arrive before the others."""
        requests = self.negotiated.requests
        is_last = body.get("type") == "terminate" or "pause" in body.attributes
        return requests + 1 if is_last else requests

    def _process(self, entry: OpenRequest, now: float, actions: list[Action]) -> None:
        """Process the next request."""
        body, negotiated = entry.body, self.negotiated
        assert body is not None
        try:
            pause = self._checks.admit(body, now, idle=not self._outbox.payloads)
            if negotiated.acks:
                outbox = self._outbox
                outbox.report = self._window.acknowledge(body, now) or outbox.report
        except BindingError as error:
            self._fail(error.condition, entry.handles, actions)
            return
        self._window.begin(entry)
        self._idle = negotiated.inactivity  # [G9]
        if self._termination is not None:
            self._leave(actions)
            return
        if body.restarts:
            actions.append(Restart(body))  # [P9] Its other content is ignored.
        elif body.children:
            actions.append(Deliver(body.children))  # [E1]
        if body.get("type") == "terminate":
            self._terminated(actions)
        elif pause is not None:
            self._pause(entry.rid, pause, now, actions)

    def _repeat(
        self,
        entry: OpenRequest | None,
        rid: int,
        body: BoshBody,
        raw: bytes,
        now: float,
        handle: object,
    ) -> list[Action]:
        """Handle a repeated rid: its connection broke, or the client assumes so [K9]."""
        actions: list[Action] = []
        try:
            self._checks.admit_repeat(entry, body, raw)
        except BindingError as error:
            self._fail(error.condition, (handle,), actions)
            return actions
        if entry is None:
            if rid == self.paused_rid:
                actions.append(Respond(handle, EMPTY))
            else:
                self._fail(BoshCondition.ITEM_NOT_FOUND, (handle,), actions)  # [K8]
        elif entry.response:
            actions.append(Respond(handle, entry.response))  # [K5]
        else:
            entry.join(handle, now)  # [K6]
        return actions

    def disconnected(self, handle: object, now: float) -> None:
        """The connection of a request closed. The elements for it wait for the next request."""
        if self._window.disconnect(handle):
            self._seen = now

    def _pause(self, rid: int, seconds: int, now: float, actions: list[Action]) -> None:
        """Respond to all open requests, this one included, and allow a longer silence [G6].

        The responses are empty [G7].
        """
        actions += self._window.pause(now)
        self.paused_rid = rid  # A repeat of it gets a response.
        self._idle = seconds

    # Responses

    def put(self, *payloads: Element | bytes) -> None:
        """Add elements for the client, in wire form (`body.payload`) or not."""
        if self.ended or self._termination is not None:
            return
        for each in payloads:
            self._outbox.put(each if isinstance(each, bytes) else payload(each))

    def flush(self, now: float) -> list[Action]:
        """Respond with the waiting elements [E7], and to requests that may not be held longer
        [E4]."""
        actions: list[Action] = []
        if self.ended:
            return actions
        while self._window.open and self._must_respond():
            self._respond(now, actions)
        if self._outbox.payloads and self._outbox.overflows:
            self._end(BoshCondition.UNDEFINED_CONDITION, actions, lost=True)
        return actions

    def _must_respond(self) -> bool:
        """Whether the lowest open request may not be held longer."""
        window, outbox, negotiated = self._window, self._outbox, self.negotiated
        if not window.open[0].handles:
            return window.waiting_since is not None
        due = bool(outbox.payloads or outbox.report) or len(window.open) > negotiated.hold
        return due or negotiated.wait == 0 or window.must_be_empty

    def _respond(self, now: float, actions: list[Action]) -> None:
        """Respond to the lowest open request: with as many elements as fit, if its client is
        connected."""
        window = self._window
        entry = window.open[0]
        if entry.must_be_empty or not entry.handles:
            actions += window.settle_empty(now)
            return
        ack = window.last if self.negotiated.acks and window.last != entry.rid else None
        response = self._outbox.write(ack)
        actions += entry.respond(response)
        window.settle(entry, response, now)
        self._seen = now

    @property
    def held_bytes(self) -> int:
        """The bytes for the client."""
        return self._outbox.size + self._window.held_bytes + len(self._termination or b"")

    @property
    def deadline(self) -> float:
        """When `expire` must be called."""
        negotiated, window = self.negotiated, self._window
        since = window.waiting_since
        due = self._seen + self._idle if since is None else since + negotiated.wait
        if window.early is not None:
            due = min(due, window.gap_since + negotiated.inactivity)
        return due

    def expire(self, now: float) -> list[Action]:
        """Respond to requests that have waited for `wait` [E4] [E6]; end an inactive session
        [G2]."""
        actions: list[Action] = []
        if self.ended:
            return actions
        window, negotiated = self._window, self.negotiated
        if window.early is not None and now >= window.gap_since + negotiated.inactivity:
            # A request was lost, and its client does not repeat it: a page was reloaded while the
            # request was sent. Later requests cannot be processed [K2].
            self._end(BoshCondition.ITEM_NOT_FOUND, actions)
            return actions
        while window.waiting_since is not None and now >= window.waiting_since + negotiated.wait:
            self._respond(now, actions)
        if now >= self._seen + self._idle and not window.clients():
            self._over(INACTIVITY, actions, lost=True)
        return actions

    # Ends

    def terminate(
        self, condition: BoshCondition | None, payloads: Iterable[Element | bytes], now: float
    ) -> list[Action]:
        """End the session with its stream. Without an open request, the next request gets the end
        [N1].

        A stream's error is the last of `payloads`, and the condition remote-stream-error [P13].
        """
        self.put(*payloads)
        if self.ended or self._termination is not None:
            return []
        self._termination = terminate(condition, self._outbox.payloads)
        self._seen = now
        actions: list[Action] = []
        if self._window.clients():
            self._leave(actions)
        return actions

    def pending(self) -> tuple[tuple[Element, ...], tuple[Element, ...]]:
        """The elements that no response carried, and those that the client may not have received:
        its next request, which follows such a response immediately, has not arrived."""
        waiting = tuple(xml.parse(data, own=True) for data in self._outbox.payloads)
        return waiting, tuple(self._window.unconfirmed())

    def reclaim(self) -> tuple[tuple[Element, ...], tuple[Element, ...]]:
        """Before `terminate`: take the `pending` elements back, if no request is open. The request
        that gets the end does not get them."""
        if self.ended or self._window.clients():
            return (), ()
        pending = self.pending()
        self._outbox.clear()
        return pending

    def _leave(self, actions: list[Action]) -> None:
        """Respond to all open requests with the end: the first gets the last payloads."""
        termination = self._termination
        assert termination is not None
        others = terminate(BoshCondition.OTHER_REQUEST)
        actions += self._window.respond_to_all(termination, others)
        self._outbox.clear()
        self._over(TERMINATED, actions)

    def _terminated(self, actions: list[Action]) -> None:
        """The client ends the session: the oldest request gets the end, the others nothing [J2]."""
        actions += self._window.respond_to_all(terminate(), EMPTY)
        self._over(TERMINATED, actions)

    def _fail(
        self, condition: BoshCondition, handles: tuple[object, ...], actions: list[Action]
    ) -> None:
        """A request broke the rules, which ends the session [N1]. The window does not have it."""
        for handle in handles:
            self._refuse(condition, handle, actions)
        for handle in self._window.clients():
            self._refuse(BoshCondition.OTHER_REQUEST, handle, actions)
        self._over(condition, actions)

    def _end(self, condition: BoshCondition, actions: list[Action], *, lost: bool = False) -> None:
        """End the session, though no request broke a rule."""
        for handle in self._window.clients():
            self._refuse(condition, handle, actions)
        self._over(condition, actions, lost=lost)

    def _refuse(self, condition: BoshCondition, handle: object, actions: list[Action]) -> None:
        status = LEGACY_STATUS.get(condition, 200) if self.negotiated.legacy else 200
        actions.append(Respond(handle, terminate(condition), status))

    def _over(self, reason: str, actions: list[Action], *, lost: bool = False) -> None:
        """`lost`: the client vanished, perhaps before the last responses."""
        self.ended = True
        undelivered, unconfirmed = self.pending()
        actions.append(Ended(reason, undelivered, unconfirmed if lost else ()))
        self._outbox.clear()
        self._window = Window(self._window.last, 0)

    def hurry(self, now: float) -> list[Action]:
        """Respond to all open requests now: the node between them and this one leaves."""
        actions: list[Action] = []
        while self._window.open:
            self._respond(now, actions)
        return actions

    # Moving to another node

    def release(self, now: float) -> list[Action]:
        """Respond to all requests: their clients return to the session's next node. Early ones
        cannot get a response in order: after a 503 their clients send them again."""
        window = self._window
        actions = self.hurry(now)
        actions += [Respond(handle, b"", 503) for handle in window.clients()]
        window.early = None
        return actions

    def dump(self, now: float) -> dict[str, Any]:
        """A released session as JSON. Times are ages, since clocks differ."""
        assert not self._window.open
        return {
            "sid": self.sid,
            "terms": asdict(self.negotiated),
            **self._window.dump(now),
            **self._outbox.dump(),
            "farewell": None if self._termination is None else self._termination.decode(),
            "key": self._checks.keys and self._checks.keys.expected,
            "paused": self.paused_rid,
            "idle": self._idle,
            "seen": now - self._seen,
        }

    @classmethod
    def load(cls, data: Mapping[str, Any], now: float) -> BoshSession:
        """The session in a dump."""
        session = cls(data["sid"], Negotiation(**data["terms"]), data["last"] + 1, now)
        session._window.load(data, now)
        session._outbox = Outbox.load(data)
        farewell, key = data["farewell"], data["key"]
        session._termination = None if farewell is None else farewell.encode()
        session._checks.keys = None if key is None else KeySequence(key)
        session.paused_rid = data["paused"]
        session._idle = data["idle"]
        session._seen = now - data["seen"]
        return session

    def __repr__(self) -> str:
        state = "ended" if self.ended else f"{len(self._outbox.payloads)} queued"
        return f"<BoshSession {self.sid[:4]}… {state} {self._window!r}>"
