"""A bad network between a correct client and a session: requests and responses are late, overtake
each other, are lost, and arrive twice. Every stanza arrives exactly once, in order, on
both sides, whichever connection of a repeated request the client reads.

More with `PUSHHUB_EXAMPLES=3000 scripts/test tests/bosh/test_network.py --timeout 1200`: a hundred
take about five seconds.
"""

import os
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pushhub import xml
from pushhub.bosh.action import Action, Deliver, Ended, Respond
from pushhub.bosh.body import CLIENT, parse
from pushhub.bosh.negotiation import BoshPolicy
from pushhub.bosh.session import BoshSession
from pushhub.bosh.window import MAX_CONNECTIONS
from pushhub.xml import Element
from tests.bosh.machine import body
from tests.lanes import examples

FIRST = 7


@dataclass
class Attempt:
    """One HTTP request: in transit, waiting, or with its response in transit."""

    rid: int
    raw: bytes
    arrived: bool = False
    answer: bytes | None = None
    closed: bool = False


@dataclass
class Pending:
    """One rid, as the client sees it."""

    raw: bytes
    attempts: list[Attempt] = field(default_factory=list)
    answer: bytes | None = None
    pauses: bool = False


def message(number: int) -> Element:
    return Element("message", CLIENT, {"id": str(number)})


def numbers(elements: tuple[Element, ...] | list[Element]) -> list[int]:
    return [int(element.get("id") or "") for element in elements if element.name == "message"]


class Network(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sent_up = self.sent_down = 0
        self.got_up: list[int] = []
        self.got_down: list[int] = []
        self.pending: dict[int, Pending] = {}
        self.ended: Ended | None = None
        self.acks = False
        # The one response of each rid [K6].
        self.responses: dict[int, bytes] = {}

    @initialize(hold=st.integers(0, 3), acks=st.booleans())
    def create(self, hold: int, acks: bool) -> None:
        self.acks = acks
        more: dict[str, Any] = {"ack": 1} if acks else {}
        raw = body(FIRST, to="localhost", ver="1.6", wait=30, hold=hold, **more)
        policy = BoshPolicy(hold=3, inactivity=10_000, maxpause=10_000, polling=0)
        self.session, actions = BoshSession.create("s", parse(raw), raw, policy, self.now, None)
        self.requests = hold + 1
        self.rid = self.processed = FIRST
        attempt = Attempt(FIRST, raw, arrived=True)
        self.pending[FIRST] = Pending(raw, [attempt])
        for entry in self.session._window.open:
            entry.handles = (attempt,)
        self.do(actions)

    def do(self, actions: list[Action]) -> None:
        for action in [*actions, *self.session.flush(self.now)]:
            match action:
                case Respond(handle, answer, status):
                    assert status == 200
                    assert isinstance(handle, Attempt)
                    assert handle.answer is None, "answered twice"
                    assert not handle.closed, "answered after its end"
                    handle.answer = answer
                    one = self.responses.setdefault(handle.rid, answer)
                    assert answer == one, "connections of one rid got different responses"
                case Deliver(elements):
                    self.got_up += numbers(elements)
                case Ended():
                    self.ended = action

    # The client

    def build(self, count: int, pause: int = 0) -> None:
        self.rid += 1
        first = self.sent_up
        self.sent_up += count
        payload = "".join(message(number).xml() for number in range(first, self.sent_up))
        missing = [rid for rid, pending in sorted(self.pending.items()) if pending.answer is None]
        more: dict[str, Any] = {"ack": missing[0] - 1} if self.acks and missing else {}
        if pause:
            more["pause"] = pause
        raw = body(self.rid, "s", payload, **more)
        self.pending[self.rid] = Pending(raw, [Attempt(self.rid, raw)], pauses=bool(pause))

    @precondition(lambda self: len(self.pending) < self.requests)
    @rule(count=st.integers(0, 3))
    def request(self, count: int) -> None:
        self.build(count)

    @precondition(lambda self: len(self.pending) <= self.requests)
    @precondition(lambda self: not any(pending.pauses for pending in self.pending.values()))
    @rule(count=st.integers(0, 3))
    def pause(self, count: int) -> None:
        """One request more than usual may ask for a pause [H1]."""
        self.build(count, pause=10_000)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """The client abandons a connection, and sends the request again on another one; or a
        proxy does, and the client reads the first response."""
        rid = data.draw(st.sampled_from(sorted(self.pending)))
        pending = self.pending[rid]
        if pending.answer is None and len(pending.attempts) < 4 and rid != FIRST:
            pending.attempts.append(Attempt(rid, pending.raw))

    def process(self) -> None:
        """Responses are handled in rid order [K2]."""
        while (pending := self.pending.get(self.processed)) and pending.answer is not None:
            self.got_down += numbers(xml.parse(pending.answer, own=True).elements)
            del self.pending[self.processed]
            self.processed += 1

    # The network

    def attempts(self) -> list[Attempt]:
        return [attempt for pending in self.pending.values() for attempt in pending.attempts]

    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        """A request in transit arrives, in any order."""
        under_way = [attempt for attempt in self.attempts() if not attempt.arrived]
        if under_way:
            self.deliver(data.draw(st.sampled_from(under_way)))

    def deliver(self, attempt: Attempt) -> None:
        attempt.arrived = True
        parsed = parse(attempt.raw)
        self.do(self.session.request(parsed.rid, parsed, attempt.raw, self.now, attempt))

    @rule(data=st.data(), read=st.booleans())
    def come_back(self, data: st.DataObject, read: bool) -> None:
        """A response in transit arrives."""
        under_way = [attempt for attempt in self.attempts() if attempt.answer is not None]
        if under_way:
            self.take(data.draw(st.sampled_from(under_way)), read)

    def take(self, attempt: Attempt, read: bool = True) -> None:
        """`read`: whether the client still reads a connection that is not its last one."""
        assert attempt.answer is not None
        pending = self.pending[attempt.rid]
        if pending.answer is not None:
            return
        if not read and attempt is not pending.attempts[-1]:
            pending.attempts.remove(attempt)
            return
        pending.answer = attempt.answer
        self.process()

    @precondition(lambda self: self.attempts())
    @rule(data=st.data(), noticed=st.booleans())
    def lose(self, data: st.DataObject, noticed: bool) -> None:
        """A connection breaks before, during or after the wait. The server may
        notice; the client notices, and sends the request again."""
        attempt = data.draw(st.sampled_from(self.attempts()))
        pending = self.pending[attempt.rid]
        if attempt.rid == FIRST or pending.answer is not None:
            return
        if len(pending.attempts) > 6:
            return
        if noticed and attempt.arrived and attempt.answer is None:
            self.close(attempt)
        pending.attempts.remove(attempt)
        if not pending.attempts:
            pending.attempts.append(Attempt(attempt.rid, pending.raw))

    def close(self, attempt: Attempt) -> None:
        """The server notices that a connection is closed."""
        attempt.closed = True
        self.session.disconnected(attempt, self.now)
        self.do([])

    @precondition(lambda self: all(a.arrived and a.answer is None for a in self.attempts()))
    @rule()
    def reload(self) -> None:
        """As Strophe.js continues after the reload of a page: it never repeats those requests.

        For the server, connections that the client abandoned before stay open.
        """
        if FIRST in self.pending or any(p.answer is not None for p in self.pending.values()):
            return
        for pending in self.pending.values():
            self.close(pending.attempts[-1])
        self.pending.clear()
        self.processed = self.rid + 1

    # The server

    @rule(count=st.integers(1, 3))
    def put(self, count: int) -> None:
        for _ in range(count):
            self.session.put(message(self.sent_down))
            self.sent_down += 1
        self.do([])

    @rule(seconds=st.sampled_from([0.1, 1.5, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.session.deadline <= self.now:
            self.do(self.session.expire(self.now))

    @precondition(lambda self: not self.session._window.early)
    @rule()
    def move(self) -> None:
        """Another node takes over, and receives the next requests."""
        waiting = list(self.session._window.waiting())
        self.do(self.session.release(self.now))
        assert not any(entry.handles for entry in waiting)
        self.session = BoshSession.load(self.session.dump(self.now), self.now)

    # What must be true

    @invariant()
    def alive(self) -> None:
        assert self.ended is None, self.ended

    @invariant()
    def in_order_and_once(self) -> None:
        assert self.got_up == list(range(len(self.got_up)))
        assert self.got_down == list(range(len(self.got_down)))

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "session"):
            held = [entry for entry in self.session._window.open if entry.handles]
            assert len(held) <= self.session.negotiated.hold
            assert all(len(entry.handles) <= MAX_CONNECTIONS for entry in held)

    def teardown(self) -> None:
        """The network is repaired: everything arrives."""
        if not hasattr(self, "session"):
            return
        for _ in range(12):
            for pending in list(self.pending.values()):
                if pending.answer is None and pending.attempts[-1].answer is None:
                    if pending.attempts[-1].arrived:
                        self.close(pending.attempts[-1])
                        if pending.raw == self.pending.get(FIRST, Pending(b"")).raw:
                            continue
                        pending.attempts.append(Attempt(pending.attempts[-1].rid, pending.raw))
                    self.deliver(pending.attempts[-1])
            self.now += 31
            self.do(self.session.expire(self.now))
            for pending in list(self.pending.values()):
                attempt = pending.attempts[-1]
                if pending.answer is None and attempt.answer is not None:
                    self.take(attempt)
            if len(self.pending) < self.requests:
                self.build(0)
        assert self.ended is None, self.ended
        assert self.got_up == list(range(self.sent_up))
        assert self.got_down == list(range(self.sent_down))


TestNetwork = Network.TestCase
EXAMPLES = int(os.environ.get("PUSHHUB_EXAMPLES", "150"))
TestNetwork.settings = settings(
    max_examples=examples(EXAMPLES), stateful_step_count=60, deadline=None
)
