"""The other driver: requests that go to the application as any ASGI server would bring them."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pushhub.testing.simulation.http import SimulatedResponse
from pushhub.testing.simulation.network import LATENCY_SECONDS
from pushhub.testing.simulation.node import PORT, PUBLIC_HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.testing.simulation.node import Node

# Messages of one response keep their order: timers of one moment do not.
APART_SECONDS = 1e-6


class AsgiClient:
    """A client as `http.Client` is one. `find` names the node, None while it is down."""

    end = None
    """There is no connection that could be cut."""

    def __init__(self, find: Callable[[], Node | None], host: str, address: str) -> None:
        self._find = find
        self._host = host
        self._address = address
        self._exchange: _Exchange | None = None

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        patience: float = 120.0,
    ) -> SimulatedResponse:
        """Send a request, and wait for its whole response.

        Raises:
            OSError: the node is down, or went down before the response was whole.
            TimeoutError: no response within `patience` seconds.
        """
        await self.send(method, target, headers, body)
        exchange = self._exchange
        assert exchange is not None
        try:
            async with asyncio.timeout(patience):
                while not exchange.done:
                    await exchange.wait()
        finally:
            exchange.leave()
        exchange.response.body = bytes(exchange.body)
        return exchange.response

    async def send(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        """Send a request."""
        await asyncio.sleep(LATENCY_SECONDS)
        node = self._find()
        if node is None or not node.accepts:
            raise ConnectionRefusedError(f"{self._host} refuses connections")
        path, _, query = target.partition("?")
        found = {"host": PUBLIC_HOST, **(headers or {})}
        if body or method in ("POST", "PUT"):
            found["content-length"] = str(len(body))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in found.items()],
            "client": (self._address, 1),
            "server": (self._host, PORT),
            "state": {},
        }
        self._exchange = _Exchange(node, body)
        node.serve(self._exchange, scope)

    async def head(self) -> SimulatedResponse:
        """Wait for the head of a stream's response."""
        assert self._exchange is not None
        while not self._exchange.headed:
            await self._exchange.wait()
        return self._exchange.response

    async def piece(self) -> bytes:
        """What has arrived of a stream; empty at its end."""
        exchange = self._exchange
        assert exchange is not None
        while not exchange.body and not exchange.done:
            await exchange.wait()
        piece = bytes(exchange.body)
        exchange.body.clear()
        return piece

    def close(self) -> None:
        """Leave."""
        if self._exchange is not None:
            self._exchange.leave()


class _Exchange:
    """One request and its response."""

    def __init__(self, node: Node, body: bytes) -> None:
        self.response = SimulatedResponse()
        self.body = bytearray()
        self.headed = self.done = False
        self._node = node
        self._request: bytes | None = body
        self._lost = False
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._gone = asyncio.Event()
        self._news = asyncio.Event()
        self._due = 0.0

    # The application's side

    async def receive(self) -> dict[str, Any]:
        """What an application receives: the request, and then that its client has left."""
        if self._request is not None:
            body, self._request = self._request, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def reply(self, message: Any) -> None:
        """What an application sends."""
        if not self._gone.is_set():
            now = self._loop.time() + LATENCY_SECONDS
            self._due = max(now, self._due + APART_SECONDS)
            self._loop.call_at(self._due, self._take, message, context=self._context)

    def lose(self) -> None:
        """The node is gone."""
        self._lost = True
        self._gone.set()
        self._news.set()

    # The client's side

    def _take(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.response.status = message["status"]
            for name, value in message.get("headers", ()):
                self.response.headers[name.decode().lower()] = value.decode("latin-1")
            self.headed = True
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")
            self.done = not message.get("more_body", False)
        self._news.set()

    async def wait(self) -> None:
        """Wait for more."""
        if self._lost:
            raise ConnectionResetError("the node is gone")
        if self._gone.is_set():
            raise ConnectionResetError("the client has left")
        self._news.clear()
        await self._news.wait()

    def leave(self) -> None:
        """The client leaves."""
        if not self._gone.is_set():
            self._gone.set()
            self._news.set()
            self._node.exchanges.pop(self, None)
