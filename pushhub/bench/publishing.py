"""Publishers: one connection of the run, and many that publish as fast as receipts come."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from array import array
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from pushhub.bench.response import BenchResponse, payload, read_response
from pushhub.bench.tally import Latencies

if TYPE_CHECKING:
    from pushhub.bench.dialect import Dialect
    from pushhub.bench.generator import Generator

# The longest time for a response.
TIMEOUT_SECONDS = 30.0


class PublishError(Exception):
    """The server refused a publish, or closed the connection."""


class RequestConnection:
    """A blocking connection for single requests, one after another."""

    def __init__(self, host: str, port: int, *, tls: bool = False) -> None:
        sock = socket.create_connection((host, port), TIMEOUT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        self._sock = sock

    def request(self, request: bytes) -> BenchResponse:
        """Send a request, and read its response."""
        self._sock.sendall(request)
        data = b""
        while (response := read_response(data)) is None:
            piece = self._sock.recv(262_144)
            if not piece:
                raise PublishError("The server closed the connection without a response.")
            data += piece
        return response

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()


class BenchPublisher:
    """Publishes numbered events, one after another, each with its receipt."""

    def __init__(self, connection: RequestConnection, dialect: Dialect, size: int) -> None:
        self._connection = connection
        self._dialect = dialect
        self._size = size
        self.published: dict[str, int] = {}

    def publish(self, channel: str) -> None:
        """Publish the channel's next event.

        Raises:
            PublishError: the response is no success.
        """
        number = self.published.get(channel, 0) + 1
        data = payload(number, time.monotonic_ns(), self._size)
        response = self._connection.request(self._dialect.publish(channel, data))
        if not 200 <= response.status < 300:
            raise PublishError(f"A publish received {response.status}: {response.body!r}")
        self.published[channel] = number

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _RacingPublisher(asyncio.Protocol):
    """A publisher that sends its next event after the receipt of the last one."""

    def __init__(self, race: _Race, channel: str) -> None:
        self.race = race
        self.channel = channel
        self.data = b""
        self.sent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def publish(self) -> None:
        self.sent = time.monotonic_ns()
        self.transport.write(self.race.request(self.channel, self.sent))

    def data_received(self, data: bytes) -> None:
        self.data += data
        response = read_response(self.data)
        if response is None:
            return
        self.data = b""
        if self.race.receipt(response.status, self.sent):
            self.publish()


class _Race:
    """The shared state of the publishers of one generator."""

    def __init__(self, dialect: Dialect, seconds: float, size: int) -> None:
        self._dialect = dialect
        self._size = size
        self._numbers = count(1)
        self._end = time.monotonic_ns() + int(seconds * 1e9)
        self.samples: array[int] = array("q")
        self.refused = 0

    def request(self, channel: str, now: int) -> bytes:
        return self._dialect.publish(channel, payload(next(self._numbers), now, self._size))

    def receipt(self, status: int, sent: int) -> bool:
        """Count a receipt; False when the time is over."""
        now = time.monotonic_ns()
        if 200 <= status < 300:
            self.samples.append(now - sent)
        else:
            self.refused += 1
        return now < self._end


async def publish_for(
    generator: Generator,
    sockets: list[socket.socket],
    channels: list[str],
    seconds: float,
    size: int,
) -> dict[str, Any]:
    """Publish over these connections for some seconds; returns counts and latencies of receipts."""
    race = _Race(generator.clients.dialect, seconds, size)
    publishers = [
        _RacingPublisher(race, channels[number % len(channels)]) for number in range(len(sockets))
    ]
    for sock, publisher in zip(sockets, publishers, strict=True):
        await generator.open_socket(sock, publisher)
    cpu, begun = time.process_time(), time.monotonic()
    for publisher in publishers:
        publisher.publish()
    await asyncio.sleep(seconds)
    took, cpu = time.monotonic() - begun, time.process_time() - cpu
    for publisher in publishers:
        publisher.transport.abort()
    latencies = Latencies.of(race.samples)
    return {
        "acknowledged": len(race.samples),
        "refused": race.refused,
        "seconds": took,
        "busiest": cpu / took,
        "buckets": {str(bucket): count for bucket, count in latencies.buckets.items()},
        "max": latencies.max,
    }
