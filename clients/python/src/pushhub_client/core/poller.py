"""The state machine of a poller of one URL: it waits where the server can, and polls at its
interval where not. No I/O, no clock, no randomness.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import Problem
from .feed import Pause
from .pace import QUICK_SECONDS, SLACK_SECONDS, WAIT, Pace, Random, backoff, delay
from .wire import problem_of

EVERY_SECONDS = 5.0
"""The interval between two requests to a server that does not wait."""
# As fast as a page of the browser client may ask.
_LEAST_SECONDS = 0.1
# Changes that follow one another so often are waited for; more of them come at the interval.
_BURST = 4


@dataclass(frozen=True, slots=True)
class Look:
    """Send a GET with these headers."""

    headers: dict[str, str] = field(default_factory=dict)
    timeout: float = SLACK_SECONDS


class Poller:
    """One poller.

    Args:
        every: seconds between two requests to a server that does not wait; at least 0.1.
        wait: the wait to ask for, in seconds.
        etag: the representation that is known already: only another one is returned.

    Raises:
        ValueError: another interval or wait.
    """

    def __init__(
        self,
        *,
        random: Random,
        every: float = EVERY_SECONDS,
        wait: int = WAIT,
        etag: str | None = None,
        renews: bool = False,
    ) -> None:
        if not (math.isfinite(every) and every >= _LEAST_SECONDS):
            raise ValueError(f"every is at least {_LEAST_SECONDS} seconds.")
        if wait < 1:
            raise ValueError("wait is at least 1 second.")
        self.etag = etag
        self.waits = False
        """Whether the last response had waited."""
        self.error: Exception | None = None
        """The last failure."""
        self.failures = 0
        """The failures in a row."""
        self._every = every
        self._pace = Pace(wait)
        self._random = random
        self._renews = renews
        self._unauthorized = False
        self._quick = 0
        self._pause = 0.0
        self._sent_at = 0.0

    def next(self, now: float) -> Look | Pause:
        """What to do next."""
        if self._pause:
            pause, self._pause = self._pause, 0.0
            return Pause(pause)
        self._sent_at = now
        headers = {"Prefer": f"wait={self._pace.wait}"}
        if self.etag:
            headers["If-None-Match"] = self.etag
        return Look(headers, SLACK_SECONDS + self._pace.wait)

    def responded(self, now: float, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        """The response is complete; whether it is a representation for the reader."""
        ok = 200 <= status < 300
        if not ok and status not in (304, 404):
            self.failed(now, problem_of(status, headers, body))
            return False
        age = now - self._sent_at
        self._unauthorized = False
        self.failures = 0
        self.waits = "preference-applied" in headers
        self._pace.lived(age)
        if status != 304:
            self.etag = headers.get("etag") if ok else None
        self._quick = self._quick + 1 if age < QUICK_SECONDS else 0
        self._pause = delay(headers.get("x-poll-interval")) or self._interval(ok)
        return ok

    def _interval(self, ok: bool) -> float:
        if not self.waits:
            return self._every
        # A server that says that it waits, and does not, would be asked without a pause.
        if self._quick > _BURST or (self._quick and not ok):
            return min(self._every, backoff(self._quick, self._random))
        return 0.0

    def failed(self, now: float, error: Exception) -> None:
        """No success: the connection failed or broke, or the server has a problem."""
        self.error = error
        problem = error if isinstance(error, Problem) else None
        # A new token is asked for, once, and the request is sent again immediately.
        if problem and problem.status == 401 and self._renews and not self._unauthorized:
            self._unauthorized = True
            return
        if problem is None:
            self._pace.died(now - self._sent_at)
        self.failures += 1
        least = 0.0 if self.waits else self._every
        after = problem.retry_after if problem else 0.0
        self._pause = max(after, least, backoff(self.failures, self._random))
