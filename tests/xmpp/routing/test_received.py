"""The messages that a session has received: ranges, and their bound."""

from __future__ import annotations

import orjson

from pushhub.xmpp.routing.received import MAX_RANGES, OffsetRanges, ReceivedMessages
from pushhub.xmpp.storage.archive import ArchivedMessage


def covered(ranges: OffsetRanges, upto: int) -> list[int]:
    return [offset for offset in range(1, upto + 1) if offset in ranges]


def test_ranges_open_and_close() -> None:
    ranges = OffsetRanges()
    assert covered(ranges, 9) == []
    ranges.set_open(True, 2, 2)
    ranges.set_open(True, 4, 4)
    assert covered(ranges, 9) == [3, 4, 5, 6, 7, 8, 9], "it was open"
    ranges.set_open(False, 5, 5)
    ranges.set_open(False, 9, 9)
    assert covered(ranges, 9) == [3, 4, 5], "it was closed"
    ranges.set_open(True, 7, 7)
    assert covered(ranges, 9) == [3, 4, 5, 8, 9]
    assert repr(ranges) == "<OffsetRanges 3-5 8->"


def test_offsets_are_taken_out_of_the_open_range() -> None:
    ranges = OffsetRanges()
    ranges.remove(1)
    ranges.set_open(True, 2, 2)
    for offset in (1, 2, 4, 5, 7):
        ranges.remove(offset)
    assert covered(ranges, 9) == [3, 6, 8, 9]
    assert len(ranges.closed) == 2


def test_ranges_are_bounded() -> None:
    """The oldest ranges are forgotten: their messages may be delivered twice, and none is lost."""
    ranges = OffsetRanges()
    for turn in range(10 * MAX_RANGES):
        ranges.set_open(True, 2 * turn, 2 * turn)
        ranges.set_open(False, 2 * turn + 1, 2 * turn + 1)
    assert len(ranges.closed) == MAX_RANGES
    assert 1 not in ranges
    assert 20 * MAX_RANGES - 1 in ranges


def test_a_range_without_messages_is_not_kept() -> None:
    ranges = OffsetRanges()
    for _ in range(3):
        ranges.set_open(True, 5, 5)
        ranges.set_open(False, 5, 5)
    assert ranges.closed == []


def test_received_messages_are_recorded() -> None:
    received = ReceivedMessages()
    received.messages.set_open(True, 0, 0)
    received.messages.set_open(False, 1, 1)
    received.copies.set_open(True, 1, 1)

    def message(resource: str = "", *, copied: bool = True) -> ArchivedMessage:
        return ArchivedMessage(b"", False, copied, "chat", "romeo@localhost", resource)

    def has(*offsets: int, of: ArchivedMessage) -> list[bool]:
        return [received.has(offset, of, "desk") for offset in offsets]

    assert has(1, 2, of=message()) == [True, True]
    assert has(1, 2, of=message(copied=False)) == [True, False]
    assert has(1, 2, of=message("desk")) == [False, True]
    assert has(1, 2, of=message("desk", copied=False)) == [False, False]
    other = ReceivedMessages()
    other.load(orjson.loads(orjson.dumps(received.dump(3))))
    assert (covered(other.messages, 9), covered(other.copies, 9)) == ([1], [2, 3])
    assert covered(received.copies, 9)[-1] == 9, "it goes on here"
    received.remove([4, 5])
    assert covered(received.copies, 7) == [2, 3, 6, 7]
