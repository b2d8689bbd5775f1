"""One timing wheel."""

import random

from pushhub.hub.wheel import OFF, TICK_SECONDS, Wheel


class Entry:
    def __init__(self, deadline: float = 0.0) -> None:
        self.tick = OFF
        self.deadline = deadline

    def expire(self) -> None:
        raise AssertionError("turning the wheel expires nobody by itself")


def test_an_entry_is_due_at_its_deadline_or_a_tick_later_and_never_before() -> None:
    source = random.Random(7)
    wheel = Wheel(50.0)
    entries = [Entry(50 + source.random() * 60) for _ in range(500)]
    for entry in entries:
        wheel.set(entry, entry.deadline)
    now = 50.0
    while len(wheel):
        now += source.random() * 0.3
        for due in wheel.turn(now):
            assert isinstance(due, Entry)
            assert due.deadline <= now
            assert due.tick == OFF
            entries.remove(due)
        assert all(entry.deadline > now - TICK_SECONDS - 1e-9 for entry in entries)
    assert not entries


def test_a_cleared_entry_is_never_due() -> None:
    wheel, entry = Wheel(0.0), Entry()
    wheel.set(entry, 1.0)
    wheel.clear(entry)
    wheel.clear(entry)
    assert entry.tick == OFF
    assert repr(wheel) == "<Wheel 0 deadlines in 0 buckets>"
    assert wheel.turn(100.0) == []


def test_a_new_deadline_replaces_the_old_one() -> None:
    wheel, entry = Wheel(0.0), Entry()
    wheel.set(entry, 1.0)
    wheel.set(entry, 5.0)
    assert len(wheel) == 1
    assert wheel.turn(4.9) == []
    assert wheel.turn(5.2) == [entry]


def test_a_deadline_in_the_past_is_due_at_the_next_turn() -> None:
    wheel, entry = Wheel(100.0), Entry()
    wheel.set(entry, 3.0)
    assert wheel.turn(100.0) == []
    assert wheel.turn(100.2) == [entry]


def test_a_wheel_that_was_stopped_for_long_turns_up_all_that_is_due() -> None:
    wheel = Wheel(0.0)
    entries = [Entry(second) for second in range(1, 50)]
    for entry in entries:
        wheel.set(entry, entry.deadline)
    assert set(wheel.turn(1000.0)) == set(entries)
    assert repr(wheel) == "<Wheel 0 deadlines in 0 buckets>"


def test_a_clock_that_stands_still_turns_nothing() -> None:
    wheel, entry = Wheel(10.0), Entry()
    wheel.set(entry, 10.0)
    assert wheel.turn(10.0) == wheel.turn(9.0) == []
    assert wheel.entries() == [entry]
