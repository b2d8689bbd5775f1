"""The result of a trial as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.advice import toml_lines
from pushhub.trial.comparison import median
from pushhub.trial.text_page import CLIENTS, projected

if TYPE_CHECKING:
    from pushhub.trial.sighting import ObserverRecord
    from pushhub.trial.trial import TrialResult


def json_page(result: TrialResult) -> dict[str, Any]:
    """The figures, in seconds, bytes and requests."""
    return {
        "url": result.suggestion.survey.url,
        "seconds": round(result.seconds, 1),
        "every": result.every,
        "changes": [
            {
                "at": _rounded(one.at),
                "uncertain": _rounded(one.uncertain),
                "polled": _rounded(one.polled),
                "waiting": _rounded(one.long_polled),
            }
            for one in result.changes
        ],
        "polled": _observer(result.poller, result.polled_delays)
        | {"origin_requests": result.poller.requests},
        "waiting": _observer(result.long_poller, result.long_polled_delays)
        | {"origin_requests": result.origin_requests},
        "requests_a_minute": [
            dict(zip(("clients", "polled", "waiting"), (clients, *map(round, both)), strict=True))
            for clients in CLIENTS
            for both in [projected(result, clients)]
        ],
        "shared": result.is_shared,
        "unshared": result.unshared,
        "route": result.suggestion.options,
        "toml": "\n".join(toml_lines([result.suggestion])),
    }


def _observer(record: ObserverRecord, delays: list[float]) -> dict[str, Any]:
    return {
        "requests": record.requests,
        "bytes": record.received,
        "median": _rounded(median(delays)),
        "longest": _rounded(max(delays, default=None)),
        "failures": record.failures,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
