"""Whether and when a publish is sent again."""

from ..errors import HubUnreachable, Problem
from .pace import Random, backoff

# The channel remembers an idempotency key for 300 seconds (docs/api.md); a retry must come before.
MOST_RETRY_SECONDS = 240.0
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Retry:
    """The retries of one request that may be repeated, for `seconds` at most.

    Args:
        now: seconds; only grows.
        renews: a 401 may end when the request is sent again, with a new token.

    Raises:
        ValueError: more seconds than a hub remembers an idempotency key.
    """

    __slots__ = ("_failures", "_random", "_renews", "_until")

    def __init__(self, seconds: float, now: float, *, renews: bool, random: Random) -> None:
        if not 0 <= seconds <= MOST_RETRY_SECONDS:
            raise ValueError(f"retry_seconds is 0 to {MOST_RETRY_SECONDS:.0f}.")
        self._until = now + seconds
        self._failures = 0
        self._renews = renews
        self._random = random

    def after(self, error: HubUnreachable | Problem, now: float) -> float | None:
        """The pause before the request is sent again; None if the error is final."""
        pause = 0.0
        if isinstance(error, Problem):
            # The token has ended: a new one is asked for, once.
            if error.status == 401 and self._renews:
                self._renews = False
                return 0.0
            if error.status not in _TEMPORARY:
                return None
            pause = error.retry_after
        self._failures += 1
        pause = max(pause, backoff(self._failures, self._random))
        return pause if now + pause < self._until else None
