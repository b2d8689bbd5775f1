"""A source that listens to a PostgreSQL database (`LISTEN`).

PostgreSQL keeps no notification for a client that is not connected, so after every connect all
resources of the source count as changed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson
import structlog

from pushhub.origin.shared.notifications import ON_THE_WIRE

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import AsyncConnection

    from pushhub.origin.sources.sink import SourceSink

log = structlog.get_logger(__name__)

# For connection, TLS, authentication and LISTEN together.
CONNECT_SECONDS = 10.0
# The pause before the next connect; it doubles up to the longest. A restart of PostgreSQL takes
# seconds; an outage costs two attempts a minute.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# A connection that is silent for so long is asked whether it is alive: firewalls forget idle ones,
# and neither end notices.
CHECK_SECONDS = 30.0


class PostgresSource:
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
        self._name = name
        self._conninfo = conninfo
        self._channel = channel
        self._sink = sink
        self._uniform = uniform
        self.is_connected = False

    async def run(self) -> None:
        """Listen, and connect again after a failure."""
        from psycopg import Error

        loop, pause, logged = asyncio.get_running_loop(), FIRST_PAUSE, ""
        while True:
            begun = loop.time()
            why = "the connection was closed"
            try:
                await self._listen()
            except TimeoutError:
                why = "the server did not respond in time"
            except (Error, OSError, UnicodeError) as error:
                why = str(error).partition("\n")[0][:200] or type(error).__name__
            if self.is_connected and loop.time() - begun > LONGEST_PAUSE:
                pause, logged = FIRST_PAUSE, ""
            self.is_connected = False
            if why != logged:
                logged = why
                log.warning("source.disconnected", source=self._name, why=why)
            await asyncio.sleep(self._uniform(pause / 2, pause))
            pause = min(2 * pause, LONGEST_PAUSE)

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
            self.is_connected = True
            log.info("source.connected", source=self._name)
            # After LISTEN: what changes from now on is received.
            self._sink.lost()
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
