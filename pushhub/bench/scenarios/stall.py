"""Stall: the time for which a fan-out delays other requests.

A connection with cheap requests measures it from outside, and the server's metric of the lag of its
event loop from inside, if there is one.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

from pushhub.bench.scenarios.fan_out import delivery_figures, rounds
from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# Between two requests of the probe: often enough to hit every stall, and little load.
PAUSE_SECONDS = 0.0005

_LAG = re.compile(r'pushhub_loop_lag_seconds_bucket\{le="([^"]+)"\} (\d+)')


class Probe(threading.Thread):
    """Sends cheap requests one after another, and stores the time of each response."""

    def __init__(self, target: Target) -> None:
        super().__init__(daemon=True)
        self._connection = target.connect()
        self._request = target.cheap or target.dialect.page()
        self._end = threading.Event()
        self.took: list[float] = []

    def run(self) -> None:
        """Send requests until `stop`."""
        while not self._end.is_set():
            begun = time.monotonic()
            self._connection.request(self._request)
            self.took.append(time.monotonic() - begun)
            time.sleep(PAUSE_SECONDS)

    def stop(self) -> list[float]:
        """The seconds of all responses, sorted."""
        self._end.set()
        self.join()
        self._connection.close()
        return sorted(self.took)


def stall(target: Target, load: Load) -> Figures:
    """Fan out to all holds, with a probe beside them."""
    channels = fresh_channels(load)
    with target.publisher(load) as publisher, target.generators(load) as pool:
        pool.open(channels, load.holds // len(channels))
        target.settle()
        pool.count()
        rounds(target, pool, publisher, channels, 1)
        idle = _probe_alone(target)
        pool.count()
        lag, cpu = _lags(target), target.cpu()
        probe = Probe(target)
        probe.start()
        seconds = rounds(target, pool, publisher, channels, load.publishes, load)
        took = probe.stop()
        lags = {bound: count - lag[bound] for bound, count in _lags(target).items()}
        report = pool.report(publisher.published)
        cpu = target.cpu() - cpu
    figures = delivery_figures(report, cpu, seconds)
    # The probe's own requests are in the processes' CPU.
    del figures["cpu_per_delivery_us"]
    return figures | {
        "probe_max_ms": took[-1] * 1e3,
        "probe_p99_ms": took[len(took) * 99 // 100] * 1e3,
        "probe_idle_max_ms": idle[-1] * 1e3,
        "loop_lag_ms": _highest(lags) * 1e3,
    }


def _probe_alone(target: Target) -> list[float]:
    """The times of the probe without other load, on this machine."""
    probe = Probe(target)
    probe.start()
    time.sleep(0.5)
    return probe.stop()


def _lags(target: Target) -> dict[float, int]:
    """The metric's buckets: seconds, and how often the lag was at most that."""
    if not target.metrics:
        return {}
    connection = target.connect()
    text = connection.request(target.metrics).body.decode()
    connection.close()
    return {float(bound.replace("+", "")): int(count) for bound, count in _LAG.findall(text)}


def _highest(lags: dict[float, int]) -> float:
    """The bound that no lag exceeded; NaN where there is no metric."""
    if not lags:
        return float("nan")
    most = max(lags.values())
    return min(bound for bound, count in lags.items() if count == most)
