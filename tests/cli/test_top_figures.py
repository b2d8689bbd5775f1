"""The pure part of `pushhub top`: exposition text, differences, quantiles, sums and rows."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pushhub.app import create_app
from pushhub.cli.top_figures import (
    MetricsSample,
    NodeFigures,
    figures,
    grown,
    increase,
    parse_exposition,
    quantile,
    summed,
)
from pushhub.cli.top_view import count, milliseconds, names, size, state
from pushhub.settings import Settings


def sample(at: float, text: str) -> MetricsSample:
    return parse_exposition(text, at)


def test_exposition_text() -> None:
    found = sample(
        1.0,
        '# HELP a x\n# TYPE a counter\na 1\na_total{x="1",y="a\\"b,c"} 2.5 1700000000\n'
        "broken{ 1\nnothing\nb nan-ish\nc +Inf\n",
    )
    assert found.values == {
        "a": {(): 1.0},
        "a_total": {(("x", "1"), ("y", 'a\\"b,c')): 2.5},
        "c": {(): math.inf},
    }
    assert found.total("a_total", x="1") == 2.5
    assert found.total("a_total", x="2") == 0
    assert found.by("a_total", "x") == {"1": 2.5}


async def test_it_reads_what_a_hub_writes_as_prometheus_does() -> None:
    from pushhub.api.metrics import render

    text = render(create_app(Settings(dev=True, store="memory://")).service)
    found = parse_exposition(text, 0.0)
    expected: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            expected.setdefault(one.name, {})[tuple(sorted(one.labels.items()))] = one.value
    assert found.values == expected


@given(st.text(alphabet='ab{}="\\, 1.e\n#'))
def test_no_text_breaks_it(text: str) -> None:
    parse_exposition(text, 0.0)


def test_a_counter_of_a_new_process_begins_at_0() -> None:
    assert increase(10, 15) == 5
    assert increase(10, 4) == 4


def test_quantiles() -> None:
    counts = {0.001: 0.0, 0.01: 90.0, 0.1: 100.0, math.inf: 100.0}
    assert quantile(counts, 0.5) == pytest.approx(0.001 + 0.009 * 50 / 90)
    assert quantile(counts, 0.95) == pytest.approx(0.055)
    assert quantile({0.1: 0.0, math.inf: 5.0}, 0.99) == 0.1
    assert quantile({0.1: 0.0, math.inf: 0.0}, 0.5) is None
    assert quantile({}, 0.5) is None


BEFORE = """pushhub_publish_total{result="ok"} 100
pushhub_publish_total{result="failed"} 7
pushhub_recover_total{result="ok"} 5
pushhub_recover_total{result="trimmed"} 1
pushhub_limited_total{limit="address-requests"} 4
pushhub_limited_total{limit="key-holds"} 0
pushhub_store_seconds_bucket{op="append",le="0.01"} 10
pushhub_store_seconds_bucket{op="append",le="+Inf"} 10
process_cpu_seconds_total 3
"""
AFTER = """pushhub_publish_total{result="ok"} 150
pushhub_publish_total{result="failed"} 9
pushhub_recover_total{result="ok"} 9
pushhub_recover_total{result="trimmed"} 3
pushhub_limited_total{limit="address-requests"} 8
pushhub_limited_total{limit="key-holds"} 0
pushhub_store_seconds_bucket{op="append",le="0.01"} 20
pushhub_store_seconds_bucket{op="append",le="+Inf"} 20
pushhub_store_seconds_bucket{op="read",le="+Inf"} 99
process_cpu_seconds_total 4
pushhub_holds 12
pushhub_store_ready 1
pushhub_draining 0
"""


def test_the_figures_of_a_node() -> None:
    found = figures(sample(10.0, BEFORE), sample(12.0, AFTER))
    assert (found.published_rate, found.gaps_rate, found.cpu, found.holds) == (25, 1, 0.5, 12)
    assert found.append_p99 == pytest.approx(0.0099)
    assert found.wake_p99 is None
    assert (found.limited, found.limited_rates) == (
        {"address-requests": 8},
        {"address-requests": 2},
    )
    assert state(found) == "ok"


def test_only_the_growth_of_a_histogram_counts() -> None:
    counts = grown("pushhub_store_seconds", sample(10.0, BEFORE), sample(12.0, AFTER), op="append")
    assert counts == {0.01: 10.0, math.inf: 10.0}


def test_sums_add_up_and_latencies_are_the_worst() -> None:
    one = NodeFigures(holds=3, wake_p99=0.2, store_lag=1, limited={"a": 1.0}, cpu=0.5)
    other = NodeFigures(holds=4, store_ready=False, limited={"a": 2.0, "b": 1.0})
    total = summed([one, other])
    assert (total.holds, total.wake_p99, total.store_lag, total.cpu) == (7, 0.2, 1, 0.5)
    assert total.limited == {"a": 3.0, "b": 1.0}
    assert state(total) == "no store"
    assert state(NodeFigures(draining=True)) == "leaves"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (count(0), "0"),
        (count(1.25), "1.2"),
        (count(9999), "9999"),
        (count(12_345), "12k"),
        (count(3_000_000), "3000k"),
        (count(2.5e7), "25M"),
        (count(3e10), "30G"),
        (milliseconds(None), "-"),
        (milliseconds(0.00123), "1.2"),
        (milliseconds(1.5), "1500"),
        (size(0), "-"),
        (size(80 * 2**20), "80M"),
        (size(20 * 2**30), "20.0G"),
    ],
)
def test_short_numbers(text: str, expected: str) -> None:
    assert text == expected


def test_names_of_nodes() -> None:
    assert names(["http://a:1", "https://b"]) == ["a:1", "b"]
    assert names(["http://a/x", "http://a/y"]) == ["http://a/x", "http://a/y"]
