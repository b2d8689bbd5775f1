"""A node gives each reader what it has acknowledged, however late Redis tells it of the event;
and a value that a reader has seen anywhere never goes back.

A proxy keeps back what Redis tells the near node of by itself, so both are true or false each time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.nodes import Node
from tests.proxy import Proxy
from tests.serving import events_of, fresh, value_of
from tests.wire import Client, EventStream, Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.redis_servers import Shelf

JSON = {"content-type": "application/json"}
WAIT = {"prefer": "wait=20"}
# A wait that is answered by what is there already: far below its 20 s.
IMMEDIATELY = 5.0


async def ask(
    node: Node, method: str, target: str, headers: dict[str, str] | None = None, body: Any = None
) -> Response:
    async with await Client.connect(node.port) as client:
        content = b"" if body is None else json.dumps(body).encode()
        client.send(method, target, {**(JSON if content else {}), **(headers or {})}, content)
        return await client.receive(IMMEDIATELY)


@asynccontextmanager
async def late(shelf: Shelf) -> AsyncIterator[tuple[Node, Proxy]]:
    """A node that Redis can be kept from telling of events."""
    server = shelf.server("valkey9")
    async with Proxy(server.port) as proxy:
        node = Node(f"redis://127.0.0.1:{proxy.port}/0")
        await node.start()
        await node.ready()
        try:
            yield node, proxy
        finally:
            proxy.passages[1].pass_on()
            await asyncio.to_thread(node.close)


async def known(node: Node, proxy: Proxy, channel: str) -> str:
    """The node has a tail of the channel with one event; its cursor."""
    receipt = (await ask(node, "POST", events_of(channel), body={"n": 1})).json()
    since = f"{events_of(channel)}?since={receipt['epoch']}-0"
    assert (await ask(node, "GET", since, WAIT)).json()["cursor"] == receipt["cursor"]
    etag = (await ask(node, "GET", value_of(channel))).headers["etag"]
    assert etag == f'"{receipt["cursor"]}"'
    cursor: str = receipt["cursor"]
    proxy.passages[1].keep_back()
    return cursor


# -- ways to publish -----------------------------------------------------------


async def by_rest(node: Node, channel: str) -> None:
    assert (await ask(node, "POST", events_of(channel), body={"n": 2})).status == 200


async def by_batch(node: Node, channel: str) -> None:
    item = {"channel": channel, "data": {"n": 2}}
    assert (await ask(node, "POST", "/v1/publish", body=[item])).status == 200


async def by_grip(node: Node, channel: str) -> None:
    formats = {"http-stream": {"content": '{"n": 2}'}, "http-response": {"body": '{"n": 2}'}}
    item = {"channel": channel, "formats": formats}
    assert (await ask(node, "POST", "/publish/", body={"items": [item]})).status == 200


async def by_command(node: Node, channel: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pushhub", "publish", channel, '{"n": 2}'),
        *("--url", f"http://127.0.0.1:{node.port}"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0


# -- ways to read --------------------------------------------------------------


async def value(node: Node, channel: str, before: str) -> str:
    return (await ask(node, "GET", value_of(channel))).headers["etag"].strip('"')


async def head(node: Node, channel: str, before: str) -> str:
    async with await Client.connect(node.port) as client:
        client.send("HEAD", value_of(channel), {})
        _, headers = await client.head()
        return headers["etag"].strip('"')


async def waiting_value(node: Node, channel: str, before: str) -> str:
    headers = {"if-none-match": f'"{before}"', **WAIT}
    return (await ask(node, "GET", value_of(channel), headers)).headers["etag"].strip('"')


async def feed(node: Node, channel: str, before: str) -> str:
    page = (await ask(node, "GET", f"{events_of(channel)}?since={before}")).json()
    return str(page["cursor"])


async def end_of_feed(node: Node, channel: str, before: str) -> str:
    page = (await ask(node, "GET", f"{events_of(channel)}?since=now")).json()
    return str(page["cursor"])


async def waiting_feed(node: Node, channel: str, before: str) -> str:
    page = (await ask(node, "GET", f"{events_of(channel)}?since={before}", WAIT)).json()
    return str(page["cursor"])


async def many(node: Node, channel: str, before: str) -> str:
    body = {"channels": {channel: before}, "wait": 20}
    return str((await ask(node, "POST", "/v1/poll", body=body)).json()["cursors"][channel])


async def stream(node: Node, channel: str, before: str) -> str:
    async with await Client.connect(node.port) as client:
        headers = {"accept": "text/event-stream", "last-event-id": before}
        client.send("GET", events_of(channel), headers)
        assert (await client.head())[0] == 200
        events = EventStream(client)
        while (message := await events.next(IMMEDIATELY)).data is None:
            pass
        return str(message.id)


async def new_stream(node: Node, channel: str, before: str) -> str:
    async with await Client.connect(node.port) as client:
        headers = {"accept": "text/event-stream"}
        client.send("GET", f"{events_of(channel)}?since=now", headers)
        assert (await client.head())[0] == 200
        return str((await EventStream(client).next(IMMEDIATELY)).id)


PUBLISHES = [by_rest, by_batch, by_grip, by_command]
READS = [
    *(value, head, waiting_value, feed, end_of_feed, waiting_feed, many, stream, new_stream),
]


@pytest.mark.parametrize("publish", PUBLISHES)
async def test_a_node_reads_what_it_has_acknowledged(
    redis_shelf: Shelf, publish: Callable[[Node, str], Awaitable[None]]
) -> None:
    async with late(redis_shelf) as (node, proxy):
        for read in READS:
            channel = fresh("own")
            before = await known(node, proxy, channel)
            await publish(node, channel)
            epoch = before.partition("-")[0]
            assert await read(node, channel, before) == f"{epoch}-2", read.__name__
            proxy.passages[1].pass_on()


async def test_the_only_writer_never_meets_a_failed_condition(redis_shelf: Shelf) -> None:
    async with late(redis_shelf) as (node, proxy):
        channel = fresh("cas")
        await known(node, proxy, channel)
        for number in range(20):
            tag = (await ask(node, "GET", value_of(channel))).headers["etag"]
            headers = {"if-match": tag}
            told = await ask(node, "POST", events_of(channel), headers, {"n": number})
            assert told.status == 200, told


async def test_who_was_refused_by_a_condition_reads_what_stood_against_it(
    redis_shelf: Shelf,
) -> None:
    async with late(redis_shelf) as (node, proxy):
        other = await Node(redis_shelf._servers["valkey9"].url()).start()
        try:
            channel = fresh("cas")
            before = await known(node, proxy, channel)
            two = (await ask(other, "POST", events_of(channel), body=2)).json()["cursor"]
            headers = {"if-match": f'"{before}"'}
            assert (await ask(node, "POST", events_of(channel), headers, 3)).status == 412
            assert await value(node, channel, before) == two
        finally:
            await asyncio.to_thread(other.close)


async def test_a_delete_is_seen_by_who_asked_for_it(redis_shelf: Shelf) -> None:
    async with late(redis_shelf) as (node, proxy):
        channel = fresh("gone")
        before = await known(node, proxy, channel)
        assert (await ask(node, "DELETE", value_of(channel))).status == 204
        assert (await ask(node, "GET", value_of(channel))).status == 404
        page = (await ask(node, "GET", f"{events_of(channel)}?since=earliest")).json()
        assert (page["events"], page["cursor"]) == ([], before)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("waits", [False, True])
async def test_a_value_of_another_node_does_not_go_back(
    redis_shelf: Shelf, method: str, *, waits: bool
) -> None:
    async with late(redis_shelf) as (node, proxy):
        other = await Node(redis_shelf._servers["valkey9"].url()).start()
        try:
            channel = fresh("back")
            await known(node, proxy, channel)
            two = (await ask(other, "POST", events_of(channel), body=2)).json()["cursor"]
            headers = {"if-none-match": f'"{two}"'}
            if not waits:
                async with await Client.connect(node.port) as client:
                    client.send(method, value_of(channel), headers)
                    status, told = await client.head()
                assert (status, told["etag"]) == (304, f'"{two}"')
                return
            # It waits, and is given what comes after what it has.
            held = asyncio.create_task(ask(node, "GET", value_of(channel), {**headers, **WAIT}))
            await asyncio.sleep(0)
            end = asyncio.get_running_loop().time() + IMMEDIATELY
            while b"pushhub_holds 1" not in (await node.get("/metrics")).body:
                assert not held.done(), held.result()
                assert asyncio.get_running_loop().time() < end
            three = (await ask(other, "POST", events_of(channel), body=3)).json()["cursor"]
            proxy.passages[1].pass_on()
            assert (await held).headers["etag"] == f'"{three}"'
        finally:
            await asyncio.to_thread(other.close)
