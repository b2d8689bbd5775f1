"""The console of two nodes on one log: each shows both; a node that was deaf is back in it."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.api.test_auth import ADMIN, KEYS
from tests.browser_pages.browser import drive
from tests.proxy import Proxy
from tests.redis_servers import KINDS, Rack, RedisServer
from tests.serving import Server, events_of, fresh, serve

SECONDS = 20.0


@pytest.fixture(scope="module")
def store() -> Iterator[RedisServer]:
    rack = Rack()
    yield rack.start(KINDS["valkey9"])
    rack.close()


class Listener:
    """Reads what the processes tell, on one node, as the page does."""

    def __init__(self, node: Server, cursor: str) -> None:
        self.node = node
        self.cursor = cursor
        self.told: list[dict[str, Any]] = []

    @classmethod
    async def on(cls, node: Server) -> "Listener":
        return cls(node, (await node.get("/console/feed")).json()["cursor"])

    async def until(self, kind: str, of: str, *nodes: str) -> list[dict[str, Any]]:
        """What is told of it, once each of the nodes has spoken."""
        async with asyncio.timeout(SECONDS):
            while True:
                found = [one for one in self.told if one.get(kind) == of]
                if {one["id"] for one in found} >= set(nodes):
                    return found
                await self.read()

    async def read(self, seconds: int = 5) -> None:
        page = await self.node.get(f"/console/feed?since={self.cursor}", prefer=f"wait={seconds}")
        assert page.status == 200, page
        self.cursor = page.json()["cursor"]
        self.told += [event["data"] for event in page.json()["events"]]


async def identity(node: Server) -> str:
    id: str = (await node.get("/console/now")).json()["id"]
    return id


def test_either_node_shows_both_and_does_what_the_other_can(store: RedisServer) -> None:
    name = fresh("orders")
    with (
        serve(store=store.url(), dev=False, api_keys=KEYS) as near,
        serve(store=store.url(), dev=False, api_keys=KEYS) as far,
    ):
        url, other = (f"http://127.0.0.1:{node.port}" for node in (near, far))
        stop = far.process.pid
        found = drive("nodes", url=url, far=other, key=ADMIN, name=name, stop=stop)
        pids = [str(near.process.pid), str(far.process.pid)]
    assert found["overview"] == [sorted(pids)] * 2
    assert found["charted"] == [[sorted(pids)] * 2] * 2

    def count(rows: list[str]) -> list[int]:
        return [sum(row.endswith(f" {pid}") for row in rows) for pid in pids]

    assert [count(rows) for rows in found["presence"]] == [[2, 3]] * 2
    assert found["answered"] == [200] * 5
    traced = {
        what: count([process for word, process in found["traced"] if word == what])
        for what in ("was waiting", "publish", "is in the log", "event", "response")
    }
    assert traced == {
        "was waiting": [2, 3],
        "publish": [0, 1],
        "is in the log": [0, 1],
        "event": [1, 1],
        "response": [2, 3],
    }
    assert found["kept"] == [[1, 2]] * 2
    assert (found["gone"], found["left"]) == (404, [[], []])


async def test_a_node_that_was_deaf_for_a_moment_hears_the_next_wishes(store: RedisServer) -> None:
    """What was wished meanwhile it hears too, as soon as it is back."""
    channel = fresh("deaf")
    with ExitStack() as stack:
        async with Proxy(store.port) as proxy:
            through = store.url().replace(str(store.port), str(proxy.port))
            # The proxy is on this loop, which nothing may block.
            near, far = [
                await asyncio.to_thread(stack.enter_context, serve(store=url))
                for url in (through, store.url())
            ]
            ids = [await identity(node) for node in (near, far)]

            async def wish(**wish: Any) -> None:
                assert (await far.post("/console/wish", wish)).status == 202

            async with near.holding("GET", f"{events_of(channel)}?since=now&wait=50"):
                listener = await Listener.on(far)
                await wish(presence=channel)
                told = await listener.until("presence", channel, *ids)
                assert {one["id"]: one["holds"] for one in told} == {ids[0]: 1, ids[1]: 0}

                proxy.accepts = False
                proxy.cut()
                listener = await Listener.on(far)
                await wish(presence=channel)
                await wish(trace="whilecut", channel=channel)
                await listener.until("presence", channel, ids[1])
                await listener.read(1)
                assert not [one for one in listener.told if one["id"] == ids[0]], "it is cut off"
                proxy.accepts = True
                await listener.until("presence", channel, *ids)
                (life,) = await listener.until("trace", "whilecut", ids[0])
                assert [line["what"] for line in life["lines"]] == ["waiting"]

                listener = await Listener.on(near)
                await wish(presence=channel)
                told = await listener.until("presence", channel, *ids)
                assert {one["id"]: one["holds"] for one in told} == {ids[0]: 1, ids[1]: 0}
                await wish(end="whilecut")
                figures = (await near.get("/console/now")).json()["figures"]
                assert figures["store"]["hears"]
            await asyncio.to_thread(stack.close)
