"""A limit on new sessions for each client address."""

from __future__ import annotations

from pushhub.http.client_address import counted_as


class SessionThrottle:
    """Limits how many sessions one address, or one IPv6 network, may create: `rate` per second,
    with a burst of ten times as many.

    An address is remembered only until its token bucket is full again.
    """

    __slots__ = ("_buckets", "_rate")

    # Beyond so many addresses the oldest are forgotten: 16 MiB.
    MAX_ADDRESSES = 100_000

    def __init__(self, rate: float) -> None:
        self._rate = rate
        # Address → the tokens left, and the time of that count.
        self._buckets: dict[str, tuple[float, float]] = {}

    def admits(self, address: str, now: float) -> bool:
        """Whether the address may create one more session now."""
        address, burst = counted_as(address), self._rate * 10
        tokens, since = self._buckets.pop(address, (burst, now))
        tokens = min(burst, tokens + (now - since) * self._rate)
        admitted = tokens >= 1
        self._buckets[address] = (tokens - 1 if admitted else tokens, now)
        while self._buckets:
            oldest = next(iter(self._buckets))
            rest, at = self._buckets[oldest]
            full = rest + (now - at) * self._rate >= burst
            if not full and len(self._buckets) <= self.MAX_ADDRESSES:
                break
            del self._buckets[oldest]
        return admitted
