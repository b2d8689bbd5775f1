"""The API of `pushhub try --demo`: orders whose state changes every few seconds, and some noise."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Self

import orjson

if TYPE_CHECKING:
    from types import TracebackType

PATH = "/orders"
# Seconds between two changes: some come soon after another, and some after a while.
LEAST_PAUSE = 1.5
MOST_PAUSE = 9.0
# The longest head of a request that is read.
MAX_HEAD = 16 * 1024
_STATES = ("new", "paid", "packed", "sent", "delivered")


class DemoApi:
    """The API, on a free port of this machine. `changes` are the times of changes on the monotonic
    clock.
    """

    def __init__(self) -> None:
        self.changes: list[float] = []
        self._orders = [{"order": number, "state": _STATES[0]} for number in range(1, 6)]
        self._requests = 0
        self._server: asyncio.Server
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_HEAD)
        self._task = asyncio.create_task(self._change())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        self._server.close()

    @property
    def url(self) -> str:
        """The URL of its orders."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{PATH}"

    async def _change(self) -> None:
        while True:
            await asyncio.sleep(random.uniform(LEAST_PAUSE, MOST_PAUSE))
            order = random.choice(self._orders)
            state = _STATES.index(str(order["state"])) + 1
            order["state"] = _STATES[state % len(_STATES)]
            self.changes.append(time.monotonic())

    def _body(self) -> bytes:
        self._requests += 1
        document: dict[str, Any] = {
            "orders": self._orders,
            "served_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "query_ms": round(random.uniform(1, 9), 3),
        }
        return orjson.dumps(document)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                found = head.startswith(b"GET " + PATH.encode())
                status = b"200 OK" if found else b"404 Not Found"
                body = self._body() if found else b"{}"
                writer.write(
                    b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (status, len(body), body)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass
        finally:
            writer.close()
