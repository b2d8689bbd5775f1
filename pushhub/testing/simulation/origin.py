"""A scripted REST server: resources with versions, which is slow, dead, lying or changing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pushhub.testing.simulation.grip import GripScript

if TYPE_CHECKING:
    from pushhub.testing.simulation.network import Network, SimulatedEnd

HOST, PORT = "origin", 80
# Paths of which the origin decides who waits.
GRIP = "/grip/"


@dataclass(slots=True)
class ScriptedResource:
    """A resource at a path of the origin."""

    version: int = 1
    changed: float = 0.0
    """When the version came, in the loop's seconds."""
    etag: bool = True
    """Whether its responses have an ETag."""
    fetches: list[float] = field(default_factory=list)
    """When it was asked for."""
    told: int = 1
    """The version of the last notification."""
    notified: float = 0.0
    """When pushhub acknowledged that the present version is news."""
    notices: list[float] = field(default_factory=list)
    """When a notification of it was sent."""
    waits: list[list[float]] = field(default_factory=list)
    """From when to when a client waited for it."""
    lost: list[float] = field(default_factory=list)
    """When it was asked for by a request that is never answered."""

    @property
    def tag(self) -> str:
        return f'"v{self.version}"'


class ScriptedOrigin:
    """An origin at `http://origin:80`."""

    def __init__(self, network: Network) -> None:
        self.resources: dict[str, ScriptedResource] = defaultdict(ScriptedResource)
        self.latency = 0.02
        """Seconds between a request and its response."""
        self.status = 200
        """What every request is answered with; 0 is no response at all."""
        self._network = network
        self.requests = 0
        self.script = GripScript()
        """What is said to requests below `/grip/`."""
        self.start()

    def start(self) -> None:
        """Listen."""
        self._listener = self._network.listen(HOST, PORT, lambda: _OriginExchange(self))

    def stop(self) -> None:
        """Be down: connections are refused, those that are there are reset."""
        self._network.unlisten(HOST, PORT)
        for end in list(self._listener.open):
            end.abort()

    def change(self, path: str) -> None:
        """A resource has a new version."""
        resource = self.resources[path]
        resource.version += 1
        resource.changed = asyncio.get_running_loop().time()

    def respond(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        """The response to a request, as bytes."""
        if self.status != 200:
            return b"HTTP/1.1 %d Broken\r\ncontent-length: 0\r\n\r\n" % self.status
        if path.startswith(GRIP):
            return self.script.respond(path, headers)
        resource = self.resources[path]
        tag = f"etag: {resource.tag}\r\n" if resource.etag else ""
        if resource.etag and resource.tag in headers.get("if-none-match", ""):
            return f"HTTP/1.1 304 Not Modified\r\n{tag}\r\n".encode()
        body = b'{"version":%d}' % resource.version
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{tag}"
        return head.encode() + b"content-length: %d\r\n\r\n%b" % (len(body), body)


class _OriginExchange(asyncio.Protocol):
    """One connection to the origin."""

    def __init__(self, origin: ScriptedOrigin) -> None:
        self._origin = origin
        self._buffer = b""
        self._transport: SimulatedEnd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            line, *lines = head.decode("latin-1").split("\r\n")
            method, path, _ = line.split(" ")
            headers = {n.lower(): v for n, _, v in (text.partition(": ") for text in lines)}
            origin, loop = self._origin, asyncio.get_running_loop()
            origin.requests += 1
            if not path.startswith(GRIP):
                origin.resources[path].fetches.append(loop.time())
            asked = loop.time()
            loop.call_later(origin.latency, self._answer, method, path, headers, asked)

    def _answer(self, method: str, path: str, headers: dict[str, str], asked: float) -> None:
        if self._origin.status:
            self._transport.write(self._origin.respond(method, path, headers))
        elif not path.startswith(GRIP):
            self._origin.resources[path].lost.append(asked)
