"""Nodes of pushhub: processes that are killed, drained and started again on the same port."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import tempfile
import time
from math import inf
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.serving import START_SECONDS, Server, started
from tests.wire import Client, Response


class Node:
    """One node. Its address stays the same over its lives."""

    start_seconds = START_SECONDS

    def __init__(self, store: str, **settings: Any) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="pushhub-node-")
        given = {"store": store, "dev": True, "drain_seconds": 0.3, "log_format": "json"}
        given |= {"retention_events": 100_000, **settings}
        self._environ = {
            name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")
        }
        for name, setting in given.items():
            text = setting if isinstance(setting, str) else json.dumps(setting)
            self._environ[f"PUSHHUB_{name.upper()}"] = text
        self._has_workers = settings.get("workers", 1) > 1
        self.server: Server | None = None

    async def start(self) -> Node:
        """Start it, and wait until it says where it listens."""
        assert self.server is None
        self.server = await asyncio.to_thread(self._start)
        return self

    def _start(self) -> Server:
        command = ["-m", "pushhub", "serve", "--port", str(self.port)]
        process = started(command, self._environ, self._folder.name, self._has_workers)
        try:
            return Server("front", process, self.start_seconds)
        except BaseException:
            process.kill()
            process.wait()
            raise

    async def leave(self) -> None:
        """SIGTERM: it must drain, and end well."""
        server = self._take()
        server.signal()
        assert await server.left() in (0, -signal.SIGTERM), server.output
        server.check()

    async def kill(self) -> None:
        """SIGKILL."""
        server = self._take()
        server.signal(signal.SIGKILL)
        await server.left()

    def workers(self) -> list[int]:
        """The pids of its workers, the oldest first."""
        assert self.server is not None
        parent = self.server.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return sorted(int(pid) for pid in children if b"spawn_main" in _command(pid))

    def until_workers(self, count: int, without: int, seconds: float = 60.0) -> None:
        """Wait until there are so many workers again that serve, and one is gone."""
        assert self.server is not None
        end = time.monotonic() + seconds
        while len(pids := self.workers()) != count or without in pids:
            assert time.monotonic() < end, f"the workers are {pids}"
            time.sleep(0.02)
        for pid in pids:
            pattern = re.compile(rf'"pid": {pid}, "event": "worker.ready"')
            self.server.output.find(pattern, max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """End it, whatever it does, and look at what it said."""
        try:
            if self.server is not None:
                self.server.stop()
        finally:
            if self.server is not None and self.server.process.poll() is None:
                self.server.process.kill()
                self.server.process.wait()
            self._folder.cleanup()

    async def get(self, target: str) -> Response:
        async with await Client.connect(self.port) as client:
            return await client.ask("GET", target)

    async def ready(self, seconds: float = 15.0) -> None:
        """Wait until it says that it serves."""
        said: object = None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                said = await self.get("/readyz")
                if said.status == 200:
                    return
            except (OSError, AssertionError) as error:
                said = error
            await asyncio.sleep(0.01)
        output = self.server and self.server.output
        raise AssertionError(f"{self} is not ready: {said!r}\n{output}")

    def _take(self) -> Server:
        assert self.server is not None
        server, self.server = self.server, None
        return server

    def __repr__(self) -> str:
        return f"<Node {self.port}>"


def _command(pid: str) -> bytes:
    """The command line of a process; nothing if it has just gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


# A request that has been under way for so long has been read.
HELD_SECONDS = 0.2


class Session:
    """A client's connection: to any of the nodes, to another when that one fails."""

    def __init__(self, nodes: list[Node], first: int = 0, *, roams: bool = False) -> None:
        self._nodes = nodes
        self._next = first
        self._roams = roams
        self._client: Client | None = None
        # How many requests were under way for a while, and then got no whole answer.
        self.torn = 0

    async def ask(
        self, method: str, target: str, headers: Any = None, body: bytes = b"", seconds: float = 10
    ) -> Response:
        """One request. Whatever fails is an `OSError`; the next goes to the next node."""
        sent = inf
        try:
            client = await self.connect()
            client.send(method, target, headers, body)
            sent = time.monotonic()
            response = await client.receive(seconds)
        except BaseException as error:
            self.drop()
            if not isinstance(error, Exception):
                raise
            # Younger ones may have met a connection that was being closed for its idleness.
            self.torn += time.monotonic() - sent > HELD_SECONDS
            raise OSError(repr(error)) from error
        if self._roams or response.headers.get("connection") == "close":
            self.drop()
        return response

    async def connect(self) -> Client:
        if self._client is None:
            node = self._nodes[self._next % len(self._nodes)]
            self._client = await Client.connect(node.port)
        return self._client

    def drop(self) -> None:
        """Let go of the connection; the next is to the next node."""
        self._next += 1
        if self._client is not None:
            self._client.writer.transport.abort()
            self._client = None
