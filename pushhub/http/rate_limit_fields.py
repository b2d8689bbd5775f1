"""`RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11), which describe a
limit, and the 429 by a limit that is a setting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.problem import Problem, retry_after

if TYPE_CHECKING:
    from pushhub.http.response import Headers

# The largest integer of a structured field (RFC 9651 §3.3.1).
MAX_INTEGER = 999_999_999_999_999


def rate_limit_fields(
    name: str, quota: int, unit: str, remaining: int, seconds: int, window: int | None = None
) -> Headers:
    """The fields of one limit.

    Args:
        quota: the largest number, or the tokens of a full bucket.
        unit: a quota unit of the draft (§3.1.1) or one of ours; empty means requests.
        seconds: until more is allowed.
        window: the seconds that fill an empty bucket; None for a number at a time.
    """
    policy = f'"{name}";q={min(quota, MAX_INTEGER)}'
    if window is not None:
        policy += f";w={window}"
    if unit:
        policy += f';qu="{unit}"'
    return (
        (b"ratelimit-policy", policy.encode()),
        (b"ratelimit", f'"{name}";r={remaining};t={seconds}'.encode()),
    )


def too_many(
    name: str, detail: str, quota: int, unit: str, seconds: int, window: int | None = None
) -> Problem:
    """The 429 (RFC 6585 §4) of a client that has reached the limit `name`."""
    return Problem(
        "too-many-requests",
        detail,
        headers=(
            retry_after(seconds),
            *rate_limit_fields(name, quota, unit, 0, seconds, window),
        ),
        policy=name,
        limit=quota,
    )
