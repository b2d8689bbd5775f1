"""The hub's counters and histograms, which `/metrics` renders on request."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pushhub.log.cursor import Cursor
from pushhub.log.read import Gap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.http.response import Reply
    from pushhub.log.read import Read
    from pushhub.polls.base import Poll

# Seconds: from one delivery on an idle box to a fan-out of tens of thousands.
LATENCY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
# Seconds: a hold lasts up to 55.
HOLD_BOUNDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)


class Histogram:
    """Counts by upper bound, and the sum, in the form of Prometheus."""

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
    completed_by_rights: int = 0
    """Holds whose token or key was no longer valid."""
    dropped: int = 0
    """Holds whose client disconnected first."""
    refused_holds: int = 0
    """Polls that got an immediate response because the hub was full."""
    delivered: int = 0
    """Events in responses and streams, counted for each reader."""
    recovered: int = 0
    """Polls whose cursor was behind and that got the missed events."""
    gaps: dict[str, int] = field(default_factory=lambda: {"epoch": 0, "trimmed": 0, "ahead": 0})
    """Gaps that clients received, by reason."""
    xmpp_stalls: dict[str, int] = field(
        default_factory=lambda: {"register": 0, "handover": 0, "forwarding": 0}
    )
    """Loops of the XMPP server that were ended because they made no progress, by loop."""
    publish_ok: int = 0
    publish_duplicate: int = 0
    publish_refused: int = 0
    publish_failed: int = 0
    read_failed: int = 0
    descriptors_exhausted: int = 0
    """Seconds in which no file descriptor was left."""
    repaired: int = 0
    """Holds that were about to end when the log had events that the feed had lost."""
    hold_seconds: Histogram = field(default_factory=lambda: Histogram(HOLD_BOUNDS))
    """How long requests were parked."""
    wake_latency: Histogram = field(default_factory=Histogram)
    """From an event's arrival at the hub to the slice that delivers it to a hold."""
    append_seconds: Histogram = field(default_factory=Histogram)
    """From a publish to its commit."""
    read_seconds: Histogram = field(default_factory=Histogram)
    """Reads of the store, for events that are not in memory."""
    loop_lag: Histogram = field(default_factory=Histogram)
    """How late the wheel's timer fires, ten times a second."""
    gc_pauses: Histogram = field(default_factory=Histogram)
    """Pauses of the garbage collector."""

    @property
    def completed(self) -> dict[str, int]:
        """Completed holds, by the end of their wait."""
        return {
            "event": self.completed_by_event,
            "deadline": self.completed_by_deadline,
            "delete": self.completed_by_delete,
            "drain": self.completed_by_drain,
            "newer": self.completed_by_newer,
            "rights": self.completed_by_rights,
        }

    @property
    def published(self) -> dict[str, int]:
        """Publishes, by their result."""
        return {
            "ok": self.publish_ok,
            "duplicate": self.publish_duplicate,
            "refused": self.publish_refused,
            "failed": self.publish_failed,
        }

    def count_gaps(self, reads: Mapping[str, Read]) -> None:
        """Count the gaps that a reader is about to receive."""
        for read in reads.values():
            if isinstance(read, Gap):
                self.gaps[read.reason] += 1

    def count_read(self, poll: Poll, reply: Reply) -> None:
        """Count the events that a poll got from a read, and not from a fan-out."""
        self.delivered += reply.events
        if reply.events and isinstance(poll.reads[0].since, Cursor):
            self.recovered += 1
