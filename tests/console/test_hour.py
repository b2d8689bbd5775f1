"""The hour of one process: rates and quantiles between samples, and the bound of the ring."""

import sys
from array import array

import pytest

from pushhub.console.hour import FIGURES, SAMPLE_SECONDS, SAMPLES, Hour, KeyCounters, quantile
from pushhub.hub.stats import LATENCY_BOUNDS, Histogram

BOUNDS = (0.1, 1.0)


def counters(**given: int | tuple[int, ...] | None) -> KeyCounters:
    none = (0, 0, 0)
    usual = {"holds": 0, "delivered": 0, "published": 0, "wake": none, "memory": 0, "loop": none}
    return KeyCounters(**{**usual, **given})  # type: ignore[arg-type]


def test_rates_are_of_the_time_between_two_samples() -> None:
    hour = Hour(BOUNDS)
    hour.add(100.0, counters(delivered=1000, published=7))
    assert (len(hour), hour.latest(100.0)) == (0, None)
    hour.add(104.0, counters(holds=3, delivered=1002, published=27, memory=4096))
    assert hour.latest(105.5) == {
        "ago": 1.5,
        "holds": 3,
        "delivered": 0.5,
        "published": 5,
        "wake99": None,
        "memory": 4096,
        "loop99": None,
    }


def test_quantiles_are_of_the_observations_since_the_last_sample() -> None:
    hour = Hour(BOUNDS)
    hour.add(0.0, counters(wake=(0, 0, 900), loop=(5, 0, 0)))
    hour.add(10.0, counters(wake=(100, 0, 900), loop=(5, 0, 1)))
    assert hour.columns(10.0)["wake99"] == [0.099]
    assert hour.columns(10.0)["loop99"] == [1], "beyond the last bound"


def test_what_is_not_known_stays_unknown() -> None:
    hour = Hour(BOUNDS)
    for at in (0.0, 10.0):
        hour.add(at, counters(memory=None))
    assert hour.columns(10.0)["memory"] == [None]


def test_a_clock_that_stands_still_adds_nothing() -> None:
    hour = Hour(BOUNDS)
    for published in (0, 10):
        hour.add(5.0, counters(published=published))
    hour.add(15.0, counters(published=20))
    assert hour.columns(15.0)["published"] == [2]


def test_a_counter_that_begins_again_has_no_negative_rate() -> None:
    hour = Hour(BOUNDS)
    hour.add(0.0, counters(published=500, wake=(9, 9, 9)))
    hour.add(10.0, counters(published=3, wake=(1, 0, 0)))
    assert hour.columns(10.0)["published"] == [0]
    assert hour.columns(10.0)["wake99"] == [None]


@pytest.mark.parametrize("taken", [1, 359, 360, 361, 1000])
def test_the_last_hour_is_kept_and_nothing_older(taken: int) -> None:
    hour = Hour(BOUNDS)
    for n in range(taken + 1):
        hour.add(n * SAMPLE_SECONDS, counters(holds=n))
    now, kept = taken * SAMPLE_SECONDS, min(taken, SAMPLES)
    columns = hour.columns(now)
    assert columns.keys() == {"ago", *FIGURES}
    assert columns["holds"] == [float(f"{n:.4g}") for n in range(taken - kept + 1, taken + 1)]
    assert columns["ago"] == [SAMPLE_SECONDS * n for n in reversed(range(kept))]
    assert len(hour) == kept


def test_the_ring_has_a_fixed_size() -> None:
    hour = Hour(LATENCY_BOUNDS)
    arrays = [hour._at, *hour._values]
    assert all(isinstance(one, array) for one in arrays)
    assert sum(map(sys.getsizeof, arrays)) < 12 * 1024
    before = [one.buffer_info() for one in arrays]
    for n in range(2 * SAMPLES):
        hour.add(n * SAMPLE_SECONDS, counters(holds=n))
    assert [one.buffer_info() for one in arrays] == before


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_quantile_is_within_the_bounds_of_its_observation(share: float) -> None:
    observed = sorted(0.0007 * 1.03**n for n in range(200))
    histogram = Histogram()
    for value in observed:
        histogram.observe(value)
    exact = observed[int(share * len(observed))]
    found = quantile(share, histogram.counts, LATENCY_BOUNDS)
    upper = next(bound for bound in LATENCY_BOUNDS if exact <= bound)
    lower = max((bound for bound in LATENCY_BOUNDS if bound < exact), default=0.0)
    assert found is not None
    assert lower <= found <= upper


def test_no_observation_has_no_quantile() -> None:
    assert quantile(0.99, [0, 0, 0], BOUNDS) is None
