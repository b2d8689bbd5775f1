"""Every scenario runs, with tiny numbers, and finds nothing lost."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from benchmarks.servers import SERVERS
from benchmarks.servers.pushhub import Front
from pushhub.bench.figures import KINDS
from pushhub.bench.scenarios import SCENARIOS, idle
from pushhub.bench.target import Load

TINY = Load(holds=24, publishes=2, seconds=1.0, interval=0.1)

# What a scenario must have measured, beside that nothing was lost.
POSITIVE = {
    "fan-out": ["received", "deliveries_per_s", "p50_ms"],
    "fan-out-users": ["received", "deliveries_per_s", "p50_ms"],
    "many-channels": ["received", "deliveries_per_s", "p50_ms"],
    "steady": ["received", "deliveries_per_s", "p50_ms"],
    "mixed": ["received", "deliveries_per_s", "p50_ms"],
    "churn": ["timeouts_per_s"],
    "reconnect-storm": ["back_ms", "returns_per_s"],
    "poll-vs-longpoll": ["poll_received", "long_received", "poll_requests_per_s"],
    "publish": ["publishes_per_s", "p50_ms"],
    "memory": ["rss_mib"],
    "memory-users": ["rss_mib"],
    "memory-spread": ["rss_mib"],
    "stall": ["received", "probe_max_ms", "loop_lag_ms"],
    "idle": ["timeouts_per_s"],
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_runs_and_loses_nothing(
    name: str, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle, "WAIT", 1)
    done = [0.0]
    scenario = SCENARIOS[name]
    load = replace(TINY, spread=scenario.spread, tick=done.append)
    if name in ("publish", "idle"):
        load = replace(load, seconds=0.3)
    figures = scenario.run(front.target(), load)
    assert {figure: value for figure, value in figures.items() if _bad(figure) and value} == {}
    assert {figure for figure in POSITIVE[name] if not figures[figure] > 0} == set()
    if name != "steady":
        assert figures.get("received", 48) == 48
    assert set(figures) <= set(KINDS)
    assert all(before <= after <= 1 for before, after in pairwise(done))


def _bad(figure: str) -> bool:
    return figure.endswith(("lost", "duplicated", "gaps", "refused", "broken"))


@pytest.mark.parametrize("name", ["asgi", "naive", "nchan", "pushpin"])
def test_other_servers_are_spoken_to(name: str) -> None:
    server = SERVERS[name]()
    if missing := server.missing():
        pytest.skip(missing)
    with server:
        figures = SCENARIOS["fan-out"].run(server.target(), replace(TINY, holds=8))
    assert (figures["received"], figures["lost"], figures["duplicated"]) == (16, 0, 0)


def test_several_generators_share_the_clients(front: Front) -> None:
    load = replace(TINY, holds=7, generators=3)
    figures = SCENARIOS["fan-out"].run(front.target(), load)
    assert (figures["received"], figures["lost"]) == (14, 0)


def test_without_processes_there_is_no_cpu(front: Front) -> None:
    target = replace(front.target(), processes=None)
    figures = SCENARIOS["publish"].run(target, replace(TINY, seconds=0.2))
    assert math.isnan(figures["cpu_per_publish_us"])
    assert figures["publishes_per_s"] > 0


def test_a_generator_without_clients_waits_for_nothing(front: Front) -> None:
    load = replace(TINY, holds=1, generators=2)
    figures = SCENARIOS["fan-out"].run(front.target(), load)
    assert (figures["received"], figures["lost"]) == (2, 0)
