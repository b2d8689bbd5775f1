"""The fetches that a node may send now: a token bucket, which may be in debt.

No I/O, no clock, no randomness.
"""

from __future__ import annotations

# The tokens of so many seconds may be spent together: two ticks of the hub's wheel, so that a late
# tick loses none.
BURST_SECONDS = 0.2
# Requests of clients may take all tokens: paced fetches have this part of the rate to themselves.
RESERVED = 0.25
# A larger rate counts only after it has been offered for so long. A smaller one counts immediately.
# So the rates of all nodes add up to the budget while they learn of a change one after the other;
# a feed takes milliseconds.
GRACE_SECONDS = 0.5
# A debt above its bound is forgiven after so long: two measurements of the demand, so that a crowd
# whose first requests made the debt has been counted.
FORGIVEN_SECONDS = 2.0
# A sum of fractions may be slightly less than the token that it stands for.
_TOKEN = 1.0 - 1e-6


class FetchTokens:
    """Tokens of one node for one origin.

    Paced fetches wait for a token. Fetches that a request or a notification causes do not wait, but
    take a token too. Until that debt is paid, paced fetches have a reserve alone.
    """

    __slots__ = ("_at", "_excess", "_offer", "_offered", "_reserve", "_tokens", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        """Tokens a second."""
        self._tokens = self._burst
        self._reserve = 1.0
        self._at = now
        # A larger rate, and since when it is offered.
        self._offer = 0.0
        self._offered = 0.0
        # Since when the debt is above its bound; None while it is not.
        self._excess: float | None = None

    @property
    def _burst(self) -> float:
        return max(1.0, self.rate * BURST_SECONDS) if self.rate else 0.0

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._fill(now)
        if self._tokens >= _TOKEN:
            self._tokens -= 1.0
        elif self._tokens <= -_TOKEN and self._reserve >= _TOKEN and self.rate:
            self._reserve -= 1.0
        else:
            return False
        return True

    def spend(self, now: float) -> None:
        """Take a token, also if there is none."""
        self._fill(now)
        self._tokens -= 1.0

    def refund(self) -> None:
        """Give a token back: another node does the fetch."""
        self._tokens = min(self._tokens + 1.0, self._burst)

    def offer(self, rate: float, now: float, debt_seconds: float) -> bool:
        """Use a new rate: a smaller one immediately, a larger one after `GRACE_SECONDS`. The debt
        becomes at most the tokens of `debt_seconds`. Returns whether a larger rate does not count
        yet.
        """
        self._fill(now)
        if rate <= self.rate:
            self.rate, self._offer = rate, 0.0
        elif not self._offer:
            self._offer, self._offered = rate, now
        else:
            self._offer = min(self._offer, rate)
            if now - self._offered >= GRACE_SECONDS:
                self.rate, self._offer = self._offer, 0.0
        self._bound(debt_seconds, now)
        return rate > self.rate

    def set(self, rate: float, now: float, debt_seconds: float) -> None:
        """Use a new rate immediately, where no other node shares the budget."""
        self._fill(now)
        self.rate, self._offer = rate, 0.0
        self._bound(debt_seconds, now)

    def _bound(self, debt_seconds: float, now: float) -> None:
        self._tokens = min(self._tokens, self._burst)
        rate = max(self.rate, self._offer)
        if not rate or self._tokens >= -rate * debt_seconds:
            self._excess = None
        elif self._excess is None:
            self._excess = now
        elif now - self._excess >= FORGIVEN_SECONDS:
            self._tokens, self._excess = -rate * debt_seconds, None

    def _fill(self, now: float) -> None:
        passed, self._at = max(0.0, now - self._at), now
        self._tokens = min(self._tokens + passed * self.rate, max(self._burst, self._tokens))
        reserve = self._reserve + passed * self.rate * RESERVED
        self._reserve = min(reserve, max(1.0, self._burst * RESERVED))

    def __repr__(self) -> str:
        return f"<FetchTokens {self._tokens:.1f} at {self.rate:g}/s>"
