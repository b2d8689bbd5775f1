"""The budget of the bytes of incomplete requests: one for a process, with a share per client.

A request that has arrived completely is served immediately and needs no budget. A stranger who
sends many bodies, or many heads, without their ends can occupy no more memory than the budget.
"""

from __future__ import annotations

from pushhub.http.problem import Problem, retry_after
from pushhub.http.rate_limit_fields import too_many

# Bytes of an incomplete request that are not counted: as many connections as a process has files
# would have so little in memory together that no budget is needed. A head has about 0.5 KiB.
FREE_BYTES = 4 * 1024
# Incomplete requests leave within the time of a body, most of them much earlier.
RETRY_SECONDS = 2


class ByteBudget:
    """Counts the bytes of a process.

    Args:
        total: the limit of the process.
        share: the limit of one client, by its key; clients without a key have no own limit.
    """

    __slots__ = ("_by_client", "refused", "share", "total", "used")

    def __init__(self, total: int, share: int) -> None:
        self.total = total
        self.share = share
        self.used = 0
        # Clients with bytes in the budget; as many as there are connections at most.
        self._by_client: dict[str, int] = {}
        self.refused = {"process": 0, "client": 0}

    def lease(self, client: str = "") -> ByteLease:
        """The bytes of one request; `client` is the key of its client, or empty."""
        return ByteLease(self, client)

    def used_by(self, client: str) -> int:
        """The bytes of one client."""
        return self._by_client.get(client, 0)

    def check(self, client: str, more: int) -> None:
        """Refuse if `more` bytes are too many now.

        Raises:
            Problem: 429 beyond the share of the client, 503 beyond the limit of the process.
        """
        if client and self.used_by(client) + more > self.share:
            self.refused["client"] += 1
            raise too_many(
                "max_body_bytes_per_address",
                "Too many bytes of incomplete requests came from your address; send fewer"
                " requests at the same time.",
                self.share,
                "content-bytes",
                RETRY_SECONDS,
            )
        if self.used + more > self.total:
            self.refused["process"] += 1
            raise Problem(
                "overloaded",
                "This server has too many bytes of incomplete requests in memory; try again.",
                headers=(retry_after(RETRY_SECONDS),),
            )

    def add(self, client: str, change: int) -> None:
        """Count bytes, or with a negative number release them."""
        self.used += change
        if client:
            size = self.used_by(client) + change
            if size:
                self._by_client[client] = size
            else:
                self._by_client.pop(client, None)

    def busiest(self) -> tuple[str, int]:
        """The client with most bytes, and their number; an empty key if there is none."""
        return max(self._by_client.items(), key=lambda item: item[1], default=("", 0))

    def __repr__(self) -> str:
        return f"<ByteBudget {self.used} of {self.total} bytes>"


class ByteLease:
    """The bytes of one incomplete request. `release` must follow."""

    __slots__ = ("_budget", "_client", "size")

    def __init__(self, budget: ByteBudget, client: str) -> None:
        self._budget = budget
        self._client = client
        self.size = 0

    def expect(self, length: int) -> None:
        """Refuse a body of a known length that does not fit now. Nothing is reserved: a client that
        announces bytes and sends none must not occupy the budget.

        Raises:
            Problem: see `ByteBudget.check`.
        """
        self._budget.check(self._client, length)

    def hold(self, size: int) -> None:
        """Count `size` bytes, those of an earlier call included. They count even if they are
        refused, because they are in memory.

        Raises:
            Problem: see `ByteBudget.check`.
        """
        size = size if size > FREE_BYTES else 0
        change, self.size = size - self.size, size
        if change:
            self._budget.add(self._client, change)
            if change > 0:
                self._budget.check(self._client, 0)

    def release(self) -> None:
        """Release all bytes. Safe to call again."""
        if self.size:
            self._budget.add(self._client, -self.size)
            self.size = 0
