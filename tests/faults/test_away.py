"""While Redis is away: refusals are quick, holds are patient, and all comes back by itself."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from statistics import median

import pytest

from tests.faults.nodes import Node
from tests.proxy import Proxy
from tests.redis_servers import KINDS, Rack, RedisServer
from tests.serving import events_of, fresh, value_of
from tests.wire import Client, Response

WAIT = 3
# For holds that something else than their end shall answer, however long that takes here.
LONG = 30
# Redis gone: at once, and even on a busy machine before a command's patience of 2 s. Redis hung:
# one patience, for those that were on their way, and not two.
QUICKLY, SURELY, HUNG = 0.5, 1.9, 3.9


@pytest.fixture
async def server(rack: Rack) -> RedisServer:
    options = {"appendonly": "yes", "appendfsync": "always"}
    return await asyncio.to_thread(lambda: rack.start(KINDS["valkey9"], **options))  # type: ignore[arg-type]


@pytest.fixture
async def nodes(server: RedisServer) -> AsyncIterator[list[Node]]:
    nodes = [Node(server.url()) for _ in range(2)]
    await asyncio.gather(*(node.start() for node in nodes))
    yield nodes
    for node in nodes:
        await asyncio.to_thread(node.close)


async def publish(node: Node, channel: str, body: bytes = b"1", **headers: str) -> Response:
    async with await Client.connect(node.port) as client:
        return await client.ask("POST", events_of(channel), headers, body)


def asking(node: Node, target: str, **headers: str) -> asyncio.Task[tuple[float, Response]]:
    """A request: how long it took, and its answer."""

    async def ask() -> tuple[float, Response]:
        begun = time.monotonic()
        async with await Client.connect(node.port) as client:
            client.send("GET", target, {n.replace("_", "-"): text for n, text in headers.items()})
            response = await client.receive(LONG + 10)
        return time.monotonic() - begun, response

    return asyncio.create_task(ask())


async def hold(node: Node, target: str, **headers: str) -> asyncio.Task[tuple[float, Response]]:
    """A request that is parked when this returns. No other of the node may end meanwhile."""
    assert node.server
    before = await node.server.metric("pushhub_holds")
    task = asking(node, target, **headers)
    await node.server.held(int(before) + 1)
    return task


async def refused(node: Node, channel: str) -> float:
    """A publish must be refused with 503; after how many seconds it was."""
    begun = time.monotonic()
    response = await publish(node, channel)
    assert response.problem == "store-unavailable"
    assert int(response.headers["retry-after"]) >= 1
    return time.monotonic() - begun


@pytest.mark.parametrize("away", ["killed", "hung"])
async def test_while_redis_is_away(away: str, server: RedisServer, nodes: list[Node]) -> None:
    node, channel, cold = nodes[0], fresh("away"), fresh("cold")
    cursor = (await publish(node, channel)).json()["cursor"]
    feed = await hold(node, f"{events_of(channel)}?since={cursor}&wait={WAIT}")
    many = await hold(nodes[1], f"{events_of(channel)}?since={cursor}&wait={WAIT}")
    if away == "killed":
        await asyncio.to_thread(server.kill)
    else:
        server.signal(signal.SIGSTOP)

    # The first may have to find out; from then on nobody waits for it.
    slowest = max(await asyncio.gather(*(refused(node, channel) for _ in range(5))))
    assert slowest < (SURELY if away == "killed" else HUNG)
    again = [await refused(node, channel) for _ in range(10)]
    print(f"{away}: refused in {slowest:.3f} s, then {max(again):.3f} s")
    if away == "killed":
        assert median(again) < QUICKLY
        assert max(again) < SURELY
    targets = [f"{events_of(cold)}?since=earliest", value_of(cold), events_of(channel)]
    if away == "killed":
        # Memory could answer these; but it cannot know any more that it has the end.
        targets += [f"{events_of(channel)}?since={cursor}", value_of(channel)]
    for target in targets:
        begun = time.monotonic()
        response = await node.get(target)
        assert response.problem == "store-unavailable", target
        assert int(response.headers["retry-after"]) >= 1
        assert time.monotonic() - begun < HUNG
    begun = time.monotonic()
    while (await node.get("/readyz")).status != 503:
        assert time.monotonic() - begun < 10
    # A poll that has a cursor is parked even now, on a channel that nobody here has read before.
    new = asking(node, f"{events_of(cold)}?since={cursor}&wait=1")

    for task in (feed, many, new):
        wait = 1 if task is new else WAIT
        took, response = await task
        assert 0.8 * wait - 0.1 < took < wait + HUNG
        assert response.status == 200
        assert response.headers["preference-applied"] == f"wait={wait}"
        assert response.json() == {"events": [], "cursor": cursor}
    if away == "killed":
        await asyncio.to_thread(server.start)
    else:
        server.signal(signal.SIGCONT)
    await asyncio.gather(*(node.ready() for node in nodes))
    assert (await publish(node, channel)).status == 200


async def test_redis_restarts_under_holds_with_events_in_between(
    server: RedisServer, nodes: list[Node]
) -> None:
    channel = fresh("restart")
    receipt = (await publish(nodes[0], channel)).json()
    target = f"{events_of(channel)}?since={receipt['cursor']}&wait={LONG}"
    holds = [await hold(node, target) for node in nodes for _ in range(5)]
    await asyncio.to_thread(server.restart)
    # The first node to be back publishes; the other one may still be deaf.
    await nodes[0].ready()
    assert (await publish(nodes[0], channel)).status == 200
    for task in holds:
        took, response = await task
        assert took < 0.8 * LONG, "before the end of the wait"
        assert response.status == 410, response
        assert response.json()["reason"] == "epoch"
        oldest = response.json()["oldest"]
        await nodes[1].ready()
        # It may be back a moment before it is told of the second.
        offsets: list[int] = []
        while len(offsets) < 2:
            answer = await nodes[1].get(f"{events_of(channel)}?since={oldest}&wait={WAIT}")
            page = answer.json()
            assert page["events"], "nothing came in the whole wait"
            offsets += [event["offset"] for event in page["events"]]
            oldest = page["cursor"]
        assert offsets == [1, 2]


async def test_only_the_subscribers_connections_are_killed(
    server: RedisServer, nodes: list[Node]
) -> None:
    """What happens while nobody hears comes when the subscription is back, and once."""
    channel = fresh("deaf")
    times = []
    async with await Client.connect(nodes[0].port) as publisher:
        cursor = (await publisher.ask("POST", events_of(channel), body=b"0")).json()["cursor"]
        for number in range(1, 11):
            target = f"{events_of(channel)}?since={cursor}&wait={LONG}"
            holds = [await hold(node, target) for node in nodes]
            with server.client() as admin:
                assert admin.client_kill_filter(_type="pubsub") == 2
                answer = await publisher.ask("POST", events_of(channel), body=b"%d" % number)
            assert answer.status == 200
            published = time.monotonic()
            for task in holds:
                _, response = await task
                assert [event["data"] for event in response.json()["events"]] == [number]
            times.append(time.monotonic() - published)
            cursor = answer.json()["cursor"]
            await asyncio.gather(*(node.ready() for node in nodes))
    print(f"the slowest took {max(times):.3f} s")
    assert median(times) < 1.5
    assert max(times) < 0.5 * LONG, "the end of a wait would have brought it too"


async def test_a_message_that_is_lost_alone_is_found_within_one_wait(server: RedisServer) -> None:
    """Nothing follows it, and every connection is well: only the log knows."""
    proxy = await Proxy(server.port).start()
    node = Node(f"redis://127.0.0.1:{proxy.port}/0")
    await node.start()
    try:
        channel = fresh("lonely")
        cursor = (await publish(node, channel)).json()["cursor"]
        task = await hold(node, f"{events_of(channel)}?since={cursor}&wait={WAIT}")
        value = await hold(node, f"{value_of(channel)}?wait={WAIT}", if_none_match=f'"{cursor}"')
        proxy.swallows = True
        assert (await publish(node, channel, b"2")).status == 200
        took, response = await task
        assert proxy.swallowed == 1
        assert [event["data"] for event in response.json()["events"]] == [2]
        assert 0.8 * WAIT - 0.1 < took < 2 * WAIT
        assert (await value)[1].body == b"2"
    finally:
        await asyncio.to_thread(node.close)
        await proxy.close()


async def test_a_flush_of_a_silent_channel_is_told_within_one_wait(
    server: RedisServer, nodes: list[Node]
) -> None:
    """No connection breaks and nothing is published: only the log knows."""
    channel = fresh("silent")
    cursor = (await publish(nodes[0], channel)).json()["cursor"]
    holds = [await hold(node, f"{events_of(channel)}?since={cursor}&wait={WAIT}") for node in nodes]
    await asyncio.to_thread(server.ask, "FLUSHALL")
    for task in holds:
        took, response = await task
        assert response.status == 410, response
        assert response.json()["reason"] == "epoch"
        assert took < 2 * WAIT


async def test_two_nodes_are_never_of_two_minds(nodes: list[Node]) -> None:
    """A cursor that the other node is ahead with is no gap, and no wait goes back behind it."""
    channel = fresh("minds")
    here, there = [await Client.connect(node.port) for node in nodes]
    cursor = (await here.ask("GET", f"{events_of(channel)}?since=now")).json()["cursor"]
    for number in range(300):
        answer = await here.ask("POST", events_of(channel), body=b"%d" % number)
        before, cursor = cursor, answer.json()["cursor"]
        response = await there.ask("GET", f"{events_of(channel)}?since={cursor}")
        assert response.status == 200, response
        assert (response.json()["events"], response.json()["cursor"]) == ([], cursor)
        response = await there.ask("GET", f"{events_of(channel)}?since={before}&wait={WAIT}")
        assert [event["data"] for event in response.json()["events"]] == [number]
        here, there = there, here
    for client in (here, there):
        await client.leave()
