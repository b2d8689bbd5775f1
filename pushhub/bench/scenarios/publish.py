"""Publish: single events, each with its receipt before the next, over many connections.

There are no holds: their number is the number of connections.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushhub.bench.tally import Latencies
from pushhub.bench.target import fresh_channels

if TYPE_CHECKING:
    from pushhub.bench.target import Figures, Load, Target

# Several connections share a channel, so that there are neither one nor very many channels.
CHANNELS = 16


def publish(target: Target, load: Load) -> Figures:
    """Publish for `seconds` without a reader, and count the receipts."""
    channels = fresh_channels(replace(load, spread=True, holds=CHANNELS))
    latencies = Latencies()
    with target.generators(load) as pool:
        # The first publishes create the channels.
        pool.publish(channels, load.holds, min(0.5, load.seconds), load.size)
        target.settle()
        cpu = target.cpu()
        parts = pool.publish(channels, load.holds, load.seconds, load.size)
        cpu = target.cpu() - cpu
        load.tick(1.0)
    for part in parts:
        buckets = {int(bucket): count for bucket, count in part["buckets"].items()}
        latencies.add(Latencies(buckets, part["max"]))
    acknowledged = sum(part["acknowledged"] for part in parts)
    seconds = max(part["seconds"] for part in parts)
    return {
        "publishes_per_s": acknowledged / seconds,
        "cpu_per_publish_us": cpu / max(1, acknowledged) * 1e6,
        "p50_ms": latencies.quantile(0.5),
        "p99_ms": latencies.quantile(0.99),
        "max_ms": latencies.max / 1e6,
        "server_share": cpu / seconds,
        "refused": sum(part["refused"] for part in parts),
        "generator_share": max(part["busiest"] for part in parts),
    }
