"""No message is lost, whichever node dies and whichever client vanishes: a model of several nodes,
one archive and one marker, for the pure bookkeeping of deliveries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from pushhub.log.cursor import Cursor
from pushhub.xmpp.routing.delivery_state import (
    MAX_DIRECT,
    MAX_REDELIVERIES,
    DeliveryState,
    MarkerWrite,
)
from tests.lanes import examples

EPOCH = "e"
SLOTS = st.integers(0, 1)


@dataclass
class NodeModel:
    """A node with one session of the account. Its feed may be behind the archive."""

    id: str
    state: DeliveryState = field(default_factory=DeliveryState)
    available: bool = False
    feed: list[tuple[int, bool]] = field(default_factory=list)
    """Events in transit: the offset, and whether the message is for this resource only."""
    unconfirmed: list[int] = field(default_factory=list)
    """Messages written to the client, which has not confirmed them."""
    write: MarkerWrite | None = None
    """A write of the marker that the store has not accepted yet."""


class Deliveries(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.archive: list[int] = []
        self.marker: dict[str, Any] | None = None
        self.nodes: list[NodeModel | None] = [None, None]
        self.received: set[int] = set()
        self.started = 0

    # The account

    @rule(slot=SLOTS, direct=st.booleans())
    def append(self, slot: int, direct: bool) -> None:
        """A message arrives, for all sessions or for that of one node."""
        offset = len(self.archive) + 1
        self.archive.append(offset)
        for index, node in enumerate(self.nodes):
            if node is not None:
                node.feed.append((offset, direct and index == slot))

    @rule(slot=SLOTS, available=st.booleans())
    def connect(self, slot: int, available: bool) -> None:
        """A client binds a resource on a node without one."""
        if self.nodes[slot] is None:
            self.nodes[slot] = node = self.start(f"n{self.started}")
            if available:
                self.catch_up(node)

    def start(self, id: str) -> NodeModel:
        self.started += 1
        node = NodeModel(id)
        if self.marker is not None:
            node.state.load(self.marker)
            self.take_over(node)
        return node

    @rule(slot=SLOTS)
    def become_available(self, slot: int) -> None:
        if (node := self.nodes[slot]) is not None and not node.available:
            self.catch_up(node)

    def catch_up(self, node: NodeModel) -> None:
        """As `LocalUser.catch_up`: it reads the archive, which is ahead of the feed."""
        node.available = True
        if node.state.caught_up:
            return
        state = node.state
        node.unconfirmed += state.lost
        state.redelivered(state.lost)
        since = state.position.offset if state.position is not None else 0
        node.unconfirmed += [o for o in self.archive[since:] if not state.was_direct(o)]
        state.position = Cursor(EPOCH, len(self.archive))
        state.end_catch_up(complete=True)
        node.feed.clear()
        state.changed = True

    # Nodes

    @rule(slot=SLOTS)
    def receive(self, slot: int) -> None:
        """The feed delivers the next event."""
        node = self.nodes[slot]
        if node is not None and node.feed:
            offset, direct = node.feed.pop(0)
            delivered = node.available or direct
            if delivered:
                node.unconfirmed.append(offset)
            node.state.record(Cursor(EPOCH, offset), delivered=delivered)

    @rule(slot=SLOTS)
    def confirm(self, slot: int) -> None:
        """The client's next request confirms everything that was written to it."""
        if (node := self.nodes[slot]) is not None:
            self.received.update(node.unconfirmed)
            node.unconfirmed.clear()

    @rule(slot=SLOTS)
    def notice_dead_nodes(self, slot: int) -> None:
        if (node := self.nodes[slot]) is not None:
            self.take_over(node)

    def take_over(self, node: NodeModel) -> None:
        living = {other.id for other in self.nodes if other is not None}
        for other in node.state.other_nodes:
            if other not in living and other != node.id:
                node.state.take_over(other)
        if node.state.must_redeliver and node.available:
            self.catch_up(node)

    @rule(slot=SLOTS)
    def start_write(self, slot: int) -> None:
        node = self.nodes[slot]
        if node is not None and node.write is None:
            node.write = self.written(node)

    def written(self, node: NodeModel) -> MarkerWrite | None:
        state = node.state
        if not state.changed or state.position is None:
            return None
        write = state.start_write(state.position, node.id, sorted(set(node.unconfirmed)))
        write.merge(self.marker)  # The other node's write may come first: then it merges again.
        return write

    @rule(slot=SLOTS, fails=st.booleans())
    def end_write(self, slot: int, fails: bool) -> None:
        node = self.nodes[slot]
        if node is not None and node.write is not None:
            if fails:
                node.state.fail_write()
            else:
                self.marker = node.write.merge(self.marker)
                node.state.end_write(node.write)
            node.write = None

    @precondition(lambda self: any(self.nodes))
    @rule(slot=SLOTS, writes=st.booleans())
    def vanish(self, slot: int, writes: bool) -> None:
        """The client vanishes; the store may be unavailable when the node writes the marker."""
        node = self.nodes[slot]
        if node is None or node.write is not None:
            return
        node.state.lose(node.unconfirmed, received_by_others=False)
        node.unconfirmed = []
        if writes and (write := self.written(node)) is not None:
            self.marker = write.merge(self.marker)
            node.state.end_write(write)
        self.nodes[slot] = None

    @rule(slot=SLOTS)
    def crash(self, slot: int) -> None:
        """The process dies, and its client receives nothing more."""
        self.nodes[slot] = None

    def teardown(self) -> None:
        """All nodes die. The next session receives every message that no client has confirmed."""
        self.nodes = [None, None]
        node = self.start("last")
        self.catch_up(node)
        lost = set(self.archive) - self.received - set(node.unconfirmed)
        assert not lost, f"{lost} are lost; the marker is {self.marker}"


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(
    max_examples=examples(200), stateful_step_count=40, deadline=None
)


def test_a_message_is_redelivered_once() -> None:
    """Two clients vanish with the same message."""
    state = DeliveryState()
    state.load({"epoch": EPOCH, "offset": 2})
    state.lose([1, 2], received_by_others=True)
    state.lose([2], received_by_others=True)
    assert state.lost == [1, 2]
    state.redelivered([1, 2])
    assert state.lost == []


def test_redeliveries_are_bounded() -> None:
    state = DeliveryState()
    for first in range(0, 3 * MAX_REDELIVERIES, 7):
        state.lose(list(range(first, first + 7)), received_by_others=False)
    assert len(state.lost) == MAX_REDELIVERIES


def test_a_marker_of_another_epoch_is_replaced() -> None:
    state = DeliveryState()
    state.changed = True
    write = state.start_write(Cursor("new", 1), "n", [])
    assert write.merge({"epoch": "old", "offset": 9}) == {"epoch": "new", "offset": 1}
    assert write.merge({"epoch": "new", "offset": 9}) == {"epoch": "new", "offset": 9}


def test_losses_of_another_nodes_session_are_redelivered() -> None:
    """A loss stays in the marker until its redelivery, even if this node did not know it."""
    state = DeliveryState()
    marker: dict[str, Any] = {"epoch": EPOCH, "offset": 5, "pending": {"a": [5]}}
    state.load(marker)
    state.end_catch_up(complete=True)
    assert state.caught_up
    for _ in range(2):
        write = state.start_write(Cursor(EPOCH, 5), "b", [])
        marker = write.merge({"epoch": EPOCH, "offset": 5, "again": [5]})
        assert marker == {"epoch": EPOCH, "offset": 5, "again": [5]}
        state.end_write(write)
        assert state.must_redeliver
    assert state.lost == [5]


def test_a_loss_during_a_catch_up_is_redelivered() -> None:
    state = DeliveryState()
    state.lose([3], received_by_others=False)
    state.end_catch_up(complete=True)
    assert state.must_redeliver


def test_messages_to_one_resource_are_remembered_within_a_bound() -> None:
    """A session that never becomes available receives messages for days; the oldest ones count as
    undelivered again."""
    state, count = DeliveryState(), MAX_DIRECT + 500
    for offset in range(1, count + 1):
        state.record(Cursor("aaaa", offset), delivered=True)
    assert not state.was_direct(500)
    assert state.was_direct(501)
    assert state.last_delivered == count
    state.advance(Cursor("aaaa", 1), range(1, count))
    assert state.direct == list(range(501, count + 1))


def test_messages_left_to_another_node_are_bounded() -> None:
    """A flood to a full address on another node, while no session here receives messages."""
    state = DeliveryState()
    for offset in range(1, MAX_DIRECT + 3 * MAX_REDELIVERIES):
        state.leave_to(offset, "phone", "n", 0.0)
    assert len(state.left_offsets) == MAX_DIRECT
    assert len(state.lost) == MAX_REDELIVERIES
