"""Which messages a session has received: ranges, and their bound."""

from __future__ import annotations

import orjson

from pushhub.xmpp.archive import Kept
from pushhub.xmpp.heard import MAX_SPANS, Heard, Spans


def covered(spans: Spans, upto: int) -> list[int]:
    return [offset for offset in range(1, upto + 1) if offset in spans]


def test_ranges_open_and_close() -> None:
    spans = Spans()
    assert covered(spans, 9) == []
    spans.turn(True, 2, 2)
    spans.turn(True, 4, 4)
    assert covered(spans, 9) == [3, 4, 5, 6, 7, 8, 9], "it was open"
    spans.turn(False, 5, 5)
    spans.turn(False, 9, 9)
    assert covered(spans, 9) == [3, 4, 5], "it was closed"
    spans.turn(True, 7, 7)
    assert covered(spans, 9) == [3, 4, 5, 8, 9]
    assert repr(spans) == "<Spans 3-5 8->"


def test_offsets_are_taken_out_of_the_open_range() -> None:
    spans = Spans()
    spans.miss(1)
    spans.turn(True, 2, 2)
    for offset in (1, 2, 4, 5, 7):
        spans.miss(offset)
    assert covered(spans, 9) == [3, 6, 8, 9]
    assert len(spans.closed) == 2


def test_ranges_are_bounded() -> None:
    """The oldest are forgotten: their messages may come twice, and none is lost."""
    spans = Spans()
    for turn in range(10 * MAX_SPANS):
        spans.turn(True, 2 * turn, 2 * turn)
        spans.turn(False, 2 * turn + 1, 2 * turn + 1)
    assert len(spans.closed) == MAX_SPANS
    assert 1 not in spans
    assert 20 * MAX_SPANS - 1 in spans


def test_nothing_is_kept_of_a_time_without_messages() -> None:
    spans = Spans()
    for _ in range(3):
        spans.turn(True, 5, 5)
        spans.turn(False, 5, 5)
    assert spans.closed == []


def test_what_has_come() -> None:
    heard = Heard()
    heard.messages.turn(True, 0, 0)
    heard.messages.turn(False, 1, 1)
    heard.copies.turn(True, 1, 1)

    def message(resource: str = "", *, copied: bool = True) -> Kept:
        return Kept(b"", False, copied, "chat", "romeo@localhost", resource)

    def has(*offsets: int, of: Kept) -> list[bool]:
        return [heard.has(offset, of) for offset in offsets]

    assert has(1, 2, of=message()) == [True, True]
    assert has(1, 2, of=message(copied=False)) == [True, False]
    assert has(1, 2, of=message("desk")) == [False, True]
    assert has(1, 2, of=message("desk", copied=False)) == [False, False]
    other = Heard()
    other.load(orjson.loads(orjson.dumps(heard.dump(3))))
    assert (covered(other.messages, 9), covered(other.copies, 9)) == ([1], [2, 3])
    assert covered(heard.copies, 9)[-1] == 9, "it goes on here"
    heard.miss([4, 5])
    assert covered(heard.copies, 7) == [2, 3, 6, 7]
