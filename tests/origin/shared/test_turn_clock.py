"""The clock of turns: the same names on all nodes, whatever their wall clocks do."""

from pushhub.origin.shared.turn_clock import END_SECONDS, TurnClock


def test_it_goes_on_from_the_latest_time_and_never_back() -> None:
    clock = TurnClock()
    clock.advance(1_800_000_000.0, 10.0)
    assert clock.turn(1.0, 10.5) == "1:1800000000"
    clock.advance(1_799_999_970.0, 11.0)
    assert clock.time(11.0) == 1_800_000_001.0
    clock.advance(1_800_003_600.0, 11.0)
    assert clock.turn(2.5, 12.0) == f"2.5:{int(1_800_003_601 / 2.5)}"


def test_nodes_that_exchange_their_times_name_the_same_turns() -> None:
    early, late = TurnClock(), TurnClock()
    early.advance(1_800_000_000.0, 5.0)
    late.advance(1_800_000_030.0, 700.0)
    early.advance(late.time(700.0), 5.0)
    late.advance(early.time(5.0), 700.0)
    assert early.turn(1.0, 6.0) == late.turn(1.0, 701.0)


def test_it_has_the_monotonic_time_of_a_time() -> None:
    clock = TurnClock()
    clock.advance(1_800_000_000.0, 10.0)
    assert clock.monotonic(clock.time(17.0)) == 17.0


def test_a_time_that_is_no_clock_changes_nothing() -> None:
    clock = TurnClock()
    clock.advance(1_800_000_000.0, 10.0)
    for wrong in (END_SECONDS, 1e300, float("inf"), float("nan"), -1e300):
        clock.advance(wrong, 10.0)
    assert clock.turn(1.0, 11.0) == "1:1800000001"
