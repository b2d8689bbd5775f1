"""Log lines that an outage or a client can repeat without end: one line a minute for each event.

While the store is unavailable every request fails, and an origin with a wrong header makes every
response fail. The first line informs the operator; thousands a second would hide all other lines
and fill the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pushhub.hub.wheel import OFF
from pushhub.store.refusals import RefusalLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.stdlib import BoundLogger

    from pushhub.hub.wheel import Wheel


@dataclass(slots=True)
class _Line:
    """One line: its module's logger, its level, its event and its fields."""

    log: BoundLogger
    level: str
    event: str
    about: dict[str, Any]


class CountedLog:
    """Logs the first line of an event immediately, and those of the next minute as one line: the
    last of them, with their number as `count`.

    Lines with different keys are counted separately. A `key` is one of a few fixed words, and never
    comes from a request.
    """

    __slots__ = ("_lines", "_noted", "_now", "_wheel", "tick")

    def __init__(self) -> None:
        self._lines = RefusalLog[_Line](self._write)
        # The line that is being counted now.
        self._noted: _Line | None = None
        self._wheel: Wheel | None = None
        self._now: Callable[[], float]
        self.tick = OFF

    def open(self, wheel: Wheel, now: Callable[[], float]) -> None:
        """Begin to count; before that every line is logged."""
        self._wheel, self._now = wheel, now

    def info(self, log: BoundLogger, event: str, key: str = "", **about: Any) -> None:
        """Log an event that needs no alert."""
        self._note(_Line(log, "info", event, about), key)

    def warning(self, log: BoundLogger, event: str, key: str = "", **about: Any) -> None:
        """Log an event that needs the operator's attention."""
        self._note(_Line(log, "warning", event, about), key)

    def exception(self, log: BoundLogger, event: str, key: str = "", **about: Any) -> None:
        """Log the exception that is being handled; the line of a later minute has no traceback."""
        self._note(_Line(log, "exception", event, about), key)

    def _note(self, line: _Line, key: str) -> None:
        self._noted = line
        if self._wheel is None:
            self._write("", line, 1)
        else:
            self._lines.note(f"{line.event} {key}", line, self._now())
            self._expire_later(self._wheel)
        self._noted = None

    def _write(self, kind: str, line: _Line, count: int) -> None:
        level = line.level
        if level == "exception" and line is not self._noted:
            level = "error"
        getattr(line.log, level)(line.event, **line.about, count=count)

    def expire(self) -> None:
        """Log the lines of minutes that have ended."""
        if self._wheel is not None:
            self._lines.expire(self._now())
            self._expire_later(self._wheel)

    def _expire_later(self, wheel: Wheel) -> None:
        due = self._lines.due
        if self.tick == OFF and due is not None:
            wheel.set(self, due)

    def close(self) -> None:
        """Log the lines that were counted so far; after that every line is logged."""
        if self._wheel is not None:
            self._wheel.clear(self)
            self._wheel = None
        self._lines.close()
