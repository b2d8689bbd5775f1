"""Dates of HTTP (RFC 9110 §5.6.7)."""

from __future__ import annotations

from email.utils import mktime_tz, parsedate_tz

# The longest that is a date, with room for what senders add.
MAX_DATE = 64


def parse_date(text: str) -> float | None:
    """Seconds since 1970; None for what is no date. A date without a zone is in GMT."""
    try:
        parsed = parsedate_tz(text) if len(text) <= MAX_DATE else None
        return None if parsed is None else float(mktime_tz((*parsed[:9], parsed[9] or 0)))
    except (ValueError, OverflowError, IndexError):
        return None
