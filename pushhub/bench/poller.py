"""A client: one persistent connection with one poll at a time, as an asyncio protocol.

A generator may share its cores with the server, so equal responses of many clients are parsed once:
in a broadcast a response costs a comparison of bytes and a write.
"""

from __future__ import annotations

import asyncio
from time import monotonic, monotonic_ns, process_time
from typing import TYPE_CHECKING, cast

from pushhub.bench.dialect import TOKEN_MARK
from pushhub.bench.response import PollResult, parse_poll, read_response

if TYPE_CHECKING:
    from pushhub.bench.dialect import Dialect
    from pushhub.bench.tally import Tally

# Seconds until a refused client polls again.
RETRY_SECONDS = 1.0


class PolledChannel:
    """The state of a channel that its readers share: the request for its latest cursor."""

    __slots__ = ("_cursor", "_request", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._cursor: bytes | None = None
        self._request = b""

    def request(self, cursor: bytes, dialect: Dialect) -> bytes:
        """The poll for events after `cursor`, with a placeholder for the token."""
        if cursor != self._cursor:
            self._cursor = cursor
            self._request = dialect.poll(self.name, cursor)
        return self._request


class ClientGroup:
    """The shared state of the clients of one generator."""

    __slots__ = (
        *(
            "burst",
            "burst_begun",
            "closing",
            "connected",
            "disconnected",
            "dialect",
            "goal",
            "interval",
        ),
        *("loop", "last_bytes", "last_result", "pages", "reached", "tally"),
    )

    def __init__(self, dialect: Dialect, tally: Tally) -> None:
        self.dialect = dialect
        self.tally = tally
        self.loop = asyncio.get_running_loop()
        # Seconds between two polls of a client that does not wait; 0 polls again immediately.
        self.interval = 0.0
        # Whether every client requests a page before each poll.
        self.pages = False
        # Whether the run closes all connections, and an event for the end of the last one.
        self.closing = False
        self.connected = 0
        self.disconnected = asyncio.Event()
        # The last response: in a broadcast that of the next client is the same.
        self.last_bytes = b""
        self.last_result: PollResult | None = None
        # The events that end the burst, and the CPU and wall seconds of the last burst.
        self.goal = 0
        self.reached = asyncio.Event()
        self.burst_begun = self.burst = (0.0, 0.0)

    def expect(self, received: int) -> None:
        """Start a burst, which ends when `received` events in all have come."""
        self.goal = received
        self.burst_begun = (process_time(), monotonic())
        self.burst = (0.0, 0.0)
        if received:
            self.reached.clear()
        else:
            self.reached.set()

    def read(self, data: bytes) -> PollResult | None:
        """The parsed response of a poll; None if it is incomplete."""
        if data != self.last_bytes:
            result = parse_poll(data, self.dialect)
            if result is None:
                return None
            self.last_bytes, self.last_result = data, result
        return self.last_result

    def end_burst(self) -> None:
        """Store the CPU and wall seconds of the burst."""
        if self.goal:
            self.goal = 0
            cpu, wall = self.burst_begun
            self.burst = (process_time() - cpu, monotonic() - wall)
            self.reached.set()


class Poller(asyncio.Protocol):
    """One client."""

    __slots__ = ("channel", "cursor", "group", "on_page", "rest", "seen", "token", "transport")

    def __init__(self, group: ClientGroup, channel: PolledChannel, token: bytes) -> None:
        self.group = group
        self.channel = channel
        # The own token; empty if all clients have the same.
        self.token = token
        self.cursor = group.dialect.start
        # The number of the last received event of the channel.
        self.seen = 0
        self.rest = b""
        self.on_page = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.group.connected += 1
        self.rest = b""
        self.on_page = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        group = self.group
        group.connected -= 1
        if not group.closing:
            group.tally.broken += 1
        elif not group.connected:
            group.disconnected.set()

    def poll(self) -> None:
        """Poll for events after the cursor."""
        if self.transport is not None:
            group = self.group
            group.tally.requests += 1
            request = self.channel.request(self.cursor, group.dialect)
            if self.token:
                request = request.replace(TOKEN_MARK, self.token)
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        now = monotonic_ns()
        group = self.group
        if self.rest:
            data = self.rest + data
        if self.on_page:
            if read_response(data) is None:
                self.rest = data
            else:
                self.rest = b""
                self.on_page = False
                self.poll()
            return
        result = group.read(data)
        if result is None:
            self.rest = data
            return
        if self.rest:
            self.rest = b""
        if result.cursor:
            self.cursor = result.cursor
        if result.events:
            self._count(result, now)
        elif not self._count_empty(result):
            return
        if group.interval:
            group.loop.call_later(group.interval, self.poll)
        elif group.pages:
            self._request_page()
        else:
            self.poll()

    def _count(self, result: PollResult, now: int) -> None:
        group = self.group
        tally = group.tally
        tally.responses += 1
        for number, published in result.events:
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
        if tally.received >= group.goal > 0:
            group.end_burst()

    def _count_empty(self, result: PollResult) -> bool:
        """Count a response without events; False if the next poll must wait."""
        tally = self.group.tally
        # 408 is the response of nchan at the end of a wait.
        if result.status in (200, 204, 304, 408):
            tally.empty += 1
            return True
        if result.status == 410:
            tally.gaps += 1
        else:
            tally.refused += 1
        self.group.loop.call_later(RETRY_SECONDS, self.poll)
        return False

    def _request_page(self) -> None:
        if self.transport is not None:
            self.on_page = True
            self.group.tally.requests += 1
            self.transport.write(self.group.dialect.page())
