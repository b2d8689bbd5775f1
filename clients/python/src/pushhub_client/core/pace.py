"""Pauses before requests, and the wait to ask for."""

from collections.abc import Callable

Random = Callable[[], float]
"""A number from 0 to 1, as `random.random`."""

# AWS' "full jitter": anything from nothing to the bound, so that clients that were disconnected
# together do not return together. From 1 s, which a restart takes, to a minute.
_FIRST_SECONDS = 1.0
_MOST_SECONDS = 60.0
# A longer pause that a server asks for is a mistake of it.
_DAY_SECONDS = 86_400.0

QUICK_SECONDS = 1.0
"""A request that ends earlier was not held."""
SLACK_SECONDS = 10.0
"""A hub responds to a plain read immediately, and to a wait before its end. A request that takes
this much longer is abandoned."""
PLAIN_SECONDS = 5.0
"""The interval of plain pollers, where a server does not wait."""
MOST_WAIT = 55
"""The longest wait that a hub grants, in seconds (docs/api.md)."""
WAIT = 25
"""The wait that is asked for by default, in seconds. Proxies cut requests at 55 s (Heroku) or 60 s
(nginx, HAProxy, AWS), and some at 30 s."""


def backoff(failures: int, random: Random) -> float:
    """Seconds before the next try after this number of failures in a row."""
    return random() * min(_MOST_SECONDS, _FIRST_SECONDS * 2.0 ** min(failures - 1, 16))


def delay(text: object, unit: float = 1.0) -> float:
    """A pause that a server asks for, in seconds; 0 if it is no number above 0.

    Args:
        unit: seconds of 1, for example 0.001 for milliseconds.
    """
    try:
        seconds = float(text) * unit  # type: ignore[arg-type]  # whatever the server sent
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(seconds, _DAY_SECONDS) if seconds > 0 else 0.0


# What counts as the same age; and a request that ends younger ended for another reason.
_NEAR_SECONDS = 1.0
# Of the age at which requests are cut. A hub ends a wait up to 20 % early, never late.
_SHARE = 0.75
# Requests that must end normally before a longer wait is tried; twice as many each time that fails.
_PATIENCE = 8
_MOST_PATIENCE = 512


class Pace:
    """The wait to ask for, which learns at what age a proxy cuts requests.

    Args:
        most: the wait that the user asks for, in seconds.
    """

    __slots__ = ("_cut", "_good", "_lives", "_most", "_patience", "wait")

    def __init__(self, most: int) -> None:
        self.wait = most
        self._most = most
        self._good = most
        self._cut = 0.0
        self._lives = 0
        self._patience = _PATIENCE

    def died(self, age: float) -> None:
        """A held request failed at this age, in seconds."""
        self._lives = 0
        # Older than a request can become: the machine slept.
        if age > self._most + SLACK_SECONDS + _NEAR_SECONDS:
            return
        if age > _NEAR_SECONDS and self.wait > self._good:
            # A longer wait was tried, and is too long.
            self.wait = self._good
            self._patience = min(2 * self._patience, _MOST_PATIENCE)
        elif age > _NEAR_SECONDS and abs(age - self._cut) < _NEAR_SECONDS:
            # Once is a coincidence; twice in a row at the same age is the rule of a proxy.
            self.wait = max(1, int(min(self.wait, age) * _SHARE))
            self._good = self.wait
        self._cut = age

    def lived(self, age: float) -> None:
        """A held request got its response at this age, in seconds."""
        if age > self._cut:
            self._cut = 0.0
        if age < self.wait * _SHARE:
            return
        # This wait is proven, so that a longer one may be tried.
        self._good = self.wait
        if self.wait < self._most:
            self._lives += 1
            if self._lives >= self._patience:
                self._lives = 0
                self.wait = min(self._most, -int(-self.wait // _SHARE))
