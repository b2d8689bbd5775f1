"""How long a request may wait: `Prefer: wait=N` (RFC 7240 §4.3), or `Wait: N`, or `?wait=N`.

A request without a preference gets an immediate response, and so does one with an unreadable
preference: a preference is no requirement. A response has `Preference-Applied` only if the request
waited, or would have waited.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.http.request import Request

# nginx, HAProxy, AWS and Heroku cut a silent response after 60, 60, 60 and 55 seconds.
MAX_WAIT = 55
MIN_WAIT = 1

# delta-seconds; and, since people write them, `30s` (Consul), `2.5` and `1e9`. However many digits
# there are, `float` reads them in linear time.
_SECONDS = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)s?", re.ASCII | re.IGNORECASE)

# A quoted string up to its end, or the header's. A comma in it separates nothing.
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)


def granted_wait(request: Request, cap: int = MAX_WAIT, *, aliases: bool = True) -> int | None:
    """The whole seconds that the request may wait, 1 to `cap`; None without a request for a wait.

    `Prefer` wins over `Wait`, which wins over `?wait=`. `aliases` is off where the URL belongs
    to an origin.
    """
    headers = request.headers
    wait = None
    if "prefer" in headers:
        wait = preferred(headers["prefer"])
    if wait is None and aliases:
        if "wait" in headers:
            wait = parse_seconds(headers["wait"])
        elif "wait" in request.query_string:
            wait = parse_seconds(request.query.get("wait", ""))
    return bounded_wait(wait, cap)


def bounded_wait(seconds: float | None, cap: int = MAX_WAIT) -> int | None:
    """The granted part of `seconds`: None for none or zero, else whole seconds, 1 to `cap`."""
    if not seconds or seconds < 0:
        return None
    return max(MIN_WAIT, int(min(seconds, cap)))


def parse_seconds(text: str) -> float | None:
    """Read a number of seconds; None for anything else."""
    found = _SECONDS.fullmatch(text.strip())
    return float(found[1]) if found else None


def preferred(header: str) -> float | None:
    """The first `wait` among the preferences, 0 if it is unreadable; None without one.

    (RFC 7240 §2: a repeated one is ignored.)
    """
    for preference in _QUOTED.sub(_unquoted, header).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            return parse_seconds(value) or 0
    return None


def _unquoted(found: re.Match[str]) -> str:
    """What a quoted string says, if it can be a wait; nothing of another matters here."""
    return found[1] if _SECONDS.fullmatch(found[1]) else ""
