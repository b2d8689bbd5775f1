"""A hub in front of an origin that each test sets up."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

from tests.origin.apis import Api
from tests.ports import free_port
from tests.serving import HELD_SECONDS, Server, serve, until_held
from tests.wire import Response

_names = itertools.count()


class Front:
    """A hub in front of an origin, and short ways to ask it."""

    def __init__(self, hub: Server, api: Api) -> None:
        self.hub = hub
        self.api = api
        # Addresses that no other test uses.
        name = f"n{next(_names)}"
        self.polled, self.notified = f"/poll/{name}", f"/notify/{name}"
        self.cached, self.public = f"/cached/{name}", f"/public/{name}"

    async def wait(self, target: str, tag: str | None = None, **headers: str) -> Response:
        """An opted-in request on a connection of its own."""
        async with self.waiting(target, tag, **headers) as answer:
            return await answer

    @asynccontextmanager
    async def waiting(
        self, target: str, tag: str | None = None, **headers: str
    ) -> AsyncIterator[asyncio.Task[Response]]:
        fields = {"prefer": "wait=20", **{n.replace("_", "-"): v for n, v in headers.items()}}
        if tag is not None:
            fields["if-none-match"] = tag
        async with await self.hub.connect() as client:
            client.send("GET", target, fields)
            task = asyncio.create_task(client.receive(40))
            try:
                yield task
            finally:
                task.cancel()

    async def parked(
        self, count: int, looks: int | None = None, seconds: float = HELD_SECONDS
    ) -> None:
        """Wait until so many requests are held, and the hub has the answers to so many looks at the
        origin.
        """
        if looks is not None:
            await self.api.settled(looks)
        async with await self.hub.connect() as client:
            await until_held(client, count, seconds, "/_pushhub/metrics")

    async def notify(self, *resources: str) -> None:
        answer = await self.hub.post("/_pushhub/v1/notify", {"resources": resources})
        assert (answer.status, answer.json()) == (200, {"notified": len(resources)})

    @asynccontextmanager
    async def told(self, *resources: str) -> AsyncIterator[None]:
        """The block changes something outside; then each of the resources completes a wait."""
        async with AsyncExitStack() as stack:
            answers = []
            for resource in resources:
                self.api.set(resource, "1", '"one"')
                await self.wait(resource)
            for resource in resources:
                waiting = self.waiting(resource, '"one"')
                answers.append(await stack.enter_async_context(waiting))
            await self.parked(len(resources))
            for resource in resources:
                self.api.set(resource, "2", '"two"')
            yield
            for resource, answer in zip(resources, answers, strict=True):
                assert (await answer).headers["etag"] == '"two"', resource


@contextmanager
def serving(driver: str, routes: Sequence[Any]) -> Iterator[tuple[Server, int]]:
    """A hub, and the port where each test's own origin listens."""
    port = free_port()
    with serve(driver, origin=f"http://127.0.0.1:{port}", routes=routes) as server:
        yield server, port
