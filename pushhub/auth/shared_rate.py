"""A rate for all processes: tokens are leased from the store, some at a time.

A decision never waits for the store. A process charges what its clients have used, and leases some
tokens more, once a tenth of the burst has been used; so a hot key costs few round trips, and all
processes together allow at most the burst and a tenth of it for each process. While the store
cannot be reached, each process allows its share: the rate divided by the number of processes.
"""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import TYPE_CHECKING

from pushhub.auth.rate_limit import Admission, Rate, RateLimit

if TYPE_CHECKING:
    from pushhub.store.base import SharedTokens, TokenLease

# The part of a burst that is leased at a time.
LEASE_PART = 10
# The pause before the store is called again after a failure.
AWAY_SECONDS = 1.0


class KeyLease:
    """The tokens of one key here: leased ones, and used ones that the store does not know of."""

    __slots__ = ("blocked_until", "is_calling", "tokens", "used")

    def __init__(self) -> None:
        self.tokens = 0.0
        self.used = 0.0
        self.blocked_until = 0.0
        self.is_calling = False


class SharedRateLimit:
    """A `RateLimit` for all processes of a store. `name` is the limit's, `process` this one's."""

    __slots__ = (
        *("_leases", "_local", "_max_keys", "_name", "_process", "_tokens"),
        *("away_until", "degraded", "processes"),
    )

    def __init__(
        self, name: str, rate: Rate, max_keys: int, tokens: SharedTokens, process: str
    ) -> None:
        self._name = name
        self._local = RateLimit(rate, max_keys)
        self._max_keys = max_keys
        self._tokens = tokens
        self._process = process
        self._leases: dict[str, KeyLease] = {}
        self.away_until = 0.0
        self.processes = 1
        """The processes that have leased tokens in the last minutes."""
        self.degraded = 0
        """The decisions by the local share, while the store could not be reached."""

    @property
    def rate(self) -> Rate:
        """The rate of all processes together."""
        return self._local.rate

    @rate.setter
    def rate(self, rate: Rate) -> None:
        self._local.rate = rate

    def admit(self, key: str, now: float, cost: float = 1.0) -> Admission:
        """Take `cost` tokens of the key if it has them; a refused request takes none."""
        lease = self._leases.get(key)
        if lease is not None and lease.tokens < cost and lease.blocked_until > now:
            return Admission(False, now, lease.blocked_until - now, 0)
        share = 1
        if now < self.away_until:
            self.degraded += 1
            share = self.processes
        decision = self._local.admit(key, now, min(cost * share, self.rate.burst))
        if decision.allowed:
            self._use(key, lease, now, cost)
        return decision

    def wait(self, key: str, now: float, cost: float = 1.0) -> float:
        """Seconds until the key has `cost` tokens; 0 if it has them now. Takes none."""
        lease = self._leases.get(key)
        blocked = 0.0 if lease is None or lease.tokens >= cost else lease.blocked_until - now
        return max(blocked, self._local.wait(key, now, cost))

    def state(self, key: str, now: float) -> Admission:
        """The tokens that the key has here, and when it has all. Takes none."""
        state = self._local.state(key, now)
        return state._replace(remaining=0) if self.wait(key, now) else state

    def spend(self, key: str, now: float, cost: float = 1.0) -> None:
        """Take `cost` tokens of the key, also if it has none; a negative cost gives them back."""
        self._local.spend(key, now, cost)
        self._use(key, self._leases.get(key), now, cost)

    def busiest(self, now: float) -> tuple[str, int]:
        """The key that has used most tokens here, and their number."""
        return self._local.busiest(now)

    def _use(self, key: str, lease: KeyLease | None, now: float, cost: float) -> None:
        if lease is None:
            lease = self._leases[key] = KeyLease()
            self._forget(now)
        if lease.tokens >= cost:
            lease.tokens -= cost
        else:
            lease.used = max(-self.rate.burst, lease.used + cost)
        part = max(1.0, self.rate.burst // LEASE_PART)
        if lease.used >= part and not lease.is_calling and now >= self.away_until:
            lease.is_calling = True
            used = lease.used
            digest = hashlib.sha256(key.encode()).hexdigest()[:32]
            self._tokens.take_tokens(
                f"{self._name}:{digest}",
                (self.rate.interval, self.rate.burst, used, int(part)),
                self._process,
                partial(self._leased, lease, used, now),
            )

    def _leased(self, lease: KeyLease, used: float, now: float, leased: TokenLease | None) -> None:
        lease.is_calling = False
        if leased is None:
            self.away_until = now + AWAY_SECONDS
            return
        self.processes = max(1, leased.processes)
        lease.used -= used
        lease.tokens += leased.granted
        lease.blocked_until = 0.0 if leased.granted else now + leased.wait

    def _forget(self, now: float) -> None:
        """Forget keys whose bucket is full, and the oldest beyond the largest number."""
        leases = self._leases
        while leases:
            oldest = next(iter(leases))
            lease = leases[oldest]
            busy = lease.blocked_until > now or math.ceil(self._local.state(oldest, now).tat) > now
            if busy and len(leases) <= self._max_keys:
                break
            if len(leases) == 1:
                break
            del leases[oldest]

    def __len__(self) -> int:
        return len(self._local)

    def __repr__(self) -> str:
        return f"<SharedRateLimit {self._name} of {len(self._local)} keys>"
