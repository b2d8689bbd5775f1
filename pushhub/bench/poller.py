"""A client: one kept connection with one poll on it, as raw as asyncio has it.

A generator shares two cores with the server that it measures, so whatever many clients are told
alike is read once: in a broadcast an answer costs a comparison of bytes and a write.
"""

from __future__ import annotations

import asyncio
from time import monotonic, monotonic_ns, process_time
from typing import TYPE_CHECKING, cast

from pushhub.bench.dialect import TOKEN_MARK
from pushhub.bench.response import News, read_news, read_response

if TYPE_CHECKING:
    from pushhub.bench.dialect import Dialect
    from pushhub.bench.tally import Tally

# Seconds until a client that was refused asks again.
RETRY_SECONDS = 1.0


class PolledChannel:
    """A channel as its readers share it: the request for its latest cursor."""

    __slots__ = ("_cursor", "_request", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._cursor: bytes | None = None
        self._request = b""

    def request(self, cursor: bytes, dialect: Dialect) -> bytes:
        """The poll for what comes after `cursor`, with a mark where a token goes."""
        if cursor != self._cursor:
            self._cursor = cursor
            self._request = dialect.poll(self.name, cursor)
        return self._request


class Crowd:
    """What the clients of one generator have in common."""

    __slots__ = (
        *("alone", "burst", "burst_begun", "closing", "connected", "dialect", "goal", "interval"),
        *("loop", "news", "news_bytes", "pages", "reached", "tally"),
    )

    def __init__(self, dialect: Dialect, tally: Tally) -> None:
        self.dialect = dialect
        self.tally = tally
        self.loop = asyncio.get_running_loop()
        # Seconds between two polls of a client that does not hold; 0 asks again at once.
        self.interval = 0.0
        # Whether every client asks for a page before each poll.
        self.pages = False
        # Whether connections end because we end them, and when the last one has.
        self.closing = False
        self.connected = 0
        self.alone = asyncio.Event()
        # The last answer: in a broadcast the next client's is the same.
        self.news_bytes = b""
        self.news: News | None = None
        # How many events end the burst, and the CPU and wall seconds that the last one took.
        self.goal = 0
        self.reached = asyncio.Event()
        self.burst_begun = self.burst = (0.0, 0.0)

    def expect(self, received: int) -> None:
        """Begin a burst, which ends when so many events in all have been received."""
        self.goal = received
        self.burst_begun = (process_time(), monotonic())
        self.burst = (0.0, 0.0)
        if received:
            self.reached.clear()
        else:
            self.reached.set()

    def read(self, data: bytes) -> News | None:
        """What an answer says, or None if more of it must come."""
        if data != self.news_bytes:
            news = read_news(data, self.dialect)
            if news is None:
                return None
            self.news_bytes, self.news = data, news
        return self.news

    def end_burst(self) -> None:
        """Note what the burst took."""
        if self.goal:
            self.goal = 0
            cpu, wall = self.burst_begun
            self.burst = (process_time() - cpu, monotonic() - wall)
            self.reached.set()


class Poller(asyncio.Protocol):
    """One client."""

    __slots__ = ("channel", "crowd", "cursor", "on_page", "rest", "seen", "token", "transport")

    def __init__(self, crowd: Crowd, channel: PolledChannel, token: bytes) -> None:
        self.crowd = crowd
        self.channel = channel
        # A token of its own, or nothing if all have the same.
        self.token = token
        self.cursor = crowd.dialect.start
        # How many events of its channel it knows of: the number of the last.
        self.seen = 0
        self.rest = b""
        self.on_page = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.crowd.connected += 1
        self.rest = b""
        self.on_page = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        crowd = self.crowd
        crowd.connected -= 1
        if not crowd.closing:
            crowd.tally.broken += 1
        elif not crowd.connected:
            crowd.alone.set()

    def ask(self) -> None:
        """Poll for what comes after the cursor."""
        if self.transport is not None:
            crowd = self.crowd
            crowd.tally.asked += 1
            request = self.channel.request(self.cursor, crowd.dialect)
            if self.token:
                request = request.replace(TOKEN_MARK, self.token)
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        crowd = self.crowd
        if self.rest:
            data = self.rest + data
        if self.on_page:
            if read_response(data) is None:
                self.rest = data
            else:
                self.rest = b""
                self.on_page = False
                self.ask()
            return
        news = crowd.read(data)
        if news is None:
            self.rest = data
            return
        if self.rest:
            self.rest = b""
        if news.cursor:
            self.cursor = news.cursor
        if news.events:
            self._count(news, now)
        elif not self._count_empty(news):
            return
        if crowd.interval:
            crowd.loop.call_later(crowd.interval, self.ask)
        elif crowd.pages:
            self._ask_page()
        else:
            self.ask()

    def _count(self, news: News, now: int) -> None:
        crowd = self.crowd
        tally = crowd.tally
        tally.answers += 1
        for number, published in news.events:
            if number == self.seen + 1:
                self.seen = number
            elif number > self.seen:
                tally.lost += number - self.seen - 1
                self.seen = number
            else:
                tally.duplicated += 1
                continue
            tally.received += 1
            tally.samples.append(now - published)
        if tally.received >= crowd.goal > 0:
            crowd.end_burst()

    def _count_empty(self, news: News) -> bool:
        """Count an answer without events; False if the next poll must not come at once."""
        tally = self.crowd.tally
        # 408 is how nchan says that a wait has ended.
        if news.status in (200, 204, 304, 408):
            tally.empty += 1
            return True
        if news.status == 410:
            tally.gaps += 1
        else:
            tally.refused += 1
        self.crowd.loop.call_later(RETRY_SECONDS, self.ask)
        return False

    def _ask_page(self) -> None:
        if self.transport is not None:
            self.on_page = True
            self.crowd.tally.asked += 1
            self.transport.write(self.crowd.dialect.page())
