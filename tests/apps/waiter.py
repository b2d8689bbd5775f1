"""Clients that poll an application with the one header that upgrades them."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.apps.application import Poll
    from tests.apps.stage import Stage
    from tests.wire import Client, Response

WAIT = 25
# The wait, and what a client adds to it.
_SECONDS = WAIT + 10.0


class Waiter:
    """One client: it repeats a poll and remembers the ETag of the last response."""

    def __init__(self, client: Client, poll: Poll) -> None:
        self._client = client
        self._poll = poll
        self._etag = ""

    def send(self) -> None:
        headers = {**self._poll.headers, "prefer": f"wait={WAIT}"}
        if self._etag:
            headers["if-none-match"] = self._etag
        self._client.send(self._poll.method, self._poll.target, headers, self._poll.body)

    async def receive(self) -> Response:
        """The response, which must be one to a request that may wait."""
        response = await self._client.receive(_SECONDS)
        assert response.status in (200, 207, 304), response
        assert "preference-applied" in response.headers, f"was not held: {response}"
        self._etag = response.headers["etag"]
        return response

    async def open(self) -> Response:
        """Receive the present state."""
        self.send()
        response = await self.receive()
        assert response.status != 304, response
        return response

    async def news(self) -> Response:
        """Wait until there is news, however many waits it takes; the first has been sent."""
        while (response := await self.receive()).status == 304:
            self.send()
        return response


class Waiters:
    """Clients that wait for the same resource."""

    def __init__(self, stage: Stage, poll: Poll, waiters: list[Waiter]) -> None:
        self._stage = stage
        self._poll = poll
        self._waiters = waiters
        self._news = [asyncio.create_task(waiter.news()) for waiter in waiters]
        self.began = 0.0

    async def change(self, *, again: bool = False) -> list[float]:
        """Change the resource; the seconds after which each client was told. With `again` it waits
        for the next news then, as clients do.
        """
        early = [task.result() for task in self._news if task.done()]
        assert not early, f"told of a change that there was not: {early[0]}"
        await asyncio.to_thread(self._poll.change, self._stage.place)
        changed = time.monotonic()

        async def told(waiter: Waiter, task: asyncio.Task[Response]) -> float:
            await task
            if again:
                waiter.send()
            return time.monotonic() - changed

        return await asyncio.gather(*map(told, self._waiters, self._news))

    async def leave(self) -> None:
        for task in self._news:
            task.cancel()
        await asyncio.gather(*self._news, return_exceptions=True)


@asynccontextmanager
async def waiting(stage: Stage, poll: Poll, count: int) -> AsyncIterator[Waiters]:
    """Clients that have the present state and wait for the next one."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stage.client()) for _ in range(count)]
        waiters = [Waiter(client, poll) for client in clients]
        await stage.held(0)
        began = time.monotonic()
        await asyncio.gather(*(waiter.open() for waiter in waiters))
        for waiter in waiters:
            waiter.send()
        await stage.held(count)
        together = Waiters(stage, poll, waiters)
        together.began = began
        try:
            yield together
        finally:
            await together.leave()


async def latency(stage: Stage, poll: Poll, quiet: float) -> float:
    """The seconds after which a waiting client is told of a change that follows a silence."""
    async with waiting(stage, poll, 1) as waiters:
        await asyncio.sleep(quiet)
        return (await waiters.change())[0]


async def crowd(
    stage: Stage, poll: Poll, clients: int, seconds: float
) -> tuple[list[float], list[float]]:
    """Clients with a resource each, which wait for some seconds before a change of all: the times
    of the requests that reach the application, and the delays of the change.
    """
    mark = "&" if "?" in poll.target else "?"
    async with AsyncExitStack() as stack:
        began = time.monotonic()
        waiters = []
        for number in range(clients):
            own = replace(poll, target=f"{poll.target}{mark}client={number}")
            waiters.append(Waiter(await stack.enter_async_context(stage.client()), own))
        # Their first requests pass at their own pace, as those of any client do.
        await asyncio.gather(*(waiter.open() for waiter in waiters))
        opened = time.monotonic()
        for waiter in waiters:
            waiter.send()
        together = Waiters(stage, poll, waiters)
        together.began = began
        try:
            await asyncio.sleep(seconds)
            delays = await together.change(again=True)
        finally:
            await together.leave()
        return stage.relay.since(opened), delays
