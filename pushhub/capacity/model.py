"""The estimate: a load in, the needs of its processes and of Redis out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pushhub.capacity.figures import (
    CHANNEL_KIB,
    DELIVERY_US,
    FEED_US,
    HOLD_KIB,
    MEASURED_HOLDS,
    PROCESS_MIB,
    PUBLISH_US,
    REDIS_CHANNEL_BYTES,
    REDIS_EVENT_BYTES,
    REDIS_PUBLISH_US,
    TAIL_EVENT_BYTES,
    TIMEOUT_US,
    TOKEN_KIB,
)

# Of a core, so that bursts and garbage collection leave time; latencies were measured below it.
BUSY_SHARE = 0.6
# The default of max_holds, and of the tails of a process (hub/channels.py). A tail has at most 100
# events, and counts 200 bytes for each beside its data. A test compares.
MAX_HOLDS = 100_000
TAILS_BYTES = 64 * 1024 * 1024
TAIL_EVENTS = 100
TAIL_COUNTED_BYTES = 200
# Waits end up to 20 % early, at random.
MEAN_WAIT = 0.9
# Listeners, connections to the store, publishers and operators.
SPARE_DESCRIPTORS = 200
# net.ipv4.ip_local_port_range of Linux: connections of one proxy address to one address of a hub.
PROXY_PORTS = 28_232

_MIB = 1024 * 1024


class Impossible(Exception):
    """No number of processes carries the load; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A load. Its publishes are spread evenly over its channels, and its holds, too."""

    holds: int
    channels: int = 1
    publishes: float = 1.0
    """Events a second, over all channels."""
    event_bytes: int = 100
    retained: int = 1000
    """`retention_events`."""
    age: int = 86_400
    """`retention_age`; 0 is without a limit."""
    wait: int = 25
    """Seconds that clients ask for."""
    channels_per_hold: int = 1
    shared_token: bool = False
    """One token for all clients, or none."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a load needs. `notes` are sentences about its limits."""

    deliveries: float
    timeouts: float
    processes: int
    process_mib: float
    total_mib: float
    process_cores: float
    cores: float
    last_ms: float
    """The time until the last reader of an event has it, while nothing else happens."""
    descriptors: int
    proxy_descriptors: int
    kept_events: int
    redis_mib: float
    redis_cores: float
    notes: tuple[str, ...]


def estimate(workload: Workload) -> Estimate:
    """The needs of a load.

    Raises:
        Impossible: more processes would not help.
    """
    deliveries, timeouts = _responses(workload)
    alone = (
        workload.publishes * PUBLISH_US.value
        + deliveries * DELIVERY_US.value
        + timeouts * TIMEOUT_US.value
    ) / 1e6
    feed = workload.publishes * FEED_US.value / 1e6
    processes = _processes(workload, alone, feed)
    cores = alone + feed * (processes - 1)
    holds = math.ceil(workload.holds / processes)
    memory = _process_mib(workload, holds)
    kept = _kept(workload)
    event_bytes = workload.event_bytes + REDIS_EVENT_BYTES.value
    redis = workload.channels * (REDIS_CHANNEL_BYTES.value + kept * event_bytes) / _MIB
    redis_cores = workload.publishes * REDIS_PUBLISH_US.value / 1e6
    return Estimate(
        deliveries=deliveries,
        timeouts=timeouts,
        processes=processes,
        process_mib=memory,
        total_mib=memory * processes,
        process_cores=cores / processes,
        cores=cores,
        last_ms=(PUBLISH_US.value + _readers(workload) / processes * DELIVERY_US.value) / 1000,
        descriptors=holds + SPARE_DESCRIPTORS,
        proxy_descriptors=2 * workload.holds,
        kept_events=kept * workload.channels,
        redis_mib=redis,
        redis_cores=redis_cores,
        notes=tuple(_notes(holds, redis_cores)),
    )


def _readers(workload: Workload) -> float:
    """The holds that an event completes."""
    return workload.holds * min(1.0, workload.channels_per_hold / workload.channels)


def _responses(workload: Workload) -> tuple[float, float]:
    """Deliveries and empty responses a second. Events of a hold come at random (Poisson), so a wait
    of w seconds sees none with the probability exp(-rate x w).
    """
    rate = workload.publishes * _readers(workload) / workload.holds
    seconds = workload.wait * MEAN_WAIT
    likely = rate * seconds
    if likely < 1e-9:
        return 0.0, workload.holds / seconds
    # Beyond this e^x overflows, and no wait ends without an event.
    empty = rate / math.expm1(likely) if likely < 700 else 0.0
    return workload.holds * rate, workload.holds * empty


def _processes(workload: Workload, alone: float, feed: float) -> int:
    """The fewest processes below the busy share and `max_holds`. Each publish costs every other
    process a message, so `alone + feed x (n - 1)` cores are to fit into n shares.
    """
    if feed >= BUSY_SHARE:
        raise Impossible(
            f"{workload.publishes:,.0f} publishes a second keep each process busy with messages of "
            "the others. Spread the channels over several deployments."
        )
    by_cores = math.ceil((alone - feed) / (BUSY_SHARE - feed))
    by_holds = math.ceil(workload.holds * workload.channels_per_hold / MAX_HOLDS)
    return max(1, by_cores, by_holds)


def _process_mib(workload: Workload, holds: int) -> float:
    """The memory of one process, when its tails are full."""
    channels = min(workload.channels, holds * workload.channels_per_hold)
    kib = holds * HOLD_KIB.value + channels * CHANNEL_KIB.value
    if not workload.shared_token:
        kib += holds * TOKEN_KIB.value
    each = min(TAIL_EVENTS, _kept(workload))
    counted = workload.event_bytes + TAIL_COUNTED_BYTES
    # Every channel keeps its last event, beyond the bound, too.
    events = max(channels, min(channels * each, TAILS_BYTES / counted))
    tails = events * (workload.event_bytes + TAIL_EVENT_BYTES.value)
    return PROCESS_MIB.value + kib / 1024 + tails / _MIB


def _kept(workload: Workload) -> int:
    """The events that a channel keeps. The last one is kept at any age."""
    if not workload.age:
        return workload.retained
    came = workload.publishes / workload.channels * workload.age
    return max(1, min(workload.retained, math.ceil(came)))


def _notes(holds: int, redis_cores: float) -> list[str]:
    notes = []
    if holds > MEASURED_HOLDS:
        notes.append(
            f"{holds:,} holds in a process are more than the {MEASURED_HOLDS:,} that were "
            "measured: measure your own load with `pushhub bench`."
        )
    if holds > PROXY_PORTS:
        notes.append(
            f"One proxy has about {PROXY_PORTS:,} ports for one address of a hub: give it more "
            "addresses, or use a Unix socket."
        )
    if redis_cores > BUSY_SHARE:
        notes.append(
            f"Redis runs on one core, and would need {redis_cores:.2f}: one Redis is the limit "
            "here."
        )
    return notes
