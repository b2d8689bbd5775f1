"""The tunnels of a process: WebSockets and their origins, joined after the handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.problem import Problem, retry_after
from pushhub.http.rate_limit_fields import too_many

if TYPE_CHECKING:
    import asyncio

# A tunnel may last for hours; a client should not ask more often for the end of another one.
RETRY_SECONDS = 10


class Tunnel:
    """One tunnel, or the handshake of one. `end` must follow."""

    __slots__ = ("_client", "_tunnels", "is_half_closed", "near")

    def __init__(self, tunnels: Tunnels, client: str) -> None:
        self._tunnels = tunnels
        self._client = client
        self.near: asyncio.Transport | None = None
        """The client's connection, after the handshake."""
        self.is_half_closed = False
        """Whether one side has sent its last byte."""

    def end(self) -> None:
        """The tunnel has ended, or there will be none. Safe to call again."""
        self._tunnels.ended(self, self._client)


class Tunnels:
    """Counts the tunnels: of the process, and of each client.

    Args:
        limit: the most tunnels of the process.
        per_client: the most tunnels of one client; clients without a key have no own limit.
        stall_seconds: the longest time for which a receiver may read nothing.
    """

    __slots__ = ("_by_client", "_open", "limit", "per_client", "refused", "stall_seconds")

    def __init__(self, limit: int, per_client: int, stall_seconds: float) -> None:
        self.limit = limit
        self.per_client = per_client
        self.stall_seconds = stall_seconds
        self._open: set[Tunnel] = set()
        self._by_client: dict[str, int] = {}
        self.refused = {"process": 0, "client": 0}

    def begin(self, client: str) -> Tunnel:
        """Count the handshake of a client, whose key may be empty.

        Raises:
            Problem: 429 if the client, and 503 if the process has too many.
        """
        if client and self._by_client.get(client, 0) >= self.per_client:
            self.refused["client"] += 1
            raise too_many(
                "max_tunnels_per_address",
                f"Your address has {self.per_client} WebSockets; close one first.",
                self.per_client,
                "websockets",
                RETRY_SECONDS,
            )
        if len(self._open) >= self.limit:
            self.refused["process"] += 1
            raise Problem(
                "overloaded",
                "This server has its largest number of WebSockets; try later.",
                headers=(retry_after(RETRY_SECONDS),),
            )
        tunnel = Tunnel(self, client)
        self._open.add(tunnel)
        if client:
            self._by_client[client] = self._by_client.get(client, 0) + 1
        return tunnel

    def ended(self, tunnel: Tunnel, client: str) -> None:
        """Count a tunnel no more."""
        if tunnel not in self._open:
            return
        self._open.discard(tunnel)
        if client:
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]

    def busiest(self) -> tuple[str, int]:
        """The client with most tunnels, and their number; an empty key if there is none."""
        return max(self._by_client.items(), key=lambda item: item[1], default=("", 0))

    def close(self) -> None:
        """Close every tunnel after the bytes that are on their way."""
        for tunnel in list(self._open):
            if tunnel.near is not None:
                tunnel.near.close()

    def __len__(self) -> int:
        return len(self._open)

    def __repr__(self) -> str:
        return f"<Tunnels {len(self._open)} of {self.limit}>"
