"""GRIP on several nodes: a publish to any of them reaches the holds of all; nothing is missed."""

import asyncio
import random
import re
from collections.abc import Iterator

import pytest

from tests.peers.gate import Gate, fresh, response
from tests.peers.origin import script, scripted_origin
from tests.redis_servers import KINDS, Rack
from tests.serving import serve

HOLD = "Grip-Hold: response"
CONTROL = re.compile(r"control is at http://\S+:(\d+) ")


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Gate, Gate]]:
    rack = Rack()
    server = rack.start(KINDS["valkey9"])
    with scripted_origin() as origin:
        given = {"origin": f"http://127.0.0.1:{origin.port}", "control": "127.0.0.1:0"}
        with (
            serve(store=server.url(), **given) as near,  # type: ignore[arg-type]
            serve(store=server.url(), **given) as far,  # type: ignore[arg-type]
        ):
            yield tuple(  # type: ignore[misc]
                Gate("pushhub", origin, node.port, int(node.output.find(CONTROL, 10)[1]))
                for node in (near, far)
            )
    rack.close()


async def test_a_publish_elsewhere_at_any_moment_reaches_the_hold(
    nodes: tuple[Gate, Gate],
) -> None:
    near, far = nodes
    drawn = random.Random(7)

    async def one() -> None:
        channel, where = fresh(), "/" + fresh("p")
        target = script(where, HOLD, f"Grip-Channel: {channel}", body="nothing", delay=0.02)
        task = asyncio.create_task(near.ask(target))
        await asyncio.to_thread(near.origin.wait, where)
        await asyncio.sleep(drawn.uniform(0, 0.04))
        await far.publish(response(channel, "news"))
        told = await task
        assert told.body == b"news"
        assert told.seconds < 3

    for _ in range(5):
        await asyncio.gather(*(one() for _ in range(10)))


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


async def test_what_was_published_before_does_not_come_again(nodes: tuple[Gate, Gate]) -> None:
    near, far = nodes
    channel = fresh()
    await far.publish(response(channel, "old"))
    await asyncio.sleep(0.1)
    lines = (HOLD, f"Grip-Channel: {channel}", "Grip-Timeout: 5")
    told = await near.ask(script("/" + fresh("p"), *lines, body="nothing"))
    assert told.body == b"nothing"
