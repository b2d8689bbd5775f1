"""Opening connections to Redis: by redis-py, which knows TLS, ACL, unix sockets and Sentinel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import Connection, ConnectionPool, Sentinel
from redis.exceptions import RedisError

from pushhub.store.base import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from pushhub.store.redis_wire import Wire

# A server on the same network answers in milliseconds; one that does not in two seconds is no help
# to a request.
CONNECT_SECONDS = 2.0
SENTINEL = "redis+sentinel"

W = TypeVar("W", bound="Wire")


class Opener:
    """Opens connections to the Redis that a URL names.

    `redis://`, `rediss://` and `unix://` are redis-py's.
    `redis+sentinel://host:26379,host2:26379/service/0` asks the sentinels, each time, who the
    master is; `?sentinel_password=` and the user and password of the URL are theirs and the
    master's.

    Raises:
        StoreError: the URL cannot be read.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._owners: dict[int, AbstractConnection] = {}
        self._sentinel: Sentinel | None = None
        self._pool: ConnectionPool | None = None
        options: dict[str, Any] = {
            "protocol": 2,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_timeout": CONNECT_SECONDS,
            "retry_on_timeout": False,
            "client_name": "pushhub",
        }
        try:
            if urlsplit(url).scheme == SENTINEL:
                self._read_sentinel_url(url, options)
            else:
                self._pool = ConnectionPool.from_url(url, **options)
        except ValueError as error:
            raise StoreError(f"The address of Redis cannot be read: {error}.") from None

    def _read_sentinel_url(self, url: str, options: dict[str, Any]) -> None:
        parts = urlsplit(url)
        user, at, hosts = parts.netloc.rpartition("@")
        path = parts.path.strip("/").split("/")
        if not hosts or not path[0] or len(path) > 2:
            raise ValueError("write redis+sentinel://host:26379,host2:26379/service/0")
        addresses = []
        for host in hosts.split(","):
            name, _, port = host.rpartition(":")
            addresses.append((name or host, int(port) if name else 26379))
        if at:
            name, _, password = user.partition(":")
            options |= {"username": unquote(name) or None, "password": unquote(password) or None}
        options["db"] = int(path[1]) if len(path) == 2 else 0
        query = parse_qs(parts.query)
        sentinel_options = {
            "socket_timeout": CONNECT_SECONDS,
            "socket_connect_timeout": CONNECT_SECONDS,
        }
        if "sentinel_password" in query:
            sentinel_options["password"] = query["sentinel_password"][0]  # type: ignore[assignment]
        self._service = unquote(path[0])
        self._options = options
        self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
            addresses, sentinel_kwargs=sentinel_options
        )

    async def open(self, wire: W) -> W:
        """Connect `wire`.

        Raises:
            StoreUnavailable: Redis cannot be reached, or does not let us in.
        """
        connection = None
        try:
            async with asyncio.timeout(2 * CONNECT_SECONDS):
                connection = await self._make()
                await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(
                f"Redis cannot be reached: {error or 'no answer in time'}."
            ) from None
        writer = connection._writer
        assert writer is not None
        transport = writer.transport
        transport.set_protocol(wire)
        wire.connection_made(transport)
        # redis-py closes what nobody holds on to.
        wire.owner = connection
        return wire

    async def _make(self) -> AbstractConnection:
        if self._sentinel is not None:
            host, port = await self._sentinel.discover_master(self._service)
            return Connection(host=host, port=port, **self._options)
        assert self._pool is not None
        made: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return made

    async def close(self) -> None:
        """Close the connections to the sentinels."""
        if self._sentinel is not None:
            for sentinel in self._sentinel.sentinels:
                await sentinel.aclose()
