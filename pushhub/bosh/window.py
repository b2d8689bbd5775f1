"""The requests of a session by their rids: those that came early, those that are open, and those
whose answers are kept for a repeat (XEP-0124 §14).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.bosh.action import Answer
from pushhub.bosh.body import EMPTY, Body, lines
from pushhub.protocol import xml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pushhub.bosh.action import Action
    from pushhub.protocol.xml import Element

# [F7] How many answers are kept for a client that acknowledges, and does not.
MAX_UNACKNOWLEDGED = 20

# [F5] A client is told of an answer that it may have lost, when it had a second to come. Before
# that its acknowledgement and our answer have only crossed.
REPORT_SECONDS = 1.0
MAX_TIME = 65535  # [B9]

# [K6] Connections of one rid that are held: the one that the client has given up, and the one that
# it reads; or one each of two pages that share a session.
MAX_CONNECTIONS = 2


class Entry:
    """One rid. It is early until it is processed, then open until it is answered.

    A rid has one response, and all its connections get that response: the network decides which
    of them arrives last, so the last one may be the one that the client has given up [K6].

    `handles` are the HTTP requests that wait, none if all clients have disconnected. `answer` is
    what was written; for a rid that was not answered it is empty.
    """

    __slots__ = ("answer", "at", "body", "doubtful", "handles", "key", "mark", "rid")

    def __init__(
        self, rid: int, handle: object, at: float, mark: int, key: str, body: Body | None
    ) -> None:
        self.rid = rid
        self.handles: tuple[object, ...] = (handle,)
        self.at = at
        """When the first connection began to wait; after its answer, when that was written."""
        self.doubtful = False
        """Whether the response must be empty, and due immediately: one of several connections was
        closed, or there are too many. The client may read none of the others, and after the reload
        of a page it does not repeat the request."""
        self.mark = mark
        """A checksum of the request, 0 for one without payload: a repeat is the same again."""
        self.key = key
        self.body = body
        self.answer = b""

    def dump(self, now: float) -> list[Any]:
        """An answered one, as JSON takes it; its time is an age."""
        return [self.rid, self.answer.decode(), self.mark, self.key, now - self.at]

    @classmethod
    def load(cls, record: list[Any], now: float) -> Entry:
        """The one that was dumped."""
        rid, answer, mark, key, age = record
        entry = cls(rid, None, now - age, mark, key, None)
        entry.handles = ()
        entry.answer = answer.encode()
        return entry

    def join(self, handle: object, now: float) -> None:
        """Let one more connection wait for the response: a repeat [K6]."""
        if not self.handles:
            self.at = now
        self.handles = (*self.handles, handle)
        self.doubtful = self.doubtful or len(self.handles) > MAX_CONNECTIONS

    def leave(self, handle: object) -> bool:
        """A connection was closed; whether it was one of these."""
        left = tuple(other for other in self.handles if other is not handle)
        if len(left) == len(self.handles):
            return False
        self.handles = left
        self.doubtful = bool(left)
        return True

    def answers(self, body: bytes, status: int = 200) -> list[Action]:
        """Respond to every connection."""
        return [Answer(handle, body, status) for handle in self.handles]


class Window:
    """The entries of one session.

    Args:
        last: the rid before the first one.
        kept: how many answers are kept for a repeat [K4].
    """

    __slots__ = ("_kept", "answered", "early", "gap_since", "heard", "last", "open")

    def __init__(self, last: int, kept: int) -> None:
        self._kept = kept
        self.heard = 0
        """Up to which rid there were answers when a new request came last. A repeat says nothing of
        them: it may have left its client before they were written."""
        self.last = last
        """The highest rid that is processed; there is no gap below."""
        self.open: list[Entry] = []
        """Processed and not answered, lowest first. Every answered rid is lower [E5]."""
        self.answered: list[Entry] = []
        """Lowest first."""
        self.early: dict[int, Entry] | None = None
        """Above a gap. None if there are none, as almost always: a dict takes some memory."""
        self.gap_since = 0.0
        """When the first of them came, or one of them was processed last."""

    def has(self, rid: int) -> bool:
        """Whether the rid was here before."""
        return rid <= self.last or (self.early is not None and rid in self.early)

    def find(self, rid: int) -> Entry | None:
        """The entry of a rid, if there still is, or already is, one."""
        # Two lists of one or two.
        for entry in self.open:
            if entry.rid == rid:
                return entry
        for entry in self.answered:
            if entry.rid == rid:
                return entry
        return self.early.get(rid) if self.early is not None else None

    def waiting(self) -> Iterator[Entry]:
        """All that are not answered, in rid order."""
        yield from self.open
        if self.early is not None:
            for rid in sorted(self.early):
                yield self.early[rid]

    def clients(self) -> list[object]:
        """The handles of those whose client is there to be answered, in rid order."""
        return [handle for entry in self.waiting() for handle in entry.handles]

    @property
    def since(self) -> float | None:
        """When the first of those began to wait that are open and have a client."""
        return min((entry.at for entry in self.open if entry.handles), default=None)

    @property
    def doubtful(self) -> bool:
        """Whether an open one must be answered, with nothing, and so must those before it [E5]."""
        return any(entry.doubtful for entry in self.open)

    def close(self, handle: object) -> bool:
        """A connection was closed; whether it waited here."""
        return any(entry.leave(handle) for entry in self.waiting())

    def dismiss(self, first: bytes, others: bytes) -> list[Action]:
        """Respond to all that wait, for the last time: the lowest rid gets `first`."""
        actions: list[Action] = []
        for entry in self.waiting():
            if entry.handles:
                actions += entry.answers(first)
                first = others
        return actions

    def hear(self) -> None:
        """A new request came: its client has all answers, as far as can be known."""
        if self.answered:
            self.heard = self.answered[-1].rid

    def unconfirmed(self) -> list[Element]:
        """What answers carried after which no new request came."""
        return [
            element
            for entry in self.answered
            if entry.rid > self.heard and entry.answer != EMPTY
            for element in xml.parse(entry.answer, own=True).elements
        ]

    def defer(self, entry: Entry) -> None:
        """Keep an early one until those before it have come [K2]."""
        if self.early is None:
            self.early = {}
            self.gap_since = entry.at
        self.early[entry.rid] = entry

    def next(self, now: float) -> Entry | None:
        """The early one whose turn it is, if it is there."""
        if self.early is None:
            return None
        entry = self.early.pop(self.last + 1, None)
        if entry is not None:
            self.gap_since = now
        if not self.early:
            self.early = None
        return entry

    def begin(self, entry: Entry) -> None:
        """The next one is processed."""
        self.last = entry.rid
        entry.body = None
        self.open.append(entry)

    def settle(self, entry: Entry, answer: bytes, now: float) -> None:
        """The lowest open one has its answer, which may be repeated [K4]."""
        assert entry is self.open[0]
        del self.open[0]
        entry.handles = ()
        entry.doubtful = False
        entry.answer = answer
        entry.at = now
        self.answered.append(entry)
        if len(self.answered) > self._kept:
            del self.answered[0]

    def pass_by(self, now: float) -> list[Action]:
        """Settle the lowest open one with the empty body; its connections get that."""
        entry = self.open[0]
        actions = entry.answers(EMPTY)
        self.settle(entry, EMPTY, now)
        return actions

    def empty(self, now: float) -> list[Action]:
        """Give all open ones the empty body. The last of them, a pause, is not kept [G10]."""
        actions: list[Action] = []
        while len(self.open) > 1:
            actions += self.pass_by(now)
        return actions + self.open.pop().answers(EMPTY)

    def acknowledge(self, body: Body, now: float) -> bytes:
        """The client says what it has, and need not be kept [F4] [F7]: without `ack`, everything
        before this request. What it is to be told of an answer that it may have lost, as attributes
        of the next one.

        Raises:
            BindingError: `ack` is no number.
        """
        report = b""
        ack = body.number("ack")
        if ack is None:
            ack = body.rid - 1
        elif self.answered and ack < self.answered[-1].rid:
            missing = next((entry for entry in self.answered if entry.rid == ack + 1), None)
            if missing is not None and now - missing.at >= REPORT_SECONDS:
                time = min(round((now - missing.at) * 1000), MAX_TIME)
                report = lines((("report", missing.rid), ("time", time)))  # [F5]
        while self.answered and self.answered[0].rid <= ack:
            del self.answered[0]
        return report

    def dump(self, now: float) -> dict[str, Any]:
        """The answered ones, as JSON takes them; there are no others in a released session."""
        return {
            "last": self.last,
            "answered": [entry.dump(now) for entry in self.answered],
            "heard": self.heard,
        }

    def load(self, data: Mapping[str, Any], now: float) -> None:
        """Take up what was dumped."""
        self.last = data["last"]
        self.answered = [Entry.load(record, now) for record in data["answered"]]
        self.heard = data["heard"]

    def __repr__(self) -> str:
        early = sorted(self.early) if self.early else []
        return f"<Window {self.last} open={[e.rid for e in self.open]} early={early}>"
