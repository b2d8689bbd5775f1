"""One BOSH session, as a state machine (XEP-0124).

Events are method calls, and return actions, which are to be done in their order:

    request     an HTTP request has come          → Deliver, Restart, and an Answer where it is sure
    gone        its client went before the answer
    put         the stream has something for the client
    flush       the actions are done, and the stream has put what it had → Answers
    expire      `deadline` has passed             → Answers, Ended
    terminate   the stream is over                → Answers, Ended

Rule 1: after `request`, do its actions, then call `flush`. Only then it is decided what is answered
and what is held: what the stream has said meanwhile goes out with the oldest request, all in one
body, and no request is answered empty that need not be.

Rule 2: requests are processed in rid order, and answered in rid order [E5] [K2].

Rule 3: a payload goes into one answer only. A repeated request gets the same bytes again, and an
answer is made for somebody who is there: a client that has gone leaves its request open, and what
comes waits for its next one.

After each event, `deadline` is when to call `expire`.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pushhub.bosh.action import Action, Answer, Deliver, Ended, Restart
from pushhub.bosh.body import EMPTY, RESTART, Body, lines, payload, terminate, write
from pushhub.bosh.condition import LEGACY_STATUS, BindingError, Condition
from pushhub.bosh.keys import KeySequence, key_of
from pushhub.bosh.terms import Policy, Terms, negotiate, opening
from pushhub.bosh.window import MAX_UNACKNOWLEDGED, Entry, Window
from pushhub.protocol import xml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pushhub.protocol.xml import Element

# One answer carries so many bytes, or one payload: what it takes is kept for a repeat, too.
MAX_ANSWER_BYTES = 256 * 1024
# What waits for a client that does not come: as much as pushhub answers a poll at most.
MAX_QUEUED_BYTES = 1024 * 1024
MAX_QUEUED = 1000

# [K7] Strophe.js and stanza.io give up after five.
MAX_REPEATS = 20

# [F5] A client is told of an answer that it may have lost, when it had a second to come. Before
# that its acknowledgement and our answer have only crossed.
REPORT_SECONDS = 1.0
MAX_TIME = 65535  # [B9]

# What makes an empty request more than a poll.
_SPECIAL = {"type", "pause", RESTART}

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
        "_farewell",
        "_greeting",
        "_heard",
        "_idle",
        "_keys",
        "_polled",
        "_queue",
        "_queued",
        "_repeats",
        "_report",
        "_seen",
        "_since",
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
        self._window = Window(rid - 1)
        # What is to be sent, and how many bytes that is.
        self._queue: list[bytes] = []
        self._queued = 0
        self._greeting: bytes | None = greeting
        self._farewell: bytes | None = None
        self._keys: KeySequence | None = None
        self._repeats = 0
        self._report = b""
        # Up to which rid there were answers when a request came last.
        self._heard = 0
        # When anything came or left last; for how long nothing may, with no request held.
        self._seen = now
        self._idle = float(terms.inactivity)
        # Since when there has been a gap in the rids, and when a poll was answered empty last.
        self._since = now
        self._polled = -1e9

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
            session._keys = KeySequence(newkey)  # [L4]
        return session, actions

    # Requests

    def request(self, rid: int, body: Body, raw: bytes, now: float, handle: object) -> list[Action]:
        """Take a request, with the `raw` bytes that the `body` was parsed from."""
        window = self._window
        if self.ended:
            return [Answer(handle, terminate(Condition.ITEM_NOT_FOUND))]
        self._seen = now
        if window.answered:
            self._heard = window.answered[-1].rid
        if rid <= window.last:
            return self._repeat(window.find(rid), rid, body, raw, now, handle)
        actions: list[Action] = []
        if rid > window.last + self.terms.requests:
            self._fail(Condition.ITEM_NOT_FOUND, handle, actions)  # [K3] [K8] [K10]
            return actions
        mark = zlib.crc32(raw) if body.children else 0
        entry = Entry(rid, handle, now, mark, key_of(body) if self._keys else "", body)
        if rid != window.last + 1:
            if older := window.find(rid):
                return self._repeat(older, rid, body, raw, now, handle)
            if window.early is None:
                self._since = now
            window.defer(entry)
            return actions
        self._process(entry, now, actions)
        while window.early is not None and not self.ended:
            early = window.next()
            if early is None:
                break
            self._process(early, now, actions)
            self._since = now
        return actions

    def _process(self, entry: Entry, now: float, actions: list[Action]) -> None:
        """It is the entry's turn."""
        body, terms = entry.body, self.terms
        assert body is not None
        attributes = body.attributes
        try:
            if self._keys is not None:
                self._keys.admit(body)
            pause = body.number("pause") if "pause" in attributes else None
            if pause is not None and terms.maxpause and pause > terms.maxpause:
                detail = f"'pause' is at most {terms.maxpause} seconds."
                raise BindingError(Condition.POLICY_VIOLATION, detail)  # [G10]
            if terms.acks:
                self._acknowledged(body, now)
            if terms.polling:
                self._check_pace(body, now)
        except BindingError as error:
            self._fail(error.condition, entry.handle, actions)
            return
        self._window.begin(entry)
        self._repeats = 0
        self._idle = terms.inactivity  # [G9]
        if self._farewell is not None:
            self._leave(actions)
            return
        if body.restarts:
            actions.append(Restart(body))  # [P9] Whatever else is in it is ignored.
        elif body.children:
            actions.append(Deliver(body.children))  # [E1]
        if attributes.get("type") == "terminate":
            self._terminated(actions)
        elif pause is not None and terms.maxpause:
            self._pause(entry.rid, pause, now, actions)

    def _repeat(
        self, entry: Entry | None, rid: int, body: Body, raw: bytes, now: float, handle: object
    ) -> list[Action]:
        """A rid that was here before: its connection broke, or the client thinks so [K9]."""
        actions: list[Action] = []
        self._repeats += 1
        if self._repeats > MAX_REPEATS:
            self._fail(Condition.POLICY_VIOLATION, handle, actions)  # [K7]
        elif entry is None and rid == self.paused_rid:
            actions.append(Answer(handle, EMPTY))
        elif entry is None or (self._keys is not None and key_of(body) != entry.key):
            self._fail(Condition.ITEM_NOT_FOUND, handle, actions)  # [K8] [L7]
        elif body.children and zlib.crc32(raw) != entry.mark:
            # [N4] Stanzas that nobody would ever see: two pages share a session, and its rids.
            self._fail(Condition.POLICY_VIOLATION, handle, actions)
        elif entry.answer:
            actions.append(Answer(handle, entry.answer))  # [K5]
        else:
            # [K6] Not an error, for which Strophe.js would forget the request.
            if entry.handle is not None:
                actions.append(Answer(entry.handle, EMPTY))
            entry.handle = handle
            entry.at = now
        return actions

    def gone(self, handle: object, now: float) -> None:
        """A request's client has gone. What it would have been answered waits for the next one."""
        for entry in self._window.waiting():
            if entry.handle is handle:
                entry.handle = None
                self._seen = now

    def _acknowledged(self, body: Body, now: float) -> None:
        """The client says what it has: without `ack`, everything before this request [F4]."""
        ack = body.number("ack")
        answered = self._window.answered
        if ack is None:
            ack = body.rid - 1
        elif answered and ack < answered[-1].rid:
            missing = next((entry for entry in answered if entry.rid == ack + 1), None)
            if missing is not None and now - missing.at >= REPORT_SECONDS:
                time = min(round((now - missing.at) * 1000), MAX_TIME)
                self._report = lines((("report", missing.rid), ("time", time)))  # [F5]
        self._window.confirm(ack)

    def _check_pace(self, body: Body, now: float) -> None:
        """Two empty polls in a polling session come at least `polling` seconds apart [I3].

        Half of that is enough: two that left far enough apart may arrive closer together.
        """
        if not body.children and not _SPECIAL & body.attributes.keys():
            if now - self._polled < self.terms.polling / 2:
                detail = f"Empty requests come {self.terms.polling} seconds apart."
                raise BindingError(Condition.POLICY_VIOLATION, detail)
            if not self._queue:
                self._polled = now

    def _pause(self, rid: int, seconds: int, now: float, actions: list[Action]) -> None:
        """Answer everything that is open, this too, and let the client be silent for longer [G6].

        Nothing is in the answers [G7].
        """
        window = self._window
        while window.open:
            entry = window.open[0]
            if entry.handle is not None:
                actions.append(Answer(entry.handle, EMPTY))
            window.pass_by(now)
        window.answered.pop()  # [G10] But a repeat of it is answered.
        window.keep(self._kept)
        self.paused_rid = rid
        self._idle = seconds

    # Answers

    def put(self, *payloads: Element | bytes) -> None:
        """Something for the client: elements, or what `body.payload` made of one."""
        if self.ended or self._farewell is not None:
            return
        for each in payloads:
            data = each if isinstance(each, bytes) else payload(each)
            self._queue.append(data)
            self._queued += len(data)

    def send(self, *payloads: Element | bytes, now: float) -> list[Action]:
        """`put` and `flush`."""
        self.put(*payloads)
        return self.flush(now)

    def flush(self, now: float) -> list[Action]:
        """Answer with what was put [E7], and what may not be held any longer [E4]."""
        actions: list[Action] = []
        if self.ended:
            return actions
        window, terms = self._window, self.terms
        held = window.open
        while held:
            entry = held[0]
            if entry.handle is None:
                if all(other.handle is None for other in held):
                    break
                window.pass_by(now)
            elif self._queue or self._report or len(held) > terms.hold or terms.wait == 0:
                self._answer(entry, now, actions)
            else:
                break
        if len(self._queue) > MAX_QUEUED or self._queued > MAX_QUEUED_BYTES:
            # Nobody has come for it for long.
            self._end(Condition.UNDEFINED_CONDITION, actions, lost=True)
        return actions

    @property
    def _kept(self) -> int:
        """How many answers are kept for a repeat [K4] [F7]."""
        return MAX_UNACKNOWLEDGED if self.terms.acks else self.terms.requests

    def _answer(self, entry: Entry, now: float, actions: list[Action]) -> None:
        """Answer the lowest open request with as much as there is."""
        attributes = self._report
        if attributes:
            self._report = b""
        if self._greeting is not None:
            attributes, self._greeting = self._greeting, None
        elif self.terms.acks and self._window.last != entry.rid:
            attributes += lines((("ack", self._window.last),))  # [F2]
        answer = write(self._take(), attributes) if self._queue or attributes else EMPTY  # [E6]
        actions.append(Answer(entry.handle, answer))
        self._window.settle(entry, answer, now)
        self._window.keep(self._kept)
        self._seen = now

    def _take(self) -> list[bytes]:
        """What goes into one answer."""
        queue = self._queue
        if self._queued <= MAX_ANSWER_BYTES:
            self._queue, self._queued = [], 0
            return queue
        count, size = 0, 0
        for data in queue:
            if count and size + len(data) > MAX_ANSWER_BYTES:
                break
            count += 1
            size += len(data)
        taken, self._queue = queue[:count], queue[count:]
        self._queued -= size
        return taken

    # Time

    @property
    def deadline(self) -> float:
        """When `expire` is to be called."""
        terms, window = self.terms, self._window
        live = [entry.at for entry in window.open if entry.handle is not None]
        due = min(live) + terms.wait if live else self._seen + self._idle
        if window.early is not None:
            due = min(due, self._since + terms.inactivity)
        return due

    def expire(self, now: float) -> list[Action]:
        """Answer who has waited for long enough [E4] [E6]; end what nobody comes for [G2]."""
        actions: list[Action] = []
        if self.ended:
            return actions
        window, terms = self._window, self.terms
        if window.early is not None and now >= self._since + terms.inactivity:
            # A request was lost on its way, and its client does not repeat it: a page was reloaded
            # while it left. Those after it cannot be processed [K2].
            self._end(Condition.ITEM_NOT_FOUND, actions)
            return actions
        while any(e.handle is not None and now >= e.at + terms.wait for e in window.open):
            entry = window.open[0]
            if entry.handle is not None:
                self._answer(entry, now, actions)
            else:
                window.pass_by(now)
        if now >= self._seen + self._idle and all(e.handle is None for e in window.waiting()):
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
        self._farewell = terminate(condition, self._queue)
        self._seen = now
        actions: list[Action] = []
        if any(entry.handle is not None for entry in self._window.waiting()):
            self._leave(actions)
        return actions

    def pending(self) -> tuple[tuple[Element, ...], tuple[Element, ...]]:
        """What the client surely has not yet, since no answer carried it, and what it may not have:
        its next request, which comes at once after such an answer, has not come."""
        unconfirmed: list[Element] = []
        for entry in self._window.answered:
            if entry.rid > self._heard and entry.answer != EMPTY:
                unconfirmed += xml.parse(entry.answer, own=True).elements
        return tuple(xml.parse(data, own=True) for data in self._queue), tuple(unconfirmed)

    def reclaim(self) -> tuple[tuple[Element, ...], tuple[Element, ...]]:
        """Before `terminate`: take back what is `pending`, if nobody is there to be told. Who comes
        for the farewell does not get it."""
        if self.ended or any(entry.handle is not None for entry in self._window.waiting()):
            return (), ()
        pending = self.pending()
        self._queue, self._queued = [], 0
        return pending

    def _leave(self, actions: list[Action]) -> None:
        """Say farewell to whoever waits: the first gets the last payloads."""
        farewell = self._farewell
        assert farewell is not None
        for entry in self._window.waiting():
            if entry.handle is not None:
                actions.append(Answer(entry.handle, farewell))
                farewell = terminate(Condition.OTHER_REQUEST)
        self._queue.clear()
        self._over(TERMINATED, actions)

    def _terminated(self, actions: list[Action]) -> None:
        """The client ends the session: the oldest request is told, the others get nothing [J2]."""
        answer = terminate()
        for entry in self._window.waiting():
            if entry.handle is not None:
                actions.append(Answer(entry.handle, answer))
                answer = EMPTY
        self._over(TERMINATED, actions)

    def _fail(self, condition: Condition, handle: object, actions: list[Action]) -> None:
        """A request broke the rules, and with them the session [N1]."""
        if handle is not None:
            self._refuse(condition, handle, actions)
        for entry in self._window.waiting():
            if entry.handle is not None and entry.handle is not handle:
                self._refuse(Condition.OTHER_REQUEST, entry.handle, actions)
        self._over(condition, actions)

    def _end(self, condition: Condition, actions: list[Action], *, lost: bool = False) -> None:
        """Nobody broke a rule, and the session ends all the same."""
        for entry in self._window.waiting():
            if entry.handle is not None:
                self._refuse(condition, entry.handle, actions)
        self._over(condition, actions, lost=lost)

    def _refuse(self, condition: Condition, handle: object, actions: list[Action]) -> None:
        status = LEGACY_STATUS.get(condition, 200) if self.terms.legacy else 200
        actions.append(Answer(handle, terminate(condition), status))

    def _over(self, reason: str, actions: list[Action], *, lost: bool = False) -> None:
        """`lost` is whether the client went without a word, perhaps before the last answers."""
        self.ended = True
        undelivered, unconfirmed = self.pending()
        actions.append(Ended(reason, undelivered, unconfirmed if lost else ()))
        self._queue = []
        self._window = Window(self._window.last)

    # Moving to another node

    def release(self, now: float) -> list[Action]:
        """Let go of all requests: their clients come back, to whoever has the session then.

        Those that came early cannot be answered in order. They get a 503, for which clients send
        the same request again.
        """
        window = self._window
        actions: list[Action] = []
        while window.open:
            entry = window.open[0]
            if entry.handle is not None:
                self._answer(entry, now, actions)
            else:
                window.pass_by(now)
        waiting = [entry.handle for entry in window.waiting() if entry.handle is not None]
        actions += [Answer(handle, b"", 503) for handle in waiting]
        window.early = None
        return actions

    def dump(self, now: float) -> dict[str, Any]:
        """All of a released session, as JSON takes it. Times are ages: clocks differ."""
        assert not self._window.open
        return {
            "sid": self.sid,
            "terms": asdict(self.terms),
            "last": self._window.last,
            "answered": [
                [entry.rid, entry.answer.decode(), entry.mark, entry.key, now - entry.at]
                for entry in self._window.answered
            ],
            "queue": [data.decode() for data in self._queue],
            "greeting": None if self._greeting is None else self._greeting.decode(),
            "farewell": None if self._farewell is None else self._farewell.decode(),
            "key": None if self._keys is None else self._keys.expected,
            "paused": self.paused_rid,
            "idle": self._idle,
            "seen": now - self._seen,
            "heard": self._heard,
        }

    @classmethod
    def load(cls, data: Mapping[str, Any], now: float) -> Session:
        """The session that was dumped."""
        session = cls(data["sid"], Terms(**data["terms"]), data["last"] + 1, now)
        for rid, answer, mark, key, age in data["answered"]:
            entry = Entry(rid, None, now - age, mark, key, None)
            entry.answer = answer.encode()
            session._window.answered.append(entry)
        greeting, farewell = data["greeting"], data["farewell"]
        session._greeting = None if greeting is None else greeting.encode()
        session._farewell = None if farewell is None else farewell.encode()
        session._keys = None if data["key"] is None else KeySequence(data["key"])
        session._queue = [text.encode() for text in data["queue"]]
        session._queued = sum(map(len, session._queue))
        session.paused_rid = data["paused"]
        session._idle = data["idle"]
        session._seen = now - data["seen"]
        session._heard = data["heard"]
        return session

    def __repr__(self) -> str:
        state = "ended" if self.ended else f"{len(self._queue)} queued"
        return f"<Session {self.sid[:4]}… {state} {self._window!r}>"
