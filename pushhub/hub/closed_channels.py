"""The channels that reloads have closed to clients whose grants do not read them."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from pushhub.log.grant import Action, is_allowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.log.grant import Grant
    from pushhub.polls.base import Poll

# Reloads that are remembered, each with the settings before and after it. A stream that is older
# than the others needs a grant, as if they had closed all channels.
MAX_CLOSINGS = 16


class ClosedChannels:
    """The channels that were closed, by the time of the reload.

    A stream asks before each turn: between two turns it has no hold that a reload could end.
    """

    __slots__ = ("_closings", "_forgotten")

    def __init__(self) -> None:
        self._closings: deque[tuple[float, Callable[[str], bool]]] = deque(maxlen=MAX_CLOSINGS)
        # The time of the last reload that is not remembered.
        self._forgotten = -math.inf

    def add(self, now: float, covers: Callable[[str], bool]) -> None:
        """Remember a reload that has closed the channels that are covered."""
        if len(self._closings) == MAX_CLOSINGS:
            self._forgotten = self._closings[0][0]
        self._closings.append((now, covers))

    def refuse(self, poll: Poll, begun: float, grant: Grant, now: float) -> bool:
        """Whether a client that has read since `begun` may do so no more.

        Args:
            now: seconds since 1970, for the grant.
        """
        if begun <= self._forgotten:
            return not may_read(grant, poll, _all, now)
        return any(
            begun <= at and not may_read(grant, poll, covers, now) for at, covers in self._closings
        )

    def __bool__(self) -> bool:
        return bool(self._closings)

    def __repr__(self) -> str:
        return f"<ClosedChannels of {len(self._closings)} reloads>"


def may_read(grant: Grant, poll: Poll, covers: Callable[[str], bool], now: float) -> bool:
    """Whether a grant reads all channels of a poll that are covered."""
    names = (read.channel for read in poll.reads)
    return all(is_allowed(grant, Action.READ, name, now) for name in names if covers(name))


def _all(channel: str) -> bool:
    return True
