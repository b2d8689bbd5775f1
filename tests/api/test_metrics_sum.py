"""The metrics of several workers, put together."""

import platform

from prometheus_client.parser import text_string_to_metric_families

import pushhub
from pushhub.api.build_info import store_kind
from pushhub.api.metrics import render
from pushhub.api.metrics_sum import add_up
from pushhub.app import create_app
from pushhub.settings import Settings

Samples = dict[tuple[str, ...], float]


def exposition(**changes: float) -> str:
    """What a worker says that has counted something."""
    service = create_app(Settings(dev=True, store="memory://")).service
    stats = service.hub.stats
    for name, value in changes.items():
        if name == "rejected_gap":
            service.rejected["gap"] = int(value)
        elif name == "waited":
            stats.hold_seconds.observe(value)
        elif name == "appended":
            stats.append_seconds.observe(value)
        else:
            setattr(stats, name, value)
    return render(service)


def samples(text: str) -> Samples:
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            assert key not in found, "a series is there once"
            found[key] = sample.value
    return found


def test_counters_and_histograms_add_up() -> None:
    one = exposition(publish_ok=3, waited=0.2, appended=0.003)
    other = exposition(publish_ok=4, waited=30.0, appended=0.2)
    told, of_one, of_other = samples(add_up([one, other])), samples(one), samples(other)
    assert told["pushhub_publish_total", "ok"] == 7
    assert told["pushhub_workers",] == 2
    assert told["pushhub_hold_seconds_count",] == 2
    assert round(told["pushhub_hold_seconds_sum",], 3) == 30.2
    buckets = [key for key in told if key[0].endswith("_bucket")]
    assert len(buckets) > 20
    for key in buckets:
        assert told[key] == of_one[key] + of_other[key], key
    assert told["pushhub_store_seconds_bucket", "append", "+Inf"] == 2


def test_a_series_that_one_worker_alone_has_is_in_its_family() -> None:
    text = add_up([exposition(), exposition(rejected_gap=5), exposition(rejected_gap=2)])
    assert samples(text)["pushhub_rejected_total", "gap"] == 7
    # The parser gives a family twice whose lines are not together.
    names = [family.name for family in text_string_to_metric_families(text)]
    assert len(names) == len(set(names))
    types = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert types["pushhub_rejected"] == "counter"
    assert "unknown" not in types.values()


def test_of_what_does_not_add_up_the_worst_is_told() -> None:
    texts = [
        "pushhub_store_ready 1\npushhub_draining 0\npushhub_store_lag_seconds 0.5\n",
        "pushhub_store_ready 0\npushhub_draining 1\npushhub_store_lag_seconds 2\n",
        "pushhub_store_ready 1\npushhub_draining 0\npushhub_store_lag_seconds 1\n",
    ]
    told = samples(add_up(texts))
    assert told["pushhub_store_ready",] == 0
    assert told["pushhub_draining",] == 1
    assert told["pushhub_store_lag_seconds",] == 2


def test_every_metric_has_one_help_and_one_type() -> None:
    text = add_up([exposition(), exposition()])
    for kind in ("HELP", "TYPE"):
        named = [line.split()[2] for line in text.splitlines() if line.startswith(f"# {kind} ")]
        assert named
        assert len(named) == len(set(named))


def test_the_figures_of_one_worker_alone_are_its_own() -> None:
    text = exposition(publish_ok=3)
    assert samples(add_up([text])) == samples(text)


def test_a_histogram_that_only_a_later_worker_has_stays_together() -> None:
    head = "# HELP s_seconds x\n# TYPE s_seconds histogram\n"
    after = "# HELP other x\n# TYPE other gauge\nother 1\n"
    series = 's_seconds_bucket{le="+Inf"} 1\ns_seconds_sum 1\ns_seconds_count 1\n'
    told = add_up([head + after, head + series + after])
    assert told == head + series + after.replace("other 1\n", "other 2\n")


def test_the_facts_of_workers_are_one_series() -> None:
    """Workers of one server have one version; the info is 1 for all of them."""
    text = exposition()
    version, python = pushhub.__version__, platform.python_version()
    labels = f'version="{version}",python="{python}",store="memory"'
    assert f"pushhub_build_info{{{labels}}} 1\n" in text
    assert add_up([text, text]).count("pushhub_build_info{") == 1
    assert f"pushhub_build_info{{{labels}}} 1\n" in add_up([text, text])


def test_a_store_with_tls_or_sentinels_is_of_the_same_kind() -> None:
    for store in ("redis://h/0", "rediss://h/0", "redis+sentinel://h/s", "unix:///path"):
        assert store_kind(store) == "redis"
    assert store_kind("sqlite:///file") == "sqlite"
