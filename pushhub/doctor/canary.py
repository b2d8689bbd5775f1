"""The canary of a hub that runs, from its metrics."""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING

from pushhub.doctor.finding import bad, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.doctor.finding import Finding
    from pushhub.settings import Settings

# A hub on the same machine responds in milliseconds, a busy one within this time.
RESPONSE_SECONDS = 5.0
# A last success that is older than two rounds and a half is red: the canary has stopped. Of a hub
# whose settings are not known the interval may be the longest, 300 s.
OLD_ROUNDS = 2.5
LONGEST_INTERVAL = 300.0
# Checks that a sentence names.
MAX_NAMED = 5

_SERIES = re.compile(
    r'(?m)^pushhub_canary_(ok|age_seconds)\{check="((?:[^"\\]|\\.)*)"\} (\d+(?:\.\d+)?)$'
)
_LOST = re.compile(r"(?m)^pushhub_canary_lost_untold_total (\d+)$")


def judge(metrics: str, interval: float = LONGEST_INTERVAL) -> Finding:
    """The meaning of the metrics of a hub."""
    ages: dict[str, float] = {}
    verdicts: dict[str, float] = {}
    for kind, check, value in _SERIES.findall(metrics):
        (verdicts if kind == "ok" else ages)[check] = float(value)
    if not ages:
        return warn(
            "canary",
            "The hub runs no canary, so nothing checks that events arrive: `canary` is 0, the hub "
            "is about to end, or the server is not pushhub serve.",
        )
    lost = sum(float(value) for value in _LOST.findall(metrics))
    if lost:
        return bad(
            "canary",
            f"The canary missed {lost:,.0f} of its events without a gap, which is a fault of "
            "pushhub: report it with the log.",
        )
    oldest = OLD_ROUNDS * interval
    red = sorted(check for check, age in ages.items() if not verdicts.get(check, 1) or age > oldest)
    if red:
        named = ", ".join(f"{check} (for {ages[check]:,.0f} s)" for check in red[:MAX_NAMED])
        more = f" and {len(red) - MAX_NAMED} more" if len(red) > MAX_NAMED else ""
        return bad(
            "canary",
            f"Checks of the canary fail: {named}{more}. The reasons are in the log "
            "(canary.failed), and on the console's page of nodes.",
        )
    if len(verdicts) < len(ages):
        return ok("canary", "The canary has not ended its first round yet.")
    return ok("canary", f"All {len(ages)} checks of the canary succeed.")


def unseen(status: int) -> Finding:
    """The metrics got another response than their text."""
    return ok(
        "canary",
        f"The state of the canary is not shown here: GET /metrics gets {status}. A key that "
        "manages '*' shows it; give it by $PUSHHUB_KEY.",
    )


def examine(settings: Settings, key: str | None) -> Iterator[Finding]:
    """The canary of the hub that these settings start, if that runs."""
    if not settings.canary:
        yield warn(
            "canary",
            "The canary is off (`canary = 0`), so nothing checks that events arrive; 60 is usual.",
        )
        return
    # On loopback the control listener asks for no key.
    address = settings.control_address if settings.is_control_open else None
    host, port = address or (settings.host, settings.port)
    if address is None and settings.unix_socket is not None:
        return
    is_behind = address is None and (settings.origin or settings.routes)
    prefix = settings.prefix if is_behind else ""
    if port and (found := _read(host, port, f"{prefix}/metrics", key)) is not None:
        status, text = found
        yield judge(text, settings.canary) if status == 200 else unseen(status)


def _read(host: str, port: int, path: str, key: str | None) -> tuple[int, str] | None:
    """The status and the body; None if no hub responds."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=RESPONSE_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        response = connection.getresponse()
        text = response.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    is_problem = response.headers.get_content_type() == "application/problem+json"
    is_hub = is_problem if response.status != 200 else "pushhub_workers" in text
    return (response.status, text) if is_hub else None
