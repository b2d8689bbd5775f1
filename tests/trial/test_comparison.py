"""The delays of both observers, computed from given sightings."""

import pytest

from pushhub.trial.comparison import ObservedChange, observed_changes
from pushhub.trial.sighting import ObserverRecord, Sighting
from pushhub.trial.text_plot import delay_step, text_plot, tick_step


def record(*sightings: tuple[float, str], held: bool = False) -> ObserverRecord:
    """An observer whose responses took no time; held ones began at the end of the last."""
    found: list[Sighting] = []
    last = 0.0
    for ended, state in sightings:
        found.append(Sighting(last if held else ended, ended, state, held and bool(found)))
        last = ended
    return ObserverRecord(found, len(found))


def test_the_delay_of_each_observer() -> None:
    poller = record((0, "a"), (5, "b"), (10, "b"))
    waiting = record((0, "a"), (2.5, "b"), (10, "b"), held=True)
    (change,) = observed_changes(poller, waiting, 1.0, [])
    # The hub fetches every second: the change was between 1.5 and 2.5.
    assert change == ObservedChange(2.0, 0.5, 3.0, 0.5)


def test_an_api_that_says_the_time_is_exact() -> None:
    poller = record((0, "a"), (5, "b"))
    waiting = record((0, "a"), (2.5, "b"), held=True)
    (change,) = observed_changes(poller, waiting, 1.0, [1.75])
    assert change == ObservedChange(1.75, 0.0, 3.25, 0.75)


def test_a_poller_that_skips_a_state_saw_it_with_the_next() -> None:
    poller = record((0, "a"), (5, "c"))
    waiting = record((0, "a"), (2, "b"), (4, "c"), held=True)
    first, second = observed_changes(poller, waiting, 1.0, [])
    assert (first.polled, second.polled) == (3.5, 1.5)
    assert (first.long_polled, second.long_polled) == (0.5, 0.5)


def test_a_state_that_returns_is_another_change() -> None:
    poller = record((0, "a"), (5, "a"))
    waiting = record((0, "a"), (2, "b"), (4, "a"), held=True)
    changes = observed_changes(poller, waiting, 1.0, [])
    assert [one.long_polled for one in changes] == [0.5, 0.5]
    assert [one.polled for one in changes] == [3.5, 1.5]


def test_a_change_that_only_one_saw() -> None:
    poller = record((0, "a"))
    waiting = record((0, "a"), (2, "b"), held=True)
    (change,) = observed_changes(poller, waiting, 1.0, [])
    assert change.polled is None


def test_the_poller_may_be_first() -> None:
    poller = record((0, "a"), (5, "b"))
    waiting = record((0, "a"), (5.5, "b"), held=True)
    (change,) = observed_changes(poller, waiting, 1.0, [])
    # Held until 5.5: the window begins with the last response without it.
    assert change.polled is not None
    assert change.long_polled is not None
    assert change.long_polled - change.polled == pytest.approx(0.5)


def test_a_late_response_with_a_former_state_is_no_change() -> None:
    poller = ObserverRecord([Sighting(0, 0.1, "a"), Sighting(1.9, 2.2, "a")], 2)
    waiting = record((0, "a"), (2.0, "b"), held=True)
    assert len(observed_changes(poller, waiting, 1.0, [])) == 1


# -- the plot --------------------------------------------------------------------------------------


def test_marks_stand_where_the_changes_were() -> None:
    changes = [ObservedChange(0.0, 0, 4.0, 0.0), ObservedChange(30.0, 0, 2.0, None)]
    lines = text_plot(changes, 60.0, 68, lambda text, style: text)
    assert lines[0] == "   4 s ┤○"
    assert lines[8] == "   0 s ┤●"
    assert lines[4] == "   2 s ┤" + " " * 30 + "○"
    assert lines[-1].split() == ["0", "s", "10", "s", "20", "s", "30", "s", "40", "s", "50", "s",
                                 "60", "s"]  # fmt: skip


@pytest.mark.parametrize("width", [10, 40, 80, 300])
@pytest.mark.parametrize("seconds", [2.0, 61.0, 3600.0])
def test_a_plot_is_no_wider_than_its_terminal(width: int, seconds: float) -> None:
    changes = [ObservedChange(seconds * n / 9, 0, float(n), n / 7) for n in range(10)]
    lines = text_plot(changes, seconds, width, lambda text, style: text)
    assert all(len(line) <= max(width, 28) for line in lines)
    assert sum(line.count("○") + line.count("◉") for line in lines)


def test_steps_are_round() -> None:
    assert [delay_step(longest) for longest in (0.1, 1, 4.4, 9000)] == [0.05, 0.25, 1.25, 2250]
    assert [tick_step(span) for span in (12, 60, 3600)] == [2, 10, 600]
