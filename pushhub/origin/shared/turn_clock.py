"""The clock that names the turns of paced fetches.

Nodes that name a turn alike agree on the node that fetches. A wall clock that is set back shows
times again whose turns are taken, so each node continues the wall clock of its start by its
monotonic clock. Each heartbeat carries the sender's time, and every node goes on from the latest
time of all nodes. So a node whose wall clock is early, or that starts after a step, uses the same
names as the others.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

# The end of the year 9999. A later time is no clock, and would leave no room for turns.
END_SECONDS = 253_402_300_800.0


class TurnClock:
    """The latest wall clock of all nodes, as one node knows it. It never goes back.

    `now` is a time on the node's monotonic clock.
    """

    __slots__ = ("_ahead",)

    def __init__(self) -> None:
        # The difference to the node's monotonic clock.
        self._ahead = 0.0

    def time(self, now: float) -> float:
        """The time of all nodes."""
        return now + self._ahead

    def turn(self, pause: float, now: float) -> str:
        """The name of the present turn of a resource that is fetched after each `pause`."""
        return f"{pause:g}:{int(self.time(now) / pause)}"

    def monotonic(self, time: float) -> float:
        """A time of all nodes on the node's monotonic clock."""
        return time - self._ahead

    def advance(self, time: float, now: float) -> None:
        """Go on from the time of a wall clock, if it is later."""
        if self.time(now) < time < END_SECONDS:
            self._ahead = time - now

    def __repr__(self) -> str:
        return f"<TurnClock {self._ahead:+g} s>"
