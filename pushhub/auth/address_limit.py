"""A limit for each address on how often something may happen, such as a wrong key."""

from __future__ import annotations

from pushhub.http.client_address import client_network


class AddressLimit:
    """One token bucket for each address, for each network in IPv6.

    A bucket holds `burst` tokens, and gets one back every `seconds`. Full buckets are forgotten;
    with more than `most` others the oldest are forgotten, about 100 bytes each.
    """

    __slots__ = ("_burst", "_full_at", "_most", "_seconds")

    def __init__(self, burst: float, seconds: float, most: int) -> None:
        self._burst = burst
        self._seconds = seconds
        self._most = most
        # Address → when its bucket is full again, in the order of the last use.
        self._full_at: dict[str, float] = {}

    def wait(self, address: str, now: float) -> float:
        """Seconds until the address has a token; 0 if it has one now."""
        full_at = self._full_at.get(client_network(address), now)
        return max(0.0, full_at - now - (self._burst - 1) * self._seconds)

    def spend(self, address: str, now: float) -> None:
        """Take a token of the address, also if it has none."""
        address = client_network(address)
        self._full_at[address] = max(self._full_at.pop(address, now), now) + self._seconds
        while self._full_at:
            oldest = next(iter(self._full_at))
            if self._full_at[oldest] > now and len(self._full_at) <= self._most:
                break
            del self._full_at[oldest]

    def admits(self, address: str, now: float) -> bool:
        """Take a token of the address if it has one; whether it had."""
        if self.wait(address, now) > 0:
            return False
        self.spend(address, now)
        return True

    def __len__(self) -> int:
        return len(self._full_at)

    def __repr__(self) -> str:
        return f"<AddressLimit of {len(self._full_at)} addresses>"
