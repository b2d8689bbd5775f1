"""The header lines that a driver adds to a response: `Date`, CORS and `Connection`."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.api.cors import Variant


class HeaderLines:
    """The lines of one CORS variant, shared by connections and updated every second.

    `keep` is for a connection that stays open, `close` for one that closes, and `stay` for an
    HTTP/1.0 connection that stays open.
    """

    __slots__ = ("close", "keep", "stay", "variant")

    def __init__(self, variant: Variant, date: bytes) -> None:
        self.variant = variant
        self.refresh(date)

    def refresh(self, date: bytes) -> None:
        """Use a new date line."""
        self.keep = date + self.variant.lines
        self.close = self.keep + b"connection: close\r\n"
        # HTTP/1.0 clients need a header to keep the connection open (RFC 9112 §C.2.2).
        self.stay = self.keep + b"connection: keep-alive\r\n"


class HeaderLinesTable:
    """The `HeaderLines` of each CORS variant that a request has used."""

    def __init__(self, now: float) -> None:
        self._lines: dict[Variant, HeaderLines] = {}
        self._date = _line(now)

    def of(self, variant: Variant) -> HeaderLines:
        """The lines of a variant."""
        lines = self._lines.get(variant)
        if lines is None:
            lines = self._lines[variant] = HeaderLines(variant, self._date)
        return lines

    def refresh(self, now: float) -> None:
        """Update the date; called every second. `now` is in seconds since 1970."""
        self._date = _line(now)
        for lines in self._lines.values():
            lines.refresh(self._date)


def _line(now: float) -> bytes:
    return b"date: " + formatdate(now, usegmt=True).encode() + b"\r\n"
