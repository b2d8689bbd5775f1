"""A front in the loop of the test, so that a test counts what it parses and orders its events."""

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from pushhub.app import create_app
from pushhub.origin.shared.table import ResourceTable
from pushhub.server.http1.factory import ConnectionFactory
from pushhub.server.http1.head import Head
from pushhub.settings import Settings
from tests.origin.scripted import Wire

ROUTES: list[dict[str, Any]] = [
    {"path": "/cached/*", "step": "notify", "max_age": 60},
    {"path": "/public/*", "step": "notify", "max_age": 60, "identity": []},
    {"path": "/tagged/*", "step": "notify", "max_age": 60, "vary": ["if-none-match"]},
]


class LocalFront:
    """A front in this loop that counts the heads it parses."""

    def __init__(self, **given: Any) -> None:
        self.parsed = 0
        settings = {"store": "memory://", "dev": True, "routes": ROUTES, **given}
        self.settings = Settings.model_validate(settings)
        self.app = create_app(self.settings)

    async def __aenter__(self) -> "LocalFront":
        await self.app.open()
        config = uvicorn.Config(self.app, log_config=None, lifespan="off")
        config.load()
        state = ServerState()
        factory = ConnectionFactory(self.app)
        self.context = factory.context
        parse = self.context.head

        def parsed(raw: bytes) -> Head:
            self.parsed += 1
            return parse(raw)

        self.context.head = parsed  # type: ignore[method-assign]
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: factory(config, state, {}), sock=listening)
        self.connections = state.connections
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await self.app.close()

    @property
    def sharing(self) -> ResourceTable:
        assert self.app.origin is not None
        assert self.app.origin.resources is not None
        return self.app.origin.resources

    async def told(self, wire: Wire, raw: bytes) -> tuple[int, bytes]:
        """Status and body of an answer."""
        wire.send(raw)
        return await answer(wire)


async def answer(wire: Wire) -> tuple[int, bytes]:
    head = (await wire.head()).lower()
    status = int(head.split(b" ")[1])
    _, _, after = head.partition(b"\r\ncontent-length: ")
    size = int(after.split(b"\r\n")[0]) if after and status != 304 else 0
    return status, await wire.exactly(size)
