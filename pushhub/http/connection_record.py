"""The connection on which a request has come, as an endpoint may read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    class _Transport(Protocol):
        def get_extra_info(self, name: str) -> Any: ...

    class _Head(Protocol):
        @property
        def http_1_0(self) -> bool: ...


# A check of proxies records some fifty connections, of about 200 bytes each; checks may run at the
# same time.
MAX_RECORDS = 1000


class SeenConnection(Protocol):
    """A connection of the hub's own HTTP/1.1 server."""

    record: ConnectionRecord | None
    """Set to learn how the connection ends."""

    @property
    def transport(self) -> _Transport:
        """The transport, which knows its peer."""

    @property
    def head(self) -> _Head | None:
        """The head of the present request, which has its version."""


class ConnectionRecord:
    """The peer of a connection, and how long the connection was idle at its end."""

    __slots__ = ("idle_seconds", "is_open", "peer")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.is_open = True
        self.idle_seconds: float | None = None
        """None while it is open, and if it ended during a request."""

    def end(self, idle_seconds: float | None) -> None:
        self.is_open = False
        self.idle_seconds = idle_seconds


class ConnectionRecords:
    """The records of the last connections that asked for one, at most `limit`."""

    __slots__ = ("_limit", "_records")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._records: dict[str, ConnectionRecord] = {}

    def add(self, wire: SeenConnection, peer: str) -> None:
        """Record the end of a connection."""
        if wire.record is None:
            wire.record = ConnectionRecord(peer)
        # The newest is the last; a reused address and port replace their record.
        self._records.pop(peer, None)
        self._records[peer] = wire.record
        if len(self._records) > self._limit:
            del self._records[next(iter(self._records))]

    def of(self, peers: Iterable[str]) -> list[ConnectionRecord]:
        """The records of these peers, as far as they are kept."""
        return [self._records[peer] for peer in peers if peer in self._records]
