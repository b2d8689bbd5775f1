"""The parts of the canary without I/O: the positions of a reader, messages, and verdicts."""

from __future__ import annotations

import pytest

from pushhub.canary.board import CanaryBoard, Change
from pushhub.canary.messages import MessageReader, StreamMessage
from pushhub.canary.sequence import EventSequence
from pushhub.http.sse import KEEP_ALIVE, message, position
from pushhub.log.cursor import Cursor


def sequence(*offsets: int) -> EventSequence:
    found = EventSequence()
    for offset in offsets:
        found.take(Cursor("a", offset))
    return found


def test_contiguous_events_are_no_loss() -> None:
    assert sequence(5, 6, 7).untold == 0


def test_a_repeated_event_is_no_loss() -> None:
    found = sequence(5, 6, 5, 6, 7)
    assert (found.untold, found.cursor) == (0, Cursor("a", 7))


def test_each_skipped_event_counts() -> None:
    assert sequence(5, 8, 10).untold == 3


def test_a_told_gap_is_no_loss() -> None:
    found = sequence(5)
    found.gap(Cursor("b", 20))
    found.take(Cursor("b", 21))
    found.gap()
    found.take(Cursor("c", 1))
    assert (found.untold, found.gaps) == (0, 2)


def test_another_epoch_without_a_gap_counts() -> None:
    found = sequence(5)
    found.take(Cursor("b", 1))
    assert found.untold == 1
    found.begin(Cursor("c", 1))
    assert found.untold == 2


def test_a_stream_that_goes_on_later_than_asked_has_skipped_events() -> None:
    found = sequence(5)
    found.begin(Cursor("a", 5))
    assert found.untold == 0
    found.begin(Cursor("a", 7))
    assert found.untold == 2


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_messages_arrive_in_any_pieces(size: int) -> None:
    sent = (
        position("a-1")
        + KEEP_ALIVE
        + message(b'{"n":1}', id="a-2")
        + message(b"two\nlines", event="gap", id="a-3", retry_ms=5)
    )
    reader = MessageReader()
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert [one for piece in pieces for one in reader.feed(piece)] == [
        StreamMessage("a-1", "", None),
        StreamMessage("a-2", "", '{"n":1}'),
        StreamMessage("a-3", "gap", "two\nlines"),
    ]


def test_a_change_is_reported_once() -> None:
    board = CanaryBoard()
    board.expect(["hold"], 100)
    assert board.ages(130) == {"hold": 30}
    assert board.ok() == board.seconds() == {}
    assert board.settle("hold", 130, 0.5) is None
    assert (board.ok(), board.seconds()) == ({"hold": 1}, {"hold": 0.5})
    assert board.settle("hold", 190, 10, "late") == Change("hold", "late", 60)
    assert board.settle("hold", 250, 10, "late") is None
    assert (board.ok(), board.ages(260)) == ({"hold": 0}, {"hold": 130})
    assert board.settle("hold", 310, 0.1) == Change("hold", "", 180)


def test_a_first_failure_is_reported() -> None:
    board = CanaryBoard()
    board.expect(["hold"], 100)
    assert board.settle("hold", 160, 10, "late") == Change("hold", "late", 60)


def test_a_check_that_a_reload_removed_has_no_verdict() -> None:
    board = CanaryBoard()
    board.expect(["hold", "value"], 0)
    board.settle("value", 1, 0.1)
    board.expect(["value"], 5)
    assert board.settle("hold", 6, 0.1, "late") is None
    assert board.ages(6) == {"value": 5}


def test_a_check_is_old_when_no_round_comes_any_more() -> None:
    board = CanaryBoard()
    board.expect(["hold", "value"], 0.0)
    assert states(board, 0.0, 60.0) == {"hold": "pending", "value": "pending"}
    board.settle("hold", 10.0, 0.002)
    board.settle("value", 10.0, 0.002, "no response")
    assert states(board, 160.0, 60.0) == {"hold": "ok", "value": "failing"}
    assert states(board, 160.1, 60.0) == {"hold": "old", "value": "failing"}
    # A longer interval has older successes.
    assert states(board, 700.0, 300.0) == {"hold": "ok", "value": "failing"}
    assert states(board, 760.1, 300.0) == {"hold": "old", "value": "failing"}


def states(board: CanaryBoard, now: float, interval: float) -> dict[str, str]:
    return {one["check"]: one["state"] for one in board.states(now, interval)}
