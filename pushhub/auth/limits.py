"""The limits of a process: one place for their settings, their decisions and their counts.

`docs/limits.md` has the table. `caller.py` applies them to the clients of HTTP; other components
call `admit`, `spend`, `acquire` and `release` with the name of a limit and a key, such as
`limits.acquire("address-sessions", network)`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import structlog

from pushhub.auth.count_limit import CountLimit
from pushhub.auth.limit_fields import COUNT_SECONDS, JITTER, LimitRefusal
from pushhub.auth.rate_limit import Rate, RateLimit
from pushhub.auth.shared_rate import SharedRateLimit
from pushhub.settings.limits import LIMIT_SPECS

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.stdlib import BoundLogger

    from pushhub.settings.limits import LimitSpec
    from pushhub.store.base import SharedTokens

log = structlog.get_logger(__name__)

# Keys that one rate remembers at most: 4 MB. Only keys without a full bucket count.
MAX_KEYS = 20_000

# Refusals that an address receives immediately. A client that obeys `Retry-After` has one for each
# of its requests under way, and a page sends some dozens together. Each costs up to a tenth of a
# millisecond of the loop, so ten a second are a thousandth of a core.
REFUSALS = Rate.per_second(10, 100)
# The longest pause before a further one, in seconds: that of Postfix (`smtpd_error_sleep_time`).
MAX_PAUSE = 1.0
# The refusals of an address that wait at a time. Behind a proxy each keeps a connection of it busy,
# so they are a tenth of the requests that may wait for events (`address-holds`).
MAX_SLOWED = 1000


class LimitPolicy(Protocol):
    """The settings of all limits; `Settings` is one."""

    @property
    def limits_shared(self) -> bool: ...

    def limit(self, name: str) -> LimitSpec:
        """The numbers of a limit."""


class LineLog(Protocol):
    """A log that bounds repeated lines; `hub.log` is one."""

    def warning(self, log: BoundLogger, event: str, key: str = "", **about: object) -> None:
        """Log an event."""


class Limits:
    """All limits, by name.

    Args:
        policy: the numbers.
        now: seconds on the hub's clock.
        uniform: draws a number between two, for jitter.
        lines: the log for refusals.
        tokens: the store that counts rates for all processes, if it does.
        process: the name of this process there.
    """

    def __init__(
        self,
        policy: LimitPolicy,
        now: Callable[[], float],
        uniform: Callable[[float, float], float],
        lines: LineLog,
        tokens: SharedTokens | None = None,
        process: str = "",
    ) -> None:
        self.now = now
        self._uniform = uniform
        self._lines = lines
        self._tokens = tokens
        self._process = process
        self.specs: dict[str, LimitSpec] = {}
        # A rate that is off is None.
        self.rates: dict[str, RateLimit | SharedRateLimit | None] = {}
        self.counts: dict[str, CountLimit] = {}
        self.limited = dict.fromkeys(LIMIT_SPECS, 0)
        """The number of refusals of each limit."""
        self._refusals = RateLimit(REFUSALS, MAX_KEYS)
        self._slow = CountLimit(MAX_SLOWED)
        self.slowed = 0
        """The number of refusals that had to wait."""
        self.last_refused: dict[str, tuple[str, float]] = {}
        """The client of the last refusal of each limit, and its time."""
        self.configure(policy)

    def configure(self, policy: LimitPolicy) -> None:
        """Use the numbers of these settings from now on. What was counted stays counted."""
        for name in LIMIT_SPECS:
            spec = self.specs[name] = policy.limit(name)
            if spec.is_count:
                self.counts.setdefault(name, CountLimit(0)).most = spec.most
            elif not spec.rate:
                self.rates[name] = None
            else:
                rate = Rate.per_second(spec.rate, spec.burst)
                tokens = self._tokens if policy.limits_shared else None
                present = self.rates.get(name)
                if present is not None and isinstance(present, SharedRateLimit) is bool(tokens):
                    present.rate = rate
                elif tokens is None:
                    self.rates[name] = RateLimit(rate, MAX_KEYS)
                else:
                    self.rates[name] = SharedRateLimit(name, rate, MAX_KEYS, tokens, self._process)

    # Rates

    def admit(self, name: str, key: str, cost: float = 1.0) -> LimitRefusal | None:
        """Take tokens of a key; the refusal if it has too few, and then none are taken. A cost
        above the burst takes the burst, since it would never be allowed.
        """
        rate = self.rates[name]
        if rate is None:
            return None
        cost = min(cost, rate.rate.burst)
        decision = rate.admit(key, self.now(), cost)
        if decision.allowed:
            return None
        return self._refused(name, key, decision.wait, decision.remaining)

    def check(self, name: str, key: str) -> LimitRefusal | None:
        """The refusal if the key has no token now. Takes none."""
        rate = self.rates[name]
        if rate is None or not (wait := rate.wait(key, self.now())):
            return None
        return self._refused(name, key, wait, 0)

    def spend(self, name: str, key: str, cost: float = 1.0) -> None:
        """Take tokens of a key, also if it has none, such as after a failed login. A negative cost
        gives tokens back.
        """
        rate = self.rates[name]
        if rate is not None:
            rate.spend(key, self.now(), cost)

    def state(self, name: str, key: str) -> tuple[int, int] | None:
        """The tokens that a key has, and the seconds until it has all; None if the limit is off."""
        rate = self.rates[name]
        if rate is None:
            return None
        decision = rate.state(key, self.now())
        return decision.remaining, math.ceil(decision.tat - self.now())

    @property
    def degraded(self) -> int:
        """The decisions by the local share of a rate, while the store could not be reached."""
        shared = (rate for rate in self.rates.values() if isinstance(rate, SharedRateLimit))
        return sum(rate.degraded for rate in shared)

    # Counts

    def acquire(self, name: str, key: str, number: int = 1) -> LimitRefusal | None:
        """Count one more of a key; the refusal if it has the largest number already."""
        if self.counts[name].acquire(key, number):
            return None
        return self.refusal(name, key)

    def refusal(self, name: str, key: str) -> LimitRefusal:
        """Count the refusal by a count, and describe it."""
        return self._refused(name, key, COUNT_SECONDS, 0)

    def release(self, name: str, key: str, number: int = 1) -> None:
        """Count one less of a key."""
        self.counts[name].release(key, number)

    # Refusals

    def pause(self, network: str) -> float:
        """Seconds for which the refusal of a client is held back; 0 for the first ones. Call
        `resumed` after a pause.
        """
        now = self.now()
        wait = self._refusals.wait(network, now)
        if wait and not self._slow.acquire(network):
            return 0.0
        if wait < MAX_PAUSE:
            self._refusals.spend(network, now)
        self.slowed += wait > 0
        return min(wait, MAX_PAUSE)

    def resumed(self, network: str) -> None:
        """The pause of a refusal has ended."""
        self._slow.release(network)

    def _refused(self, name: str, key: str, wait: float, remaining: int) -> LimitRefusal:
        self.limited[name] += 1
        self.last_refused[name] = (key, self.now())
        self._lines.warning(log, "limit.reached", name, limit=name, by=key)
        seconds = max(1, math.ceil(wait * self._uniform(1.0, 1.0 + JITTER)))
        return LimitRefusal(name, self.specs[name], seconds, remaining, key)

    def __repr__(self) -> str:
        return f"<Limits {sum(self.limited.values())} refused>"
