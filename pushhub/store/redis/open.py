"""Opening connections to Redis: by redis-py, which knows TLS, ACL, unix sockets and Sentinel."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import RedisError

from pushhub.store.base import StoreError, StoreUnavailable
from pushhub.store.redis.sentinel import SENTINEL_SECONDS, Sentinels
from pushhub.store.redis.url import SENTINEL, read_sentinel_url

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from pushhub.store.redis.wire import Wire

# A server on the same network answers in milliseconds; one that does not in two seconds is no help
# to a request.
CONNECT_SECONDS = 2.0
_RUN_ID = re.compile(rb"run_id:(\w+)")

W = TypeVar("W", bound="Wire")


class Opener:
    """Opens connections to the Redis that a URL names.

    `redis://`, `rediss://` and `unix://` are redis-py's.
    `redis+sentinel://host:26379,host2:26379/service/0` asks the sentinels each time for
    the master; `?sentinel_password=` and the user and password of the URL are theirs and the
    master's.

    Raises:
        StoreError: the URL cannot be read.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._seconds = 2 * CONNECT_SECONDS
        self.sentinels: Sentinels | None = None
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
                # An option of the URL that redis-py does not know shows only now.
                self._pool.make_connection()  # type: ignore[no-untyped-call]
        except (ValueError, TypeError) as error:
            raise StoreError(f"The URL of Redis is not valid: {error}.") from None

    def _read_sentinel_url(self, url: str, options: dict[str, Any]) -> None:
        told = read_sentinel_url(url)
        login = {"username": told.username, "password": told.password, "db": told.database}
        # Two questions to each sentinel, all at the same time, after a connection to it.
        self._seconds += 3 * SENTINEL_SECONDS
        self._options = options | login
        self.sentinels = Sentinels(told)

    async def open(self, wire: W) -> W:
        """Connect `wire`.

        Raises:
            StoreUnavailable: Redis cannot be reached, or refuses the credentials.
        """
        connection: AbstractConnection | None = None
        try:
            async with asyncio.timeout(self._seconds):
                connection = await self._make()
                wire.address = (getattr(connection, "host", ""), getattr(connection, "port", 0))
                await connection.connect()  # type: ignore[no-untyped-call]
                await connection.send_command("INFO", "server")
                told: bytes = await connection.read_response()
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:
            # uvloop raises a RuntimeError where redis-py writes to what the server has just reset.
            problem = str(error).rstrip(".") or "no response in time"
            raise StoreUnavailable(f"Redis cannot be reached: {problem}.") from None
        else:
            writer, connection._writer = connection._writer, None
        finally:
            if connection is not None:
                await connection.disconnect(nowait=True)
        assert writer is not None
        wire.owner = writer
        wire.server = found[1] if (found := _RUN_ID.search(told)) else b""
        transport = writer.transport
        if transport.is_closing():
            raise StoreUnavailable("Redis cannot be reached: it closed the connection immediately.")
        transport.set_protocol(wire)
        wire.connection_made(transport)
        return wire

    async def _make(self) -> AbstractConnection:
        if self.sentinels is not None:
            host, port = await self.sentinels.master()
            return Connection(host=host, port=port, **self._options)
        assert self._pool is not None
        made: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        return made

    @property
    def database(self) -> int:
        """The logical database that the connections are in."""
        options = self._options if self._pool is None else self._pool.connection_kwargs
        return int(options.get("db") or 0)

    async def close(self) -> None:
        """Close the connections to the sentinels."""
        if self.sentinels is not None:
            await self.sentinels.close()
