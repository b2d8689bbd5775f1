"""One BOSH session, as a state machine (XEP-0124).

Events are method calls, and return actions, which are to be done in their order:

    request     an HTTP request has come          → Deliver, Restart, and an Answer where it is sure
    gone        its connection was closed before the answer; then call `flush`
    put         the stream has something for the client
    flush       the actions are done, and the stream has put what it had → Answers
    expire      `deadline` has passed             → Answers, Ended
    terminate   the stream is over                → Answers, Ended

Rule 1: after `request`, do its actions, then call `flush`. Only then it is decided what is answered
and what is held: what the stream has said meanwhile goes out with the oldest request, all in one
body, and no request is answered empty that need not be.

Rule 2: requests are processed in rid order, and answered in rid order [E5] [K2].

Rule 3: a payload goes into one answer only. All connections of a rid get the same bytes, those of
repeats too, and an answer is made for a client that is connected: one that has disconnected leaves
its request open, and what comes waits for its next one.

After each event, `deadline` is when to call `expire`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pushhub.bosh.action import Action, Answer, Deliver, Ended, Restart
from pushhub.bosh.admission import Admission, mark_of
from pushhub.bosh.body import EMPTY, payload, terminate
from pushhub.bosh.condition import LEGACY_STATUS, BindingError, Condition
from pushhub.bosh.keys import KeySequence, key_of
from pushhub.bosh.outbox import Outbox
from pushhub.bosh.terms import Policy, Terms, negotiate, opening
from pushhub.bosh.window import MAX_UNACKNOWLEDGED, Entry, Window
from pushhub.protocol import xml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pushhub.bosh.body import Body
    from pushhub.protocol.xml import Element

TERMINATED = "terminated"
INACTIVITY = "inactivity"


class Session:
    """A session and its requests. `now` is in seconds, of one clock that never goes back.

    Args:
        sid: what nobody can guess [D1] [O5].
        terms: what it was granted.
        rid: of the request that created it.
        greeting: the attributes of the answer to that.
    """

    __slots__ = (
        "_admission",
        "_farewell",
        "_idle",
        "_outbox",
        "_seen",
        "_window",
        "ended",
        "paused_rid",
        "sid",
        "terms",
    )

    def __init__(self, sid: str, terms: Terms, rid: int, now: float, greeting: bytes = b"") -> None:
        self.sid = sid
        self.terms = terms
        self.ended = False
        self.paused_rid = 0
        # [K4] [F7] What is kept for a repeat.
        self._window = Window(rid - 1, MAX_UNACKNOWLEDGED if terms.acks else terms.requests)
        self._admission = Admission(terms)
        self._outbox = Outbox(greeting=greeting)
        self._farewell: bytes | None = None
        # When anything came or left last; for how long nothing may, with no request held.
        self._seen = now
        self._idle = float(terms.inactivity)

    @classmethod
    def create(
        cls, sid: str, body: Body, raw: bytes, policy: Policy, now: float, handle: object
    ) -> tuple[Session, list[Action]]:
        """The session that a creation request asks for. Its answer waits for the stream's features
        [D13].

        Raises:
            BindingError: it is none.
        """
        terms = negotiate(body, policy)
        session = cls(sid, terms, body.rid, now, opening(body, terms, policy, sid))
        actions = session.request(body.rid, body, raw, now, handle)
        if newkey := body.get("newkey"):
            session._admission.keys = KeySequence(newkey)  # [L4]
        return session, actions

    # Requests

    def request(self, rid: int, body: Body, raw: bytes, now: float, handle: object) -> list[Action]:
        """Take a request, with the `raw` bytes that the `body` was parsed from."""
        window = self._window
        if self.ended:
            return [Answer(handle, terminate(Condition.ITEM_NOT_FOUND))]
        self._seen = now
        if window.has(rid):
            return self._repeat(window.find(rid), rid, body, raw, now, handle)
        window.hear()
        actions: list[Action] = []
        if rid > window.last + self.terms.requests:
            self._fail(Condition.ITEM_NOT_FOUND, (handle,), actions)  # [K3] [K8] [K10]
            return actions
        key = key_of(body) if self._admission.keys is not None else ""
        entry = Entry(rid, handle, now, mark_of(body, raw), key, body)
        if rid != window.last + 1:
            window.defer(entry)
            return actions
        self._process(entry, now, actions)
        while not self.ended and (early := window.next(now)) is not None:
            self._process(early, now, actions)
        return actions

    def _process(self, entry: Entry, now: float, actions: list[Action]) -> None:
        """It is the entry's turn."""
        body, terms = entry.body, self.terms
        assert body is not None
        try:
            pause = self._admission.admit(body, now, idle=not self._outbox.payloads)
            if terms.acks:
                outbox = self._outbox
                outbox.report = self._window.acknowledge(body, now) or outbox.report
        except BindingError as error:
            self._fail(error.condition, entry.handles, actions)
            return
        self._window.begin(entry)
        self._idle = terms.inactivity  # [G9]
        if self._farewell is not None:
            self._leave(actions)
            return
        if body.restarts:
            actions.append(Restart(body))  # [P9] Whatever else is in it is ignored.
        elif body.children:
            actions.append(Deliver(body.children))  # [E1]
        if body.get("type") == "terminate":
            self._terminated(actions)
        elif pause is not None:
            self._pause(entry.rid, pause, now, actions)

    def _repeat(
        self, entry: Entry | None, rid: int, body: Body, raw: bytes, now: float, handle: object
    ) -> list[Action]:
        """A rid that was here before: its connection broke, or the client thinks so [K9]."""
        actions: list[Action] = []
        try:
            self._admission.admit_again(entry, body, raw)
        except BindingError as error:
            self._fail(error.condition, (handle,), actions)
            return actions
        if entry is None:
            if rid == self.paused_rid:
                actions.append(Answer(handle, EMPTY))
            else:
                self._fail(Condition.ITEM_NOT_FOUND, (handle,), actions)  # [K8]
        elif entry.answer:
            actions.append(Answer(handle, entry.answer))  # [K5]
        else:
            entry.join(handle, now)  # [K6]
        return actions

    def gone(self, handle: object, now: float) -> None:
        """A request's connection was closed. What it would have been answered waits for the next
        one."""
        if self._window.close(handle):
            self._seen = now

    def _pause(self, rid: int, seconds: int, now: float, actions: list[Action]) -> None:
        """Answer everything that is open, this too, and let the client be silent for longer [G6].

        Nothing is in the answers [G7].
        """
        actions += self._window.empty(now)
        self.paused_rid = rid  # A repeat of it is answered.
        self._idle = seconds

    # Answers

    def put(self, *payloads: Element | bytes) -> None:
        """Something for the client: elements, or what `body.payload` made of one."""
        if self.ended or self._farewell is not None:
            return
        for each in payloads:
            self._outbox.put(each if isinstance(each, bytes) else payload(each))

    def flush(self, now: float) -> list[Action]:
        """Answer with what was put [E7], and what may not be held any longer [E4]."""
        actions: list[Action] = []
        if self.ended:
            return actions
        while self._window.open and self._must_answer():
            self._answer(now, actions)
        if self._outbox.payloads and self._outbox.overflows:
            self._end(Condition.UNDEFINED_CONDITION, actions, lost=True)
        return actions

    def _must_answer(self) -> bool:
        """Whether the lowest open request cannot be held any longer."""
        window, outbox, terms = self._window, self._outbox, self.terms
        if not window.open[0].handles:
            return window.since is not None
        sends = bool(outbox.payloads or outbox.report)
        return sends or len(window.open) > terms.hold or terms.wait == 0 or window.doubtful

    def _answer(self, now: float, actions: list[Action]) -> None:
        """Answer the lowest open request: with as much as there is if its client is there."""
        window = self._window
        entry = window.open[0]
        if entry.doubtful or not entry.handles:
            actions += window.pass_by(now)
            return
        answer = self._outbox.write(
            window.last if self.terms.acks and window.last != entry.rid else None
        )
        actions += entry.answers(answer)
        window.settle(entry, answer, now)
        self._seen = now

    # Time

    @property
    def deadline(self) -> float:
        """When `expire` is to be called."""
        terms, window = self.terms, self._window
        since = window.since
        due = self._seen + self._idle if since is None else since + terms.wait
        if window.early is not None:
            due = min(due, window.gap_since + terms.inactivity)
        return due

    def expire(self, now: float) -> list[Action]:
        """Answer who has waited for long enough [E4] [E6]; end what nobody comes for [G2]."""
        actions: list[Action] = []
        if self.ended:
            return actions
        window, terms = self._window, self.terms
        if window.early is not None and now >= window.gap_since + terms.inactivity:
            # A request was lost on its way, and its client does not repeat it: a page was reloaded
            # while it left. Those after it cannot be processed [K2].
            self._end(Condition.ITEM_NOT_FOUND, actions)
            return actions
        while window.since is not None and now >= window.since + terms.wait:
            self._answer(now, actions)
        if now >= self._seen + self._idle and not window.clients():
            self._over(INACTIVITY, actions, lost=True)
        return actions

    # Ends

    def terminate(
        self, condition: Condition | None, payloads: Iterable[Element | bytes], now: float
    ) -> list[Action]:
        """The stream is over. If nobody is there to be told, the next request is told [N1].

        A stream's error is the last of `payloads`, and the condition remote-stream-error [P13].
        """
        self.put(*payloads)
        if self.ended or self._farewell is not None:
            return []
        self._farewell = terminate(condition, self._outbox.payloads)
        self._seen = now
        actions: list[Action] = []
        if self._window.clients():
            self._leave(actions)
        return actions

    def pending(self) -> tuple[tuple[Element, ...], tuple[Element, ...]]:
        """What the client surely has not yet, since no answer carried it, and what it may not have:
        its next request, which comes at once after such an answer, has not come."""
        waiting = tuple(xml.parse(data, own=True) for data in self._outbox.payloads)
        return waiting, tuple(self._window.unconfirmed())

    def reclaim(self) -> tuple[tuple[Element, ...], tuple[Element, ...]]:
        """Before `terminate`: take back what is `pending`, if nobody is there to be told. Who comes
        for the farewell does not get it."""
        if self.ended or self._window.clients():
            return (), ()
        pending = self.pending()
        self._outbox.clear()
        return pending

    def _leave(self, actions: list[Action]) -> None:
        """Say farewell to whoever waits: the first gets the last payloads."""
        farewell = self._farewell
        assert farewell is not None
        actions += self._window.dismiss(farewell, terminate(Condition.OTHER_REQUEST))
        self._outbox.clear()
        self._over(TERMINATED, actions)

    def _terminated(self, actions: list[Action]) -> None:
        """The client ends the session: the oldest request is told, the others get nothing [J2]."""
        actions += self._window.dismiss(terminate(), EMPTY)
        self._over(TERMINATED, actions)

    def _fail(
        self, condition: Condition, handles: tuple[object, ...], actions: list[Action]
    ) -> None:
        """A request broke the rules, and with them the session [N1]. It is in no list of the
        window."""
        for handle in handles:
            self._refuse(condition, handle, actions)
        for handle in self._window.clients():
            self._refuse(Condition.OTHER_REQUEST, handle, actions)
        self._over(condition, actions)

    def _end(self, condition: Condition, actions: list[Action], *, lost: bool = False) -> None:
        """Nobody broke a rule, and the session ends all the same."""
        for handle in self._window.clients():
            self._refuse(condition, handle, actions)
        self._over(condition, actions, lost=lost)

    def _refuse(self, condition: Condition, handle: object, actions: list[Action]) -> None:
        status = LEGACY_STATUS.get(condition, 200) if self.terms.legacy else 200
        actions.append(Answer(handle, terminate(condition), status))

    def _over(self, reason: str, actions: list[Action], *, lost: bool = False) -> None:
        """`lost` is whether the client went without a word, perhaps before the last answers."""
        self.ended = True
        undelivered, unconfirmed = self.pending()
        actions.append(Ended(reason, undelivered, unconfirmed if lost else ()))
        self._outbox.clear()
        self._window = Window(self._window.last, 0)

    # Moving to another node

    def release(self, now: float) -> list[Action]:
        """Let go of all requests: their clients come back, to whoever has the session then.

        Those that came early cannot be answered in order. They get a 503, for which clients send
        the same request again.
        """
        window = self._window
        actions: list[Action] = []
        while window.open:
            self._answer(now, actions)
        actions += [Answer(handle, b"", 503) for handle in window.clients()]
        window.early = None
        return actions

    def dump(self, now: float) -> dict[str, Any]:
        """All of a released session, as JSON takes it. Times are ages: clocks differ."""
        assert not self._window.open
        return {
            "sid": self.sid,
            "terms": asdict(self.terms),
            **self._window.dump(now),
            **self._outbox.dump(),
            "farewell": None if self._farewell is None else self._farewell.decode(),
            "key": self._admission.keys and self._admission.keys.expected,
            "paused": self.paused_rid,
            "idle": self._idle,
            "seen": now - self._seen,
        }

    @classmethod
    def load(cls, data: Mapping[str, Any], now: float) -> Session:
        """The session that was dumped."""
        session = cls(data["sid"], Terms(**data["terms"]), data["last"] + 1, now)
        session._window.load(data, now)
        session._outbox = Outbox.load(data)
        farewell, key = data["farewell"], data["key"]
        session._farewell = None if farewell is None else farewell.encode()
        session._admission.keys = None if key is None else KeySequence(key)
        session.paused_rid = data["paused"]
        session._idle = data["idle"]
        session._seen = now - data["seen"]
        return session

    def __repr__(self) -> str:
        state = "ended" if self.ended else f"{len(self._outbox.payloads)} queued"
        return f"<Session {self.sid[:4]}… {state} {self._window!r}>"
