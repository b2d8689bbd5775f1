"""A source that listens to a PostgreSQL database (`LISTEN`).

PostgreSQL keeps no notification for a client that is not connected, so after every connect all
resources of the source count as changed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson

from pushhub.origin.shared.notifications import ON_THE_WIRE
from pushhub.origin.sources.followed import FollowedSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import AsyncConnection

    from pushhub.origin.sources.sink import SourceSink

# For connection, TLS, authentication and LISTEN together.
CONNECT_SECONDS = 10.0
# A connection that is silent for so long is asked whether it is alive: firewalls forget idle ones,
# and neither end notices.
CHECK_SECONDS = 30.0


class PostgresSource(FollowedSource):
    """Listens to one channel until it is cancelled.

    Args:
        name: the name of the source, for the log.
        conninfo: the connection string or URI.
        channel: the channel of `NOTIFY`.
        uniform: draws a number between two, so that nodes do not connect together.
    """

    def __init__(
        self,
        name: str,
        conninfo: str,
        channel: str,
        sink: SourceSink,
        uniform: Callable[[float, float], float],
    ) -> None:
        super().__init__(name, sink, uniform)
        self._conninfo = conninfo
        self._channel = channel

    async def follow(self) -> str:
        """Listen."""
        from psycopg import Error

        try:
            await self._listen()
        except TimeoutError:
            return "the server did not respond in time"
        except (Error, OSError, UnicodeError) as error:
            return str(error).partition("\n")[0][:200] or type(error).__name__
        return "the connection was closed"

    async def _listen(self) -> None:
        from psycopg import AsyncConnection, sql

        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await AsyncConnection.connect(
                self._conninfo, autocommit=True, fallback_application_name="pushhub"
            )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                listen = sql.SQL("LISTEN {}").format(sql.Identifier(self._channel))
                await connection.execute(listen)
            # After LISTEN: what changes from now on is received.
            self.connected()
            await self._receive(connection)
        finally:
            await connection.close()

    async def _receive(self, connection: AsyncConnection) -> None:
        while True:
            async for notification in connection.notifies(timeout=CHECK_SECONDS):
                self._take(notification.payload)
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.execute("SELECT 1")

    def _take(self, payload: str) -> None:
        """Read a payload: a path, a key and a path, or a JSON list of paths."""
        if payload.startswith("["):
            try:
                resources = orjson.loads(payload)
            except orjson.JSONDecodeError:
                resources = [payload]
            for resource in resources:
                self._sink.take(_on_the_wire(str(resource)))
            return
        key, space, resource = payload.partition(" ")
        if space and not payload.startswith("/"):
            self._sink.take(_on_the_wire(resource), key)
        else:
            self._sink.take(_on_the_wire(payload))


def _on_the_wire(text: str) -> str:
    """A resource as clients request it: letters that no URL has are percent-encoded."""
    return text if text.isascii() else quote(text, safe=ON_THE_WIRE, errors="replace")
