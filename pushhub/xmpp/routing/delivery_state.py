"""Which messages of one account's archive were delivered, as far as this node knows. Pure: no I/O,
no clock, no randomness.

The state that all nodes share is the account's marker, one JSON value:

    {"epoch": …, "offset": …}      every message up to here was delivered, except those below
    "again": [offset, …]           messages to deliver again: their clients vanished
    "pending": {node: [offset, …]} messages that a node wrote to clients without a confirmation yet;
                                   should the node die, they are to be delivered again
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.log.cursor import Cursor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Messages written to clients that vanished, remembered one by one.
MAX_REDELIVERIES = 1000
# Messages delivered to one resource, remembered one by one while no session receives the others. A
# session that moves to another node takes them along, so they are few.
MAX_DIRECT = 1000
# So long after its arrival another node certainly has a message: a lost message of its feed shows
# at the end of a wait (55 s), and a dead node counts as alive for 20 s.
LEFT_SECONDS = 80.0


class DeliveryState:
    """The delivery state of one account on one node. No message is lost: each one that no client
    has confirmed is after `position`, to be redelivered, or in the marker."""

    __slots__ = (
        "_direct",
        "_elsewhere",
        "_known_nodes",
        "_left",
        "_lost_from",
        "_redeliver",
        "_saved_redeliver",
        "caught_up",
        "changed",
        "position",
    )

    def __init__(self) -> None:
        self.position: Cursor | None = None
        """Every message up to here was delivered to a session. Its epoch is the store's at the
        time."""
        self.caught_up = False
        """Whether this node has delivered every message that it received and could deliver."""
        self.changed = False
        """Whether the marker must be written."""
        self._redeliver: list[int] = []
        # Delivered to the one resource that they were for, while no session received the others.
        # Messages before the last MAX_DIRECT count as undelivered, and may arrive twice.
        # The value is the epoch of the delivery.
        self._direct: dict[int, str] = {}
        # Messages in the marker that other nodes wrote to their clients, without a confirmation.
        self._elsewhere: dict[str, list[int]] = {}
        # Messages left to the other node that has the session of their full address: by offset,
        # that session's resource and node, and the time. At most MAX_DIRECT.
        self._left: dict[int, tuple[str, str, float]] = {}
        # The nodes whose messages this node has seen in the marker.
        self._known_nodes: frozenset[str] = frozenset()
        # The first message of the epoch since which the log has lost no end, if it has lost one.
        self._lost_from: Cursor | None = None
        # The redeliveries in the marker that `_redeliver` has, or has had.
        self._saved_redeliver: set[int] = set()

    @property
    def offset(self) -> int:
        """The offset of `position`, 0 without one."""
        return self.position.offset if self.position is not None else 0

    @property
    def last_delivered(self) -> int:
        """The highest offset of a delivered message."""
        return max(self.offset, max(self._direct, default=0))

    @property
    def last_recorded(self) -> int:
        """The highest offset of which the state says anything."""
        return max(self.last_delivered, max(self._redeliver, default=0))

    @property
    def needs_attention(self) -> bool:
        """Whether the marker must be written, or other nodes' messages may become this node's."""
        return self.changed or self.redelivers or bool(self._elsewhere or self._left)

    @property
    def is_written(self) -> bool:
        """Whether the marker has everything that this node knows."""
        return not self.changed or self.position is None

    @property
    def must_redeliver(self) -> bool:
        """Whether messages wait for redelivery, and no session is known to have received all."""
        return bool(self._redeliver) and not self.caught_up

    @property
    def redelivers(self) -> bool:
        """Whether messages wait for sessions that lack them, because the store could not be read,
        while other sessions have received all later ones."""
        return bool(self._redeliver) and self.caught_up

    @property
    def other_nodes(self) -> list[str]:
        """The nodes whose unconfirmed messages the marker has."""
        return list(self._elsewhere)

    def load(self, marker: Mapping[str, Any]) -> None:
        """Start from the marker."""
        self.position = Cursor(marker["epoch"], marker["offset"])
        self._redeliver += marker.get("again", ())
        self._saved_redeliver = set(self._redeliver)
        self._elsewhere = dict(marker.get("pending", {}))
        self._known_nodes = frozenset(self._elsewhere)

    def advance(self, position: Cursor | None, direct: Iterable[int]) -> None:
        """A session migrates from another node, which had delivered every message up to `position`,
        and the `direct` ones. The marker that this node loaded may be older than that."""
        own = self.position
        if self.caught_up:
            return  # A session here receives all of them.
        if position is not None:
            if own is not None and own.epoch != position.epoch:
                return  # The log has lost its end.
            if self.offset < position.offset:
                self.position = position
                self.changed = True
        epoch = position.epoch if position is not None else own.epoch if own is not None else ""
        for offset in direct:
            if offset > self.offset:
                self._remember(Cursor(epoch, offset))

    def keep(self, epoch: str) -> None:
        """The log has a new epoch, and no other messages than those that this state knows."""
        if self.position is not None:
            self.position = Cursor(epoch, self.position.offset)

    def forget_from(self, first: Cursor) -> None:
        """The log has lost its end. `first` is the first message of the present epoch: from there
        on the log has other messages than those that this state has recorded."""
        position = self.position
        if position is not None and position.epoch != first.epoch:
            self.position = Cursor(first.epoch, min(position.offset, first.offset - 1))
        self._drop_from(first)

    def _drop_from(self, first: Cursor) -> None:
        start, epoch = first.offset, first.epoch
        self._redeliver = [offset for offset in self._redeliver if offset < start]
        self._direct = {o: e for o, e in self._direct.items() if o < start or e == epoch}
        self._lost_from = first
        self.changed = True

    def is_lost(self, cursor: Cursor) -> bool:
        """Whether the log has lost the message of an archive's id, as far as this node knows."""
        first = self._lost_from
        return first is not None and cursor.offset >= first.offset and cursor.epoch != first.epoch

    # Deliveries

    def record(self, cursor: Cursor, *, delivered: bool) -> None:
        """The next message was delivered, or no session could receive it."""
        epochs = {at.epoch for at in (self.position, self._lost_from) if at is not None}
        if epochs and cursor.epoch not in epochs:
            self._drop_from(cursor)
        if not self.caught_up:
            if delivered:
                self._remember(cursor)
        elif delivered:
            self.position = cursor
            self.changed = True
        else:
            self.caught_up = False

    def _remember(self, cursor: Cursor) -> None:
        self._direct[cursor.offset] = cursor.epoch
        if len(self._direct) > MAX_DIRECT:
            del self._direct[min(self._direct)]

    @property
    def direct(self) -> list[int]:
        """The offsets of messages after `position` that were delivered to the one resource that
        they were for."""
        return sorted(self._direct)

    def was_direct(self, offset: int) -> bool:
        """Whether a message after `position` was delivered to the one resource that it was for."""
        return offset in self._direct

    def end_catch_up(self, *, complete: bool) -> None:
        """A session received all messages after the position, or (not `complete`) the read of them
        failed."""
        if complete:
            self.caught_up = not self._redeliver
        self._direct.clear()

    # Messages for a session on another node

    def leave_to(self, offset: int, resource: str, node: str, now: float) -> None:
        """Another node delivers a message, unless it dies first."""
        self._left[offset] = (resource, node, now)
        if len(self._left) > MAX_DIRECT:
            self.take_back(min(self._left))

    @property
    def left_offsets(self) -> list[int]:
        """The messages that other nodes deliver. Should this node die, too, the marker has them."""
        return list(self._left)

    @property
    def left(self) -> dict[tuple[str, str], list[tuple[int, float]]]:
        """The same with the times when they were left, by the session's resource and node."""
        found: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for offset, (resource, node, since) in self._left.items():
            found.setdefault((resource, node), []).append((offset, since))
        return found

    def confirm(self, offset: int) -> None:
        """The other node certainly has the message."""
        self._left.pop(offset, None)

    def take_back(self, offset: int) -> None:
        """The other node may have died before it had the message: this node redelivers it."""
        if self._left.pop(offset, None) is not None:
            if len(self._redeliver) < MAX_REDELIVERIES:
                self._redeliver.append(offset)
            self.changed = True
            self.caught_up = False

    # Losses

    def lose(self, offsets: list[int], *, received_by_others: bool) -> None:
        """A session ended without a confirmation of these messages. `received_by_others` is whether
        other sessions receive messages now."""
        self._redeliver += offsets[: max(0, MAX_REDELIVERIES - len(self._redeliver))]
        self.changed = True
        if not received_by_others:
            self.caught_up = False

    @property
    def lost(self) -> list[int]:
        """The offsets to be redelivered, sorted. They stay in the marker until `redelivered`."""
        return sorted(set(self._redeliver))

    def redelivered(self, offsets: Iterable[int]) -> None:
        """Those messages were written to the sessions that lacked them, or the archive has them no
        longer."""
        done = set(offsets)
        if done:
            self._redeliver = [offset for offset in self._redeliver if offset not in done]
            self.changed = True

    def take_over(self, node: str) -> None:
        """A node died: its unconfirmed messages are this node's to redeliver. Two sessions that
        begin at the same time both request it; one of them takes over."""
        self._redeliver += self._elsewhere.pop(node, ())
        self.changed = True
        self.caught_up = False

    # The marker

    def start_write(self, position: Cursor, node: str, unconfirmed: list[int]) -> MarkerWrite:
        """Begin to write the marker. `unconfirmed` are the sorted offsets that this `node` wrote to
        its clients: should this process die, no other node would know that they were not
        delivered."""
        self.changed = False
        return MarkerWrite(self, position, node, unconfirmed)

    def end_write(self, write: MarkerWrite) -> None:
        """The marker is written, with the result of the last `merge`."""
        self._known_nodes = write.known_nodes | write.elsewhere.keys()
        self._elsewhere = write.elsewhere
        self._saved_redeliver = write.new.union(write.redeliver)
        new = write.new.difference(self._redeliver)
        if new:
            self._redeliver += new
            self.caught_up = False
        # Unconfirmed messages are confirmed soon.
        self.changed = self.changed or bool(write.unconfirmed or new)

    def fail_write(self) -> None:
        """The marker could not be written. Its messages may be delivered again, with the same
        ids."""
        self.changed = True

    def __repr__(self) -> str:
        at = self.position.offset if self.position is not None else 0
        return f"<DeliveryState {at} {len(self._redeliver)} to redeliver>"


class MarkerWrite:
    """One write of a marker. `merge` may be called several times: other nodes write it, too."""

    __slots__ = (
        "_node",
        "_position",
        "_state",
        "elsewhere",
        "known_nodes",
        "new",
        "redeliver",
        "unconfirmed",
    )

    def __init__(
        self, state: DeliveryState, position: Cursor, node: str, unconfirmed: list[int]
    ) -> None:
        self._state = state
        self._position = position
        self._node = node
        self.unconfirmed = unconfirmed
        self.redeliver = sorted(set(state._redeliver))
        self.known_nodes = state._known_nodes
        self.elsewhere: dict[str, list[int]] = {}
        self.new: set[int] = set()

    def merge(self, old: Mapping[str, Any] | None) -> dict[str, Any]:
        """The new marker, from the stored one."""
        state, own = self._state, self._node
        record = old or {}
        # Redeliveries that the end of a session on another node has added since.
        self.new = set(record.get("again", ())) - state._saved_redeliver
        # A dead node's messages that this node took over are dropped; other nodes may have added
        # theirs.
        self.elsewhere = {
            node: offsets
            for node, offsets in record.get("pending", {}).items()
            if node != own and (node in state._elsewhere or node not in self.known_nodes)
        }
        at = self._position
        marker: dict[str, Any] = {"epoch": at.epoch, "offset": at.offset}
        if old is not None and old["epoch"] == at.epoch:
            marker["offset"] = max(at.offset, old["offset"])
        redeliver = sorted(self.new.union(self.redeliver))
        if redeliver:
            marker["again"] = redeliver
        pending = self.elsewhere | ({own: self.unconfirmed} if self.unconfirmed else {})
        if pending:
            marker["pending"] = pending
        return marker
