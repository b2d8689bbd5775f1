"""The recent end of a log."""

import pytest

from pushhub.hub.tail import MAX_TAIL_BYTES, MAX_TAIL_EVENTS, Tail
from pushhub.log.cursor import Cursor, Start
from pushhub.log.read import Page
from tests.log.sample import at, event, page, run_of


def offsets(read: Page | None) -> list[int]:
    assert read is not None
    return [event.offset for event in read.events]


def test_a_tail_serves_the_events_that_it_holds() -> None:
    tail = Tail(run_of("news", 6, 5))
    read = tail.read(at(7), 100)
    assert offsets(read) == [8, 9, 10]
    assert read == Page(read.events if read else (), at(10), up_to_date=True)
    assert offsets(tail.read(at(5), 100)) == [6, 7, 8, 9, 10]


def test_a_page_that_is_cut_short_is_not_up_to_date() -> None:
    read = Tail(run_of("news", 6, 5)).read(at(6), 2)
    assert offsets(read) == [7, 8]
    assert read
    assert (read.cursor, read.up_to_date) == (at(8), False)


@pytest.mark.parametrize("since", [at(4), at(0), at(11), at(7, "e2"), Start.EARLIEST], ids=str)
def test_what_it_does_not_hold_only_the_store_can_tell(since: Cursor | Start) -> None:
    assert Tail(run_of("news", 6, 5)).read(since, 100) is None


def test_at_the_end_there_is_nothing_new() -> None:
    tail = Tail(run_of("news", 6, 5))
    for since in (at(10), Start.NOW):
        assert tail.read(since, 100) == Page((), at(10), up_to_date=True)


def test_last_is_the_newest_alone() -> None:
    assert offsets(Tail(run_of("news", 6, 5)).read(Start.LAST, 1)) == [10]


@pytest.mark.parametrize("start", Start)
def test_an_empty_log_is_empty_from_everywhere(start: Start) -> None:
    assert Tail(page(cursor=at(3))).read(start, 100) == Page((), at(3), up_to_date=True)


def test_an_event_that_follows_is_taken_in() -> None:
    tail = Tail(run_of("news", 6, 5))
    assert tail.push(event(11))
    assert offsets(tail.read(at(9), 100)) == [10, 11]


def test_an_event_that_was_there_is_not_taken_in_twice() -> None:
    tail = Tail(run_of("news", 6, 5))
    assert tail.push(event(9))
    assert tail.push(event(10))
    assert offsets(tail.read(at(5), 100)) == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("strange", [event(12), event(11, epoch="e2")], ids=["hole", "epoch"])
def test_an_event_that_does_not_follow_is_the_end_of_the_tail(strange: object) -> None:
    tail = Tail(run_of("news", 6, 5))
    assert isinstance(strange, type(event()))
    assert not tail.push(strange)
    assert tail.cursor == at(10)


def test_it_keeps_a_hundred_events() -> None:
    tail = Tail(page())
    for number in range(1, 251):
        tail.push(event(number))
    assert len(tail.events) == MAX_TAIL_EVENTS
    assert tail.size == sum(event.size for event in tail.events)
    assert tail.read(at(149), 1000) is None
    assert offsets(tail.read(at(150), 1000))[0] == 151


def test_it_keeps_a_megabyte_and_at_least_the_last_event() -> None:
    tail = Tail(page())
    for number in range(1, 30):
        tail.push(event(number, b"x" * 100_000))
    assert tail.size <= MAX_TAIL_BYTES
    tail.shrink(1, 0)
    assert [event.offset for event in tail.events] == [29]
    assert tail.size == tail.events[0].size
