"""The log of a store's refusals: each reason once a minute, with a count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# A store that refuses one publish refuses them all, thousands a second. A line a minute is enough
# for a reader of the log, and for an alert on its rate.
LOG_SECONDS = 60.0


@dataclass(slots=True)
class _Reason:
    """One reason's present minute: its end, the refusals since its line, the last one's text."""

    ends: float
    count: int = 0
    text: str = ""


class RefusalLog:
    """Logs the first refusal for a reason immediately, and those of the next minute as one line.

    Args:
        say: logs a line; gets the reason, the text of the last refusal and their number.
    """

    __slots__ = ("_reasons", "_say")

    def __init__(self, say: Callable[[str, str, int], None]) -> None:
        self._say = say
        # By reason: a few fixed words (`REASONS`).
        self._reasons: dict[str, _Reason] = {}

    def note(self, reason: str, text: str, now: float) -> None:
        """Take note of a refusal at `now`, in seconds of any clock that rises."""
        known = self._reasons.get(reason)
        if known is None:
            self._reasons[reason] = _Reason(now + LOG_SECONDS)
            self._say(reason, text, 1)
            return
        known.count += 1
        known.text = text
        self.expire(now)

    def expire(self, now: float) -> None:
        """Log what was counted in minutes that are over."""
        for reason, known in list(self._reasons.items()):
            if now < known.ends:
                continue
            if known.count:
                self._say(reason, known.text, known.count)
                self._reasons[reason] = _Reason(now + LOG_SECONDS)
            else:
                del self._reasons[reason]

    def close(self) -> None:
        """Log what was counted so far."""
        for reason, known in self._reasons.items():
            if known.count:
                self._say(reason, known.text, known.count)
        self._reasons.clear()
