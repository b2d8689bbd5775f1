"""GRIP on several nodes: a publish to any of them reaches the holds of all; nothing is missed."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.origin.grip.publish_race import HOLD, race_publishes
from tests.peers.gate import Gate, fresh, pushhub_before, response
from tests.peers.origin import script, scripted_origin
from tests.proxy import Proxy
from tests.redis_servers import KINDS, Rack, RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    rack = Rack()
    yield rack.start(KINDS["valkey9"])
    rack.close()


@pytest.fixture(scope="module")
def nodes(server: RedisServer) -> Iterator[tuple[Gate, Gate]]:
    with (
        scripted_origin() as origin,
        pushhub_before(origin, store=server.url()) as near,
        pushhub_before(origin, store=server.url()) as far,
    ):
        yield near, far


async def test_a_publish_elsewhere_at_any_moment_reaches_the_hold(
    nodes: tuple[Gate, Gate],
) -> None:
    near, far = nodes
    await race_publishes(5, near, far, random.Random(7))


async def test_an_id_is_published_once_wherever_it_is_published(nodes: tuple[Gate, Gate]) -> None:
    near, far = nodes
    channel, accept = fresh(), {"accept": "application/json"}
    item = {"items": [response(channel, id_="1")]}
    first = (await near.post("/publish/", item, accept)).json()
    second = (await far.post("/publish/", item, accept)).json()
    assert [one["items"][0]["duplicate"] for one in (first, second)] == [False, True]


async def test_receivers_are_those_of_one_process_and_said_to_be(nodes: tuple[Gate, Gate]) -> None:
    near, far = nodes
    accept = {"accept": "application/json"}
    for node, count in ((far, 0), (near, 1)):
        channel, where = fresh(), "/" + fresh("p")
        async with near.hold(where, HOLD, f"Grip-Channel: {channel}") as task:
            await near.parked(1)
            told = (await node.post("/publish/", {"items": [response(channel)]}, accept)).json()
            assert (told["receivers"], told["counted"]) == (count, "process")
            assert (await task).body == b"pushed"


async def test_recover_reaches_every_node(nodes: tuple[Gate, Gate]) -> None:
    near, far = nodes
    channel, where = fresh(), "/" + fresh("p")
    await far.publish(response(channel, id_="1"))
    target = script(where, HOLD, f"Grip-Channel: {channel}; prev-id=1", again={"body": "now"})
    async with near.asking(target, where) as task:
        assert (await far.post("/recover", b"")).status == 200
        assert (await task).body == b"now"


async def test_a_node_that_was_deaf_recovers_too(server: RedisServer) -> None:
    """A node whose connections to the log are cut hears of it once it is back."""
    with scripted_origin() as origin, ExitStack() as stack:
        async with Proxy(server.port) as proxy:
            cut = server.url().replace(str(server.port), str(proxy.port))
            # The proxy is on this loop, which nothing may block.
            near, far = [
                await asyncio.to_thread(stack.enter_context, pushhub_before(origin, store=store))
                for store in (cut, server.url())
            ]
            channel, where = fresh(), "/" + fresh("p")
            await far.publish(response(channel, id_="1"))
            lines = (HOLD, f"Grip-Channel: {channel}; prev-id=1")
            async with near.asking(script(where, *lines, again={"body": "now"}), where) as task:
                proxy.accepts = False
                proxy.cut()
                assert (await far.post("/recover", b"")).status == 200
                await asyncio.sleep(0.5)
                assert not task.done()
                proxy.accepts = True
                assert (await task).body == b"now"
            await asyncio.to_thread(stack.close)


async def test_what_was_published_before_does_not_come_again(nodes: tuple[Gate, Gate]) -> None:
    near, far = nodes
    channel = fresh()
    await far.publish(response(channel, "old"))
    await asyncio.sleep(0.1)
    lines = (HOLD, f"Grip-Channel: {channel}", "Grip-Timeout: 5")
    told = await near.ask(script("/" + fresh("p"), *lines, body="nothing"))
    assert told.body == b"nothing"
