"""The log of a store's refusals: each reason once a minute, with a count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

# A store that refuses one publish refuses them all, thousands a second. A line a minute is enough
# for a reader of the log, and for an alert on its rate.
LOG_SECONDS = 60.0

T = TypeVar("T")


@dataclass(slots=True)
class _Reason(Generic[T]):
    """The current minute of one reason: its end, the text of the last refusal, and the number of
    refusals since its line.
    """

    ends: float
    text: T
    count: int = 0


class RefusalLog(Generic[T]):
    """Logs the first refusal for a reason immediately, and those of the next minute as one line.

    Args:
        say: logs a line; gets the reason, the text of the last refusal and their number.
    """

    __slots__ = ("_reasons", "_say")

    def __init__(self, say: Callable[[str, T, int], None]) -> None:
        self._say = say
        # By reason: a few fixed words, such as `REASONS`.
        self._reasons: dict[str, _Reason[T]] = {}

    def note(self, reason: str, text: T, now: float) -> None:
        """Take note of a refusal at `now`, in seconds of any clock that rises."""
        known = self._reasons.get(reason)
        if known is None:
            self._reasons[reason] = _Reason(now + LOG_SECONDS, text)
            self._say(reason, text, 1)
            return
        known.count += 1
        known.text = text
        self.expire(now)

    @property
    def due(self) -> float | None:
        """When the next minute ends, for `expire`; None if nothing is counted."""
        return min((known.ends for known in self._reasons.values()), default=None)

    def expire(self, now: float) -> None:
        """Log what was counted in minutes that are over."""
        for reason, known in list(self._reasons.items()):
            if now < known.ends:
                continue
            if known.count:
                self._say(reason, known.text, known.count)
                self._reasons[reason] = _Reason(now + LOG_SECONDS, known.text)
            else:
                del self._reasons[reason]

    def close(self) -> None:
        """Log what was counted so far."""
        for reason, known in self._reasons.items():
            if known.count:
                self._say(reason, known.text, known.count)
        self._reasons.clear()
