"""An application with a hub in it, served by uvicorn over TCP in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from pushhub import PushHub, Settings
from tests.waiting import until
from tests.wire import Client, Response

WAIT = {"prefer": "wait=20"}


def hub(**settings: Any) -> PushHub:
    """A hub without keys, whose channels are public unless the settings say otherwise."""
    return PushHub(Settings(**{"store": "memory://", "public": True, **settings}))


@dataclass
class Hosted:
    """The running application."""

    push: PushHub
    server: uvicorn.Server
    port: int

    async def ask(
        self, target: str, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> Response:
        async with await Client.connect(self.port) as client:
            return await client.ask(method, target, headers)

    @asynccontextmanager
    async def waiting(
        self, target: str, etag: str, wait: int = 20, headers: dict[str, str] | None = None
    ) -> AsyncIterator["asyncio.Task[Response]"]:
        """A request that waits; the hub holds it when this begins."""
        held = self.push.service.hub.parked
        async with await Client.connect(self.port) as client:
            fields = {"prefer": f"wait={wait}", "if-none-match": etag, **(headers or {})}
            client.send("GET", target, fields)
            response = asyncio.create_task(client.receive(30))
            try:
                await until(lambda: self.push.service.hub.parked > held or response.done())
                yield response
            finally:
                response.cancel()


@asynccontextmanager
async def hosted(app: Any, push: PushHub) -> AsyncIterator[Hosted]:
    """Serve `app`, whose lifespan is that of `push`."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    await until(lambda: server.started or serving.done())
    if serving.done():
        await serving
        raise AssertionError("the application did not start")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Hosted(push, server, port)
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, 20)
