"""Rate limits by the generic cell rate algorithm (GCRA, ITU-T I.371 appendix I): the law of a
token bucket, with one number for each key.

The number is the *theoretical arrival time*, TAT: the time at which the key's bucket is full
again. A key that is not remembered has a full bucket.
"""

from __future__ import annotations

import math
from typing import NamedTuple

# Bytes that one key takes at most: a dict entry, the key's text of about 60 characters and a
# float; measured with `tracemalloc` at 100,000 keys, rounded up.
KEY_BYTES = 200
# Client addresses that are remembered where strangers are counted: 20 MB.
MAX_ADDRESSES = 100_000


class Admission(NamedTuple):
    """The result of one check."""

    allowed: bool
    # The bucket is full again at this time; the one to remember if `allowed`.
    tat: float
    # Seconds until the same request would be allowed; 0 if it is allowed now.
    wait: float
    # Whole tokens that are left.
    remaining: int


class Rate(NamedTuple):
    """A rate: a token every `interval` seconds, and `burst` tokens at once."""

    interval: float
    burst: float

    @classmethod
    def per_second(cls, tokens: float, burst: float) -> Rate:
        """The rate of so many tokens a second; both are more than 0."""
        return cls(1.0 / tokens, burst)

    def decide(self, tat: float, now: float, cost: float = 1.0) -> Admission:
        """Whether a key whose bucket is full at `tat` has `cost` tokens at `now`.

        A cost above `burst` is never allowed: its `wait` ends with a full bucket, so that the
        caller does not tell a client to wait forever.
        """
        start = max(tat, now)
        after = start + cost * self.interval
        tolerance = self.burst * self.interval
        wait = after - now - tolerance
        # A sum of floats misses its end by some of its last bits; a microsecond is no abuse.
        if wait <= 1e-6:
            return Admission(
                True, after, 0.0, max(0, int((now + tolerance - after) / self.interval))
            )
        left = max(0, int((now + tolerance - start) / self.interval))
        return Admission(False, start, min(wait, start - now) or wait, left)


class RateLimit:
    """One rate for each of many keys, such as client addresses.

    Keys with a full bucket are forgotten; with more than `max_keys` others the oldest are
    forgotten, which is in favour of the client: `KEY_BYTES` each.
    """

    __slots__ = ("_max_keys", "_tats", "rate")

    def __init__(self, rate: Rate, max_keys: int) -> None:
        self.rate = rate
        self._max_keys = max_keys
        # Key → TAT, in the order of the last use.
        self._tats: dict[str, float] = {}

    def wait(self, key: str, now: float, cost: float = 1.0) -> float:
        """Seconds until the key has `cost` tokens; 0 if it has them now. Takes none."""
        return self.rate.decide(self._tats.get(key, now), now, cost).wait

    def admit(self, key: str, now: float, cost: float = 1.0) -> Admission:
        """Take `cost` tokens of the key if it has them; a refused request takes none."""
        decision = self.rate.decide(self._tats.get(key, now), now, cost)
        if decision.allowed:
            self._remember(key, decision.tat, now)
        return decision

    def state(self, key: str, now: float) -> Admission:
        """The tokens that the key has, and when it has all. Takes none."""
        return self.rate.decide(self._tats.get(key, now), now, 0.0)

    def spend(self, key: str, now: float, cost: float = 1.0) -> None:
        """Take `cost` tokens of the key, also if it has none, such as after a wrong password."""
        tat = max(self._tats.get(key, now), now) + cost * self.rate.interval
        self._remember(key, tat, now)

    def refund(self, key: str, now: float, cost: float = 1.0) -> None:
        """Give tokens back that were taken for what did not count in the end."""
        tat = self._tats.get(key, now) - cost * self.rate.interval
        if tat > now:
            self._tats[key] = tat
        else:
            self._tats.pop(key, None)

    def _remember(self, key: str, tat: float, now: float) -> None:
        tats = self._tats
        tats.pop(key, None)
        tats[key] = tat
        while tats:
            oldest = next(iter(tats))
            if tats[oldest] > now and len(tats) <= self._max_keys:
                break
            del tats[oldest]

    def busiest(self, now: float) -> tuple[str, int]:
        """The key with the fewest tokens, and the tokens that it has used; an empty key if all
        buckets are full.
        """
        tats = self._tats
        key = max(tats, key=tats.__getitem__, default="")
        if not key or tats[key] <= now:
            return "", 0
        return key, math.ceil((tats[key] - now) / self.rate.interval)

    def __len__(self) -> int:
        return len(self._tats)

    def __repr__(self) -> str:
        return f"<RateLimit of {len(self._tats)} keys>"
