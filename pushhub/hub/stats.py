"""What the hub counts: plain ints and one histogram, rendered by `/metrics` when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

# Seconds: from one delivery on an idle box to a fan-out of tens of thousands.
LATENCY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Seconds: a hold lasts up to 55.
HOLD_BOUNDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)


class Histogram:
    """Counts by upper bound, and the sum, as Prometheus wants them."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...] = LATENCY_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value`, `times` times."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.sum += value * times


@dataclass(slots=True)
class Stats:
    """Counters since the start."""

    completed_by_event: int = 0
    completed_by_deadline: int = 0
    completed_by_delete: int = 0
    completed_by_drain: int = 0
    completed_by_newer: int = 0
    """Holds whose connection sent another request."""
    dropped: int = 0
    """Holds whose client went first."""
    refused_holds: int = 0
    """Polls answered at once because the hub was full."""
    delivered: int = 0
    """Events in answers and streams, counted for each reader."""
    recovered: int = 0
    """Polls whose cursor was behind and that were given what they had missed."""
    gaps: dict[str, int] = field(default_factory=lambda: {"epoch": 0, "trimmed": 0, "ahead": 0})
    """Gaps told, by reason."""
    xmpp_stalls: dict[str, int] = field(
        default_factory=lambda: {"register": 0, "handover": 0, "forwarding": 0}
    )
    """Loops of the XMPP server that were given up because they made no progress, by loop."""
    publish_ok: int = 0
    publish_duplicate: int = 0
    publish_refused: int = 0
    publish_failed: int = 0
    read_failed: int = 0
    descriptors_exhausted: int = 0
    """Seconds in which no file descriptor was left."""
    repaired: int = 0
    """Holds that were about to end when the log had what the feed had not told."""
    hold_seconds: Histogram = field(default_factory=lambda: Histogram(HOLD_BOUNDS))
    """Time that requests were parked, for every end."""
    wake_latency: Histogram = field(default_factory=Histogram)
    """From an event's arrival at the hub to the slice in which a hold was answered with it."""
    append_seconds: Histogram = field(default_factory=Histogram)
    """From a publish to its commit."""
    read_seconds: Histogram = field(default_factory=Histogram)
    """Reads that memory could not answer."""
    loop_lag: Histogram = field(default_factory=Histogram)
    """How late the wheel's timer fires, ten times a second."""
    gc_pauses: Histogram = field(default_factory=Histogram)
    """What the garbage collector stopped everything for."""
