"""Asking the origin: one pool of connections for each, answers as they were sent."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pushhub.http.problem import Problem
from pushhub.origin.client.connection import IDLE, UpstreamConnection
from pushhub.origin.client.response import UpstreamResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

    from pushhub.origin.request import Pairs

__all__ = ["OriginClient", "UpstreamResponse"]

# Ours stay below what origins close at (uvicorn 5 s, Node 5 s, nginx 75 s), or a request would
# meet a connection that is just being closed.
POOLED_SECONDS = 4.0
# Requests that must not be sent twice take only what was in use just now: a server that closes
# after less than this keeps nothing alive (gunicorn's 2 s are the shortest in use).
SAFE_SECONDS = 1.0
# For how long a connection rests after a response without a body that named the length of one, as
# HEAD and 304 may: a server that sends the body all the same does so at once, or, with Nagle's
# algorithm, after the ACK, which Linux delays by 40 to 200 ms.
REST_SECONDS = 0.25
# How often connections are looked at: a deadline is late by so much.
LOOK_SECONDS = 0.1

# RFC 9110 §9.2.2, and those that are idempotent by their own RFCs (4918 §9, 3253 §3.6, 5323 §2.2).
_IDEMPOTENT = frozenset(
    {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND", "REPORT", "SEARCH", "QUERY"}
)


class Pool:
    """The connections to one origin, whose address is `scheme://host:port`."""

    def __init__(self, address: str, most: int) -> None:
        url = urlsplit(address)
        secure = url.scheme == "https"
        self.authority = url.netloc.encode("ascii")
        self.host = url.hostname or ""
        self.port = url.port or (443 if secure else 80)
        self.tls = ssl.create_default_context() if secure else None
        self.idle: list[UpstreamConnection] = []
        self.links: set[UpstreamConnection] = set()
        # Who finds all of them in use waits here, first come first served.
        self.room = asyncio.Semaphore(most)

    def over(self, link: UpstreamConnection) -> None:
        """A use of a connection is over, or it was closed while nobody used it."""
        if link.phase == IDLE:
            self.idle.append(link)
        elif link in self.idle:
            self.idle.remove(link)
            self.links.discard(link)
            return
        elif link in self.links:
            self.links.discard(link)
        else:
            # Nobody's use of it ends: whoever made it went before it was there, or it was closing
            # when somebody looked for one.
            return
        self.room.release()

    def unused(self, now: float, seconds: float) -> UpstreamConnection | None:
        """A connection that waits in the pool for less than that, the last one used first. One on
        which something has arrived meanwhile is closed, be it bytes or the end: it would be taken
        for the response to the next request.
        """
        resting: list[UpstreamConnection] = []
        found = None
        while found is None and self.idle and now - self.idle[-1].since < seconds:
            link = self.idle.pop()
            if link.doubtful and now - link.since < REST_SECONDS:
                resting.append(link)
            elif link.transport.is_closing():
                self.links.discard(link)
            elif not link.is_silent():
                self.links.discard(link)
                link.abort()
            else:
                found = link
        self.idle += reversed(resting)
        return found

    def look(self, now: float, silent_seconds: float) -> None:
        """Close what is unused for long, and give up what is silent for long."""
        while self.idle and now - self.idle[0].since >= POOLED_SECONDS:
            link = self.idle.pop(0)
            self.links.discard(link)
            link.abort()
        for link in list(self.links):
            link.look(now, silent_seconds)

    def __repr__(self) -> str:
        return f"<Pool {self.host}:{self.port} {len(self.links)} open, {len(self.idle)} unused>"


class OriginClient:
    """The connections of one process to its origins.

    Args:
        connect_seconds: for finding a free connection, and for making one.
        silent_seconds: for how long an origin may say nothing.
        connections: at most so many to each origin.
    """

    def __init__(self, connect_seconds: float, silent_seconds: float, connections: int) -> None:
        self._connect_seconds = connect_seconds
        self._silent_seconds = silent_seconds
        self._connections = connections
        self._pools: dict[str, Pool] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self.under_way = 0

    def open(self) -> None:
        """Begin; connections belong to the running loop."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Close every connection."""
        if self._timer is not None:
            self._timer.cancel()
        for pool in self._pools.values():
            for link in list(pool.links):
                link.fail(Problem("leaving", "This server is shutting down; try again."))
        self._pools.clear()

    async def ask(
        self,
        method: str,
        url: str,
        pairs: Pairs,
        body: AsyncIterable[bytes] | bytes | None = None,
        inform: Callable[[bytes], None] | None = None,
    ) -> UpstreamResponse:
        """Send a request; its response is there when its head is, and must be closed. Redirects
        are the client's.

        Args:
            url: an origin and a target that begins with `/`, or is `*`; both are sent as they are.
            pairs: the headers. Without Content-Length among them a body goes in chunks.
            body: whole, or in pieces as they come; it is sent even after the response began.
            inform: called with the head of each 1xx response that comes before.

        Raises:
            Problem: 502 if the origin cannot be reached or makes no sense, 504 if it is too slow.
        """
        pool, target = self._place(url)
        chunked = body is not None and not any(p[0].lower() == b"content-length" for p in pairs)
        head = _head(method, target, pairs, pool.authority, chunked=chunked)
        idempotent = method in _IDEMPOTENT
        again = idempotent and (body is None or isinstance(body, bytes))
        seconds = POOLED_SECONDS if idempotent else SAFE_SECONDS
        self.under_way += 1
        try:
            while True:
                link = await self._link(pool, seconds)
                try:
                    return await link.ask(method, head, body, inform, chunked=chunked)
                except Problem as problem:
                    link.leave()
                    # It was closing when we wrote, or what came belongs to no request of ours: the
                    # request is as good as not sent. Once, and on a new connection. An origin that
                    # was silent for its whole time has the request, and gets no second one.
                    is_late = problem.slug == "origin-timeout"
                    if is_late or not (again and link.used and link.untouched):
                        raise
                    again, seconds = False, 0
                except BaseException:
                    link.leave()
                    raise
        finally:
            self.under_way -= 1

    def _place(self, url: str) -> tuple[Pool, str]:
        """The pool of an URL, and the target: everything after the address, as it is."""
        begin = url.index("://") + 3
        end = url.find("/", begin)
        if end < 0:
            end = len(url.removesuffix("*"))
        address = url[:end]
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = Pool(address, self._connections)
        return pool, url[end:] or "/"

    async def _link(self, pool: Pool, seconds: float) -> UpstreamConnection:
        """A connection that is unused for less than `seconds`, or a new one; it is in use from now
        on.
        """
        if not pool.room.locked():
            await pool.room.acquire()
        else:
            try:
                async with asyncio.timeout(self._connect_seconds):
                    await pool.room.acquire()
            except TimeoutError:
                raise Problem(
                    "origin-timeout", "Every connection to the origin is in use; try later."
                ) from None
        link = pool.unused(self._loop.time(), seconds)
        if link is not None:
            return link
        try:
            link = await self._connect(pool)
        except BaseException:
            pool.room.release()
            raise
        return link

    async def _connect(self, pool: Pool) -> UpstreamConnection:
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, link = await self._loop.create_connection(
                    lambda: UpstreamConnection(pool.over), pool.host, pool.port, ssl=pool.tls
                )
        except TimeoutError:
            raise Problem(
                "origin-timeout", "No connection to the origin could be made in time."
            ) from None
        except (OSError, ValueError):
            raise Problem(
                "origin-unreachable", "No connection to the origin can be made."
            ) from None
        pool.links.add(link)
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        return link

    def _look(self) -> None:
        """Look after every connection, as long as there are any."""
        now = self._loop.time()
        for pool in self._pools.values():
            pool.look(now, self._silent_seconds)
        more = any(pool.links for pool in self._pools.values())
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look) if more else None


def _head(method: str, target: str, pairs: Pairs, authority: bytes, *, chunked: bool) -> bytes:
    lines = [b"%b %b HTTP/1.1\r\n" % (method.encode("ascii"), target.encode("latin-1"))]
    if not any(name.lower() == b"host" for name, _ in pairs):
        lines.append(b"Host: %b\r\n" % authority)
    lines += [b"%b: %b\r\n" % pair for pair in pairs]
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)
