"""The HTTP client for origins: one pool of connections for each, responses as they were sent."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pushhub.http.problem import Problem
from pushhub.origin.client.connection import IDLE, UpstreamConnection
from pushhub.origin.client.response import UpstreamResponse
from pushhub.origin.client.slots import PoolLimits, PoolSlots, Use

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

    from pushhub.origin.request import Pairs

__all__ = ["OriginClient", "UpstreamResponse"]

# Origins close idle connections later than this (uvicorn 5 s, Node 5 s, nginx 75 s), so that a
# request does not meet a connection that is just being closed.
POOLED_SECONDS = 4.0
# Requests that must not be sent twice take only a connection that was in use just now: a server
# that closes sooner has no keep-alive (gunicorn's 2 s are the shortest in use).
SAFE_SECONDS = 1.0
# A connection rests for so long after a response without a body that named the length of one, as
# HEAD and 304 may: a server that sends the body all the same does so immediately, or, with Nagle's
# algorithm, after the ACK, which Linux delays by 40 to 200 ms.
REST_SECONDS = 0.25
# The period of the check for deadlines; a deadline is late by so much.
CHECK_SECONDS = 0.1

# RFC 9110 §9.2.2, and methods that their own RFCs call idempotent (4918 §9, 3253 §3.6, 5323 §2.2).
_IDEMPOTENT = frozenset(
    {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND", "REPORT", "SEARCH", "QUERY"}
)


class ConnectionPool:
    """The connections to one origin, whose address is `scheme://host:port`."""

    def __init__(self, address: str, limits: PoolLimits) -> None:
        url = urlsplit(address)
        secure = url.scheme == "https"
        self.authority = url.netloc.encode("ascii")
        self.host = url.hostname or ""
        self.port = url.port or (443 if secure else 80)
        self.tls = ssl.create_default_context() if secure else None
        self.idle: list[UpstreamConnection] = []
        self.connections: set[UpstreamConnection] = set()
        self.slots = PoolSlots(limits)

    def released(self, connection: UpstreamConnection) -> None:
        """A use of a connection has ended, or it was closed while it was idle."""
        if connection.phase == IDLE:
            self.idle.append(connection)
        elif connection in self.idle:
            self.idle.remove(connection)
            self.connections.discard(connection)
            return
        elif connection in self.connections:
            self.connections.discard(connection)
        else:
            # No use of it ends: the request that opened it was cancelled before that, or it was
            # closing when a request looked for an idle one.
            return
        self.slots.release(connection.use)

    def take_idle(self, now: float, seconds: float) -> UpstreamConnection | None:
        """A connection that was idle for less than so many seconds, the last one used first.

        One on which bytes or the end have arrived meanwhile is closed: they would be taken for the
        response to the next request.
        """
        resting: list[UpstreamConnection] = []
        taken = None
        while taken is None and self.idle and now - self.idle[-1].last_active < seconds:
            connection = self.idle.pop()
            if connection.body_may_follow and now - connection.last_active < REST_SECONDS:
                resting.append(connection)
            elif connection.transport.is_closing():
                self.connections.discard(connection)
            elif not connection.is_silent():
                self.connections.discard(connection)
                connection.abort()
            else:
                taken = connection
        self.idle += reversed(resting)
        return taken

    def check_deadlines(self, now: float, silent_seconds: float) -> None:
        """Close connections that are idle for long, and fail those that are silent for long."""
        while self.idle and now - self.idle[0].last_active >= POOLED_SECONDS:
            connection = self.idle.pop(0)
            self.connections.discard(connection)
            connection.abort()
        for connection in list(self.connections):
            connection.check_silence(now, silent_seconds)

    def __repr__(self) -> str:
        counts = f"{len(self.connections)} open, {len(self.idle)} idle"
        return f"<ConnectionPool {self.host}:{self.port} {counts}>"


class OriginClient:
    """The connections of one process to its origins.

    Args:
        connect_seconds: the limit for finding a free connection, and for opening one.
        silent_seconds: the longest silence of an origin.
        limits: the largest numbers of connections to each origin.
    """

    def __init__(self, connect_seconds: float, silent_seconds: float, limits: PoolLimits) -> None:
        self._connect_seconds = connect_seconds
        self._silent_seconds = silent_seconds
        self._limits = limits
        self._pools: dict[str, ConnectionPool] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self.in_flight = 0

    def open(self) -> None:
        """Use the running loop for connections from now on."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Close every connection."""
        if self._timer is not None:
            self._timer.cancel()
        for pool in self._pools.values():
            for connection in list(pool.connections):
                connection.fail(Problem("leaving", "This server is shutting down; try again."))
        self._pools.clear()

    async def request(
        self,
        method: str,
        url: str,
        pairs: Pairs,
        body: AsyncIterable[bytes] | bytes | None = None,
        on_interim: Callable[[bytes], None] | None = None,
        client: str = "",
    ) -> UpstreamResponse:
        """Send a request; returns when the head of its response was received. The response must be
        closed. Redirects are not followed.

        Args:
            url: an origin and a target that begins with `/`, or is `*`; both are sent as they are.
            pairs: the headers. Without Content-Length among them a body goes in chunks.
            body: whole, or in pieces as they come; it is sent even after the response began.
            on_interim: called with the head of each 1xx response that comes before.
            client: the key of the client that sent the request; empty for pushhub itself.

        Raises:
            Problem: 502 if the origin cannot be reached or its response is invalid, 504 if it is
                too slow; 429 if the client, and 503 if uploads have too many connections.
        """
        pool, target = self._pool(url)
        chunked = body is not None and not any(p[0].lower() == b"content-length" for p in pairs)
        head = _head(method, target, pairs, pool.authority, chunked=chunked)
        idempotent = method in _IDEMPOTENT
        may_retry = idempotent and (body is None or isinstance(body, bytes))
        seconds = POOLED_SECONDS if idempotent else SAFE_SECONDS
        use = Use(client, not (body is None or isinstance(body, bytes)))
        self.in_flight += 1
        try:
            while True:
                connection = await self._acquire(pool, seconds, use)
                try:
                    return await connection.send(method, head, body, on_interim, chunked=chunked)
                except Problem as problem:
                    connection.release()
                    # The connection was closing, or the bytes on it belong to an earlier exchange:
                    # the origin has not seen the request. The retry happens once, and on a new
                    # connection. An origin that timed out has the request, and gets no second one.
                    is_late = problem.slug == "origin-timeout"
                    if is_late or not (may_retry and connection.responses and connection.unseen):
                        raise
                    may_retry, seconds = False, 0
                except BaseException:
                    connection.release()
                    raise
        finally:
            self.in_flight -= 1

    def _pool(self, url: str) -> tuple[ConnectionPool, str]:
        """The pool of a URL, and the target: everything after the address, as it is."""
        begin = url.index("://") + 3
        end = url.find("/", begin)
        if end < 0:
            end = len(url.removesuffix("*"))
        address = url[:end]
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = ConnectionPool(address, self._limits)
        return pool, url[end:] or "/"

    async def _acquire(self, pool: ConnectionPool, seconds: float, use: Use) -> UpstreamConnection:
        """A connection that was idle for less than `seconds`, or a new one."""
        await pool.slots.acquire(use, self._connect_seconds)
        connection = pool.take_idle(self._loop.time(), seconds)
        if connection is None:
            try:
                connection = await self._connect(pool)
            except BaseException:
                pool.slots.release(use)
                raise
        connection.use = use
        return connection

    async def _connect(self, pool: ConnectionPool) -> UpstreamConnection:
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(pool.released), pool.host, pool.port, ssl=pool.tls
                )
        except TimeoutError:
            raise Problem(
                "origin-timeout", "No connection to the origin could be made in time."
            ) from None
        except (OSError, ValueError):
            raise Problem(
                "origin-unreachable", "No connection to the origin can be made."
            ) from None
        pool.connections.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(CHECK_SECONDS, self._check_deadlines)
        return connection

    def _check_deadlines(self) -> None:
        """Check every connection, as long as there are any."""
        now = self._loop.time()
        for pool in self._pools.values():
            pool.check_deadlines(now, self._silent_seconds)
        more = any(pool.connections for pool in self._pools.values())
        self._timer = self._loop.call_later(CHECK_SECONDS, self._check_deadlines) if more else None


def _head(method: str, target: str, pairs: Pairs, authority: bytes, *, chunked: bool) -> bytes:
    lines = [b"%b %b HTTP/1.1\r\n" % (method.encode("ascii"), target.encode("latin-1"))]
    if not any(name.lower() == b"host" for name, _ in pairs):
        lines.append(b"Host: %b\r\n" % authority)
    lines += [b"%b: %b\r\n" % pair for pair in pairs]
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)
