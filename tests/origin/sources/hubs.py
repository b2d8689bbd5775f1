"""A hub that follows a source, in front of an origin."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.origin.apis import Api
from tests.origin.shared.front import Front
from tests.ports import free_port
from tests.serving import serve

ROUTES = [{"path": "/*", "step": "notify"}]
CONNECTED = re.compile(r"source\.connected")


@asynccontextmanager
async def following(source: dict[str, Any]) -> AsyncIterator[Front]:
    """The front of a hub that is connected to the source."""
    port = free_port()
    settings: dict[str, Any] = {"routes": ROUTES, "sources": [source]}
    with serve(origin=f"http://127.0.0.1:{port}", **settings) as running:
        running.output.find(CONNECTED, 30)
        async with Api.running(port) as api:
            yield Front(running, api)
