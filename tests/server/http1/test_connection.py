"""Connections over their whole life: half-closed ones, requests sent ahead, holds and streams that
are released, and pages in between.
"""

import asyncio
import json
import re
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.server.http1.conftest import unharmed
from tests.server.http1.exchange import Talk, parse
from tests.server.http1.table import BODY, get, post
from tests.serving import SOON, Server, events_of, fresh, serve


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def _store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("front")
    with serve(
        "front", "memory://" if request.param == "memory" else f"sqlite:///{folder}/a.db"
    ) as s:
        yield s


@pytest.fixture
def hub(_store: Server) -> Iterator[Server]:
    """The front on a store that answers at once, and on one that answers from a thread."""
    yield _store
    unharmed(_store)


def wait_on(channel: str, *lines: bytes) -> bytes:
    return get(f"{events_of(channel)}?since=now".encode(), b"Prefer: wait=30", *lines)


def stream_on(channel: str, version: bytes = b"HTTP/1.1") -> bytes:
    target = f"{events_of(channel)}?since=now".encode()
    return get(target, b"Accept: text/event-stream", version=version)


def publish_to(channel: str, body: bytes = BODY) -> bytes:
    target = events_of(channel).encode()
    return post(body, b"Content-Length: %d" % len(body), target=target)


def read_of(channel: str) -> bytes:
    return get(f"{events_of(channel)}?since=earliest".encode())


def half_close(talk: Talk) -> None:
    talk.writer.write_eof()


# Half-closed: the client sends FIN and goes on listening, as `nc` does at the end of its input.


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (get(), [200]),
        (get(b"/livez"), [200]),
        (get(b"/v1/channels/nothing-here"), [404]),
        (publish_to("half"), [200]),
        (publish_to("half") * 3, [200] * 3),
        (get(b"/livez") * 3, [200] * 3),
        ((publish_to("half") + get(b"/livez") + get()) * 3, [200] * 9),
        (get(b"/v1/channels/half-cold/events"), [200]),
    ],
    ids=["endpoint", "page", "404", "publish", "publishes", "pages", "mixed", "cold"],
)
async def test_a_half_closed_client_gets_its_responses(
    hub: Server, raw: bytes, statuses: list[int]
) -> None:
    async with await Talk.open(hub.port) as talk:
        talk.writer.write(raw)
        half_close(talk)
        await talk.end()
        assert parse(talk.data, ended=talk.ended).statuses == statuses


async def test_a_half_closed_wait_ends(hub: Server) -> None:
    async with await Talk.open(hub.port) as talk:
        await talk.send(wait_on(fresh()))
        await hub.held(1)
        half_close(talk)
        await hub.held(0)
        await talk.end()
        assert talk.data == b""


async def test_a_half_closed_stream_ends(hub: Server) -> None:
    async with await Talk.open(hub.port) as talk:
        await talk.send(stream_on(fresh()))
        await hub.held(1)
        half_close(talk)
        await hub.held(0)
        await talk.end()


async def test_half_a_head_and_then_no_more(hub: Server) -> None:
    async with await Talk.open(hub.port) as talk:
        await talk.send(get()[:-2])
        half_close(talk)
        await talk.end()
        assert talk.data == b""


async def test_half_a_body_and_then_no_more_is_no_event(hub: Server) -> None:
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        await talk.send(publish_to(channel)[:-1])
        half_close(talk)
        await talk.end()
        assert talk.data == b""
    assert await hub.log(channel) == []


# Requests sent ahead of a held one.


@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
async def test_a_second_request_releases_a_wait(hub: Server, apart: bool) -> None:
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        begun = time.monotonic()
        if apart:
            await talk.send(wait_on(channel))
            await hub.held(1)
            await talk.send(get(b"/livez"))
        else:
            await talk.send(wait_on(channel) + get(b"/livez"))
        seen = await talk.answers(2)
        assert seen.statuses == [200, 200]
        assert json.loads(seen.answers[0][1])["events"] == []
        assert json.loads(seen.answers[1][1]) == {"live": True}
        assert time.monotonic() - begun < SOON


async def test_a_second_wait_is_held_and_its_disappearance_seen(hub: Server) -> None:
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        await talk.send(wait_on(channel))
        await hub.held(1)
        await talk.send(wait_on(channel))
        seen = await talk.answers(1)
        assert seen.statuses == [200]
        await hub.held(1)
        await hub.publish(channel, "news")
        seen = await talk.answers(2)
        assert [event["data"] for event in json.loads(seen.answers[1][1])["events"]] == ["news"]
        await talk.send(wait_on(channel) + wait_on(channel) + wait_on(channel))
        assert (await talk.answers(4)).statuses == [200] * 4
        await hub.held(1)
    await hub.held(0)


async def test_half_a_second_request_releases_nothing(hub: Server) -> None:
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        await talk.send(wait_on(channel))
        await hub.held(1)
        await talk.send(get(b"/livez")[:-2])
        await asyncio.sleep(0.2)
        await hub.held(1)
        await hub.publish(channel, 1)
        assert len((await talk.answers(1)).statuses) == 1
        await talk.send(b"\r\n")
        assert (await talk.answers(2)).statuses == [200, 200]


async def test_a_wait_then_garbage(hub: Server) -> None:
    """The wait is answered, in order, and then what came after it is refused."""
    async with await Talk.open(hub.port) as talk:
        await talk.send(wait_on(fresh()))
        await hub.held(1)
        await talk.send(b"nonsense\r\n\r\n")
        await talk.end()
        assert parse(talk.data, ended=True).statuses == [200, 400]


async def test_a_wait_then_endless_bytes(hub: Server) -> None:
    async with await Talk.open(hub.port) as talk:
        await talk.send(wait_on(fresh()))
        await hub.held(1)
        await talk.send(b"A" * 1_000_000)
        await talk.end()
        assert parse(talk.data, ended=True).statuses == [200, 400]


async def test_a_wait_then_a_large_publish(hub: Server) -> None:
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        await talk.send(wait_on(fresh()))
        await hub.held(1)
        await talk.send(publish_to(channel, b"x" * 200_000) * 3 + get(b"/livez"))
        assert (await talk.answers(5)).statuses == [200] * 5


async def test_large_publishes_in_one_go_are_all_done_in_order(hub: Server) -> None:
    """None is dropped for coming while another is being committed, however much there is."""
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        bodies = [b'"%d%s"' % (n, b"x" * 100_000) for n in range(20)]
        sending = asyncio.create_task(talk.send(b"".join(publish_to(channel, b) for b in bodies)))
        seen = await talk.answers(20)
        await sending
        assert seen.statuses == [200] * 20
        receipts = [json.loads(body) for _, body in seen.answers]
        assert [receipt["offset"] for receipt in receipts] == list(range(1, 21))


async def test_publish_then_read_in_one_segment(hub: Server) -> None:
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        await talk.send((publish_to(channel) + read_of(channel)) * 5)
        seen = await talk.answers(10)
        assert seen.statuses == [200] * 10
        reads = [json.loads(body)["events"] for _, body in seen.answers[1::2]]
        assert [len(events) for events in reads] == [1, 2, 3, 4, 5]


async def test_endpoints_and_pages_mixed_byte_by_byte(hub: Server) -> None:
    channel = fresh()
    raw = get(b"/livez") + publish_to(channel) + get(b"/nowhere") + read_of(channel)
    async with await Talk.open(hub.port) as talk:
        await talk.send(*[raw[at : at + 1] for at in range(len(raw))])
        assert (await talk.answers(4)).statuses == [200, 200, 404, 200]


async def test_page_wait_page_wait(hub: Server) -> None:
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        for turn in range(3):
            await talk.send(get(b"/livez"))
            await talk.answers(2 * turn + 1)
            await talk.send(wait_on(channel))
            await hub.held(1)
            await hub.publish(channel, turn)
            seen = await talk.answers(2 * turn + 2)
            assert [e["data"] for e in json.loads(seen.answers[-1][1])["events"]] == [turn]
    assert len(seen.answers) == 6


# Streams.


async def test_a_second_request_ends_a_stream(hub: Server) -> None:
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        await talk.send(stream_on(channel))
        await hub.held(1)
        await hub.publish(channel, "one")
        while b"one" not in talk.data:
            assert await talk.more(10)
        await talk.send(get(b"/livez"))
        seen = await talk.answers(2)
        assert seen.statuses == [200, 200]
        assert b"data: " in seen.answers[0][1]
        assert json.loads(seen.answers[1][1]) == {"live": True}


@pytest.mark.parametrize("tail", [get(b"/livez"), b"nonsense\r\n\r\n", b"A" * 300_000])
async def test_a_stream_and_more_in_one_segment(hub: Server, tail: bytes) -> None:
    """However that ends, no second head stands in the middle of the stream."""
    async with await Talk.open(hub.port) as talk:
        await talk.send(stream_on(fresh()) + tail)
        seen = await talk.answers(2)
        assert seen.statuses == [200, 200 if tail.startswith(b"GET") else 400]
        assert seen.answers[0][1].count(b"HTTP/1.1") == 0


async def test_a_stream_to_http_1_0_ends_with_the_connection(hub: Server) -> None:
    channel = fresh()
    async with await Talk.open(hub.port) as talk:
        await talk.send(stream_on(channel, b"HTTP/1.0"))
        await hub.held(1)
        await hub.publish(channel, "one")
        while b"one" not in talk.data:
            assert await talk.more(10)
        head, _, body = talk.data.partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head
        assert b"content-length" not in head
        assert b"connection: close" in head
        assert body.startswith(b"id:")
        await talk.send(get(b"/livez"))
        await talk.end()
        assert b"live" not in talk.data


# Going away.


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("what", ["wait", "stream"])
async def test_a_disconnect_is_noticed(hub: Server, how: str, what: str) -> None:
    async with await Talk.open(hub.port) as talk:
        await talk.send(wait_on(fresh()) if what == "wait" else stream_on(fresh()))
        await hub.held(1)
        if how == "reset":
            option = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
            talk.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, option
            )
            talk.writer.transport.abort()
        else:
            talk.close()
        await hub.held(0)


async def test_going_after_asking_for_pages_and_publishes(hub: Server) -> None:
    """Answers that find nobody leave no trace."""
    for raw in (get(b"/livez") * 50, publish_to("gone") * 50, get(b"/openapi.json") * 50):
        for _ in range(10):
            async with await Talk.open(hub.port) as talk:
                talk.writer.write(raw)
                talk.writer.transport.abort()


@pytest.fixture
def alone() -> Iterator[Server]:
    """For what is the front's own, whatever the store does."""
    with serve("front") as server:
        yield server
        unharmed(server)


async def test_thousands_of_pipelined_requests_stall_no_other_client(alone: Server) -> None:
    """A client's pile is gone through in slices: those of another one come in between."""
    name, count = fresh(), 3000
    async with await Talk.open(alone.port) as reading, await Talk.open(alone.port) as publishing:
        for talk in (reading, publishing):
            await talk.send(get(b"/livez"))
            assert await talk.more(10)
        alone.signal(signal.SIGSTOP)  # It finds both piles at the same time.
        try:
            reading.writer.write(get(f"{events_of(name)}?since=now".encode()) * count)
            publishing.writer.write(publish_to(name) * count)
        finally:
            alone.signal(signal.SIGCONT)
        while len(seen := re.findall(rb'"cursor":"\w+-(\d+)"', reading.data)) < count:
            assert await reading.more(5)
    offsets = [int(offset) for offset in seen]
    assert offsets == sorted(offsets)
    print(f"publishes came in between {len(set(offsets))} times")
    assert len(set(offsets)) > 3
