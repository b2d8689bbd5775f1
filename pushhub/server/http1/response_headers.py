"""The header lines that a driver adds: the date, who may read across origins, and whether the
connection stays.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.api.cors import Variant


class Extra:
    """The lines of one CORS variant. Connections share it, and it is made anew every second."""

    __slots__ = ("close", "keep", "stay", "variant")

    def __init__(self, variant: Variant, date: bytes) -> None:
        self.variant = variant
        self.refresh(date)

    def refresh(self, date: bytes) -> None:
        """Take over a new date line."""
        self.keep = date + self.variant.lines
        self.close = self.keep + b"connection: close\r\n"
        # HTTP/1.0 clients want to be told that the connection stays (RFC 9112 §C.2.2).
        self.stay = self.keep + b"connection: keep-alive\r\n"


class Extras:
    """An Extra for each variant that was asked for."""

    def __init__(self, now: float) -> None:
        self._extras: dict[Variant, Extra] = {}
        self._date = _line(now)

    def of(self, variant: Variant) -> Extra:
        """The lines of a variant."""
        extra = self._extras.get(variant)
        if extra is None:
            extra = self._extras[variant] = Extra(variant, self._date)
        return extra

    def refresh(self, now: float) -> None:
        """Write the date anew; to be called every second. `now` is in seconds since 1970."""
        self._date = _line(now)
        for extra in self._extras.values():
            extra.refresh(self._date)


def _line(now: float) -> bytes:
    return b"date: " + formatdate(now, usegmt=True).encode() + b"\r\n"
