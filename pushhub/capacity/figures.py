"""The measured figures that the estimates rest on; each has its run and its command."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: when, of which commit, on which machine."""

    date: str
    commit: str
    machine: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `place` says how it follows from the output of `command`."""

    value: float
    unit: str
    about: str
    run: Run
    command: str
    place: str


# benchmarks/RESULTS.md, nothing else on the machine.
QUIET = Run("2026-11-22", "697bd6b", "AMD EPYC, 2 cores, 23 GiB, CPython 3.11.7")
# Other work on the same two cores: memory is exact, CPU times are on the high side.
BUSY = Run("2026-11-30", "3dccfb0b", "Intel Xeon, 2 cores, 23 GiB, CPython 3.11.7, Valkey 9, busy")

_MEMORY = "python -m benchmarks memory memory-users memory-spread --servers front,nchan --repeat 1"
_FAN_OUT = (
    "python -m benchmarks fan-out fan-out-users --holds 1000,5000 --servers front,nchan --repeat 5"
)
_STEADY = "python -m benchmarks steady --servers front-redis,front --repeat 1"
_IDLE = "python -m benchmarks idle --servers front --repeat 1"
_CAPACITY = "python -m benchmarks.capacity measure"

PROCESS_MIB = Figure(
    81.0, "MiB", "a process on Redis, without clients", BUSY, _CAPACITY, "empty_mib"
)
HOLD_KIB = Figure(
    1.80,
    "KiB",
    "a hold, with its connection",
    QUIET,
    _MEMORY,
    "memory (5,000 holds): KiB/hold",
)
TOKEN_KIB = Figure(
    1.88,
    "KiB",
    "a token of its own for a hold",
    QUIET,
    _MEMORY,
    "memory-users (5,000 holds): KiB/hold - memory (5,000 holds): KiB/hold",
)
CHANNEL_KIB = Figure(
    1.30,
    "KiB",
    "a channel that a process has holds on",
    QUIET,
    _MEMORY,
    "memory-spread (5,000 holds): KiB/hold - memory (5,000 holds): KiB/hold",
)
TAIL_EVENT_BYTES = Figure(
    960, "bytes", "an event in a tail, beside its data", BUSY, _CAPACITY, "tail_event_bytes"
)
DELIVERY_US = Figure(
    28.4,
    "µs",
    "a delivery, and the next poll of that client",
    QUIET,
    _FAN_OUT,
    "fan-out (1,000 holds): CPU µs/delivery",
)
# One delivery for each publish, on Redis: what is left is the publish.
PUBLISH_US = Figure(
    283.6,
    "µs",
    "a publish, beside its deliveries",
    QUIET,
    _STEADY,
    "steady (15,000 holds): CPU µs/delivery - fan-out (1,000 holds): CPU µs/delivery",
)
TIMEOUT_US = Figure(
    38.1,
    "µs",
    "a wait that ends without an event, and the next poll",
    QUIET,
    _IDLE,
    "(idle (18,000 holds): CPU, waits of 25 s - CPU, parked) / timeouts/s",
)
FEED_US = Figure(
    4.7,
    "µs",
    "a message from Redis about a publish of another process",
    BUSY,
    "python -m benchmarks.redis --server valkey9",
    "feed",
)
REDIS_PUBLISH_US = Figure(
    68, "µs", "a publish, in Redis itself", BUSY, _CAPACITY, "redis_publish_us"
)
REDIS_CHANNEL_BYTES = Figure(
    4564, "bytes", "a channel in Redis", BUSY, _CAPACITY, "redis_channel_bytes"
)
REDIS_EVENT_BYTES = Figure(
    113,
    "bytes",
    "an event in Redis, beside its data",
    BUSY,
    _CAPACITY,
    "redis_event_bytes, for 1,000 bytes",
)
# Beyond this number of holds in a process the estimates are extrapolated.
MEASURED_HOLDS = 18_000

FIGURES = (
    *(PROCESS_MIB, HOLD_KIB, TOKEN_KIB, CHANNEL_KIB, TAIL_EVENT_BYTES),
    *(DELIVERY_US, PUBLISH_US, TIMEOUT_US, FEED_US),
    *(REDIS_PUBLISH_US, REDIS_CHANNEL_BYTES, REDIS_EVENT_BYTES),
)
