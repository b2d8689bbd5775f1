"""Two nodes on one Redis: what one is told, the other's readers get; and what a node missed, it
finds."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from pushhub.hub import channels as channel_table
from pushhub.hub import feed_monitor
from pushhub.hub.hub import Hub
from pushhub.log.cursor import Cursor, Start, parse_cursor
from pushhub.log.event import Draft
from pushhub.log.read import Page
from pushhub.origin.grip.position import RecentEventsPoll
from pushhub.store.base import Append, Appended, Outcome
from pushhub.store.redis.store import RedisStore
from tests.hub.scripted import Recorder, ask, feed, many, value
from tests.proxy import Proxy
from tests.waiting import NEWS_SECONDS, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.log.cursor import Since
    from tests.redis_servers import RedisServer, Shelf


@pytest.fixture
def server(redis_shelf: Shelf) -> RedisServer:
    server = redis_shelf.server("valkey9")
    server.ask("CONFIG", "RESETSTAT")
    return server


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    """Between one node and Redis: its commands are the first passage, its feed the second."""
    async with Proxy(server.port) as proxy:
        yield proxy


@asynccontextmanager
async def node(url: str) -> AsyncIterator[Hub]:
    hub = Hub(RedisStore(url), uniform=lambda low, high: high)
    await hub.open()
    try:
        yield hub
    finally:
        await hub.close()


@pytest.fixture
async def near(proxy: Proxy) -> AsyncIterator[Hub]:
    """The node whose connections break."""
    async with node(f"redis://127.0.0.1:{proxy.port}/0") as hub:
        yield hub


@pytest.fixture
async def far(server: RedisServer) -> AsyncIterator[Hub]:
    async with node(server.url()) as hub:
        yield hub


async def publish(hub: Hub, *data: Any, channel: str = "a") -> Cursor:
    """Publish, and insist: the last event's cursor."""
    settled: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
    hub.publish([Append(channel, Draft(orjson.dumps(d))) for d in data], settled.set_result)
    *_, last = await settled
    assert isinstance(last, Appended), last
    return last.cursor


async def answered(recorder: Recorder) -> Recorder:
    """Wait for an answer; most waits here last longer than that."""
    async with asyncio.timeout(NEWS_SECONDS):
        await recorder.written()
    return recorder


async def got(hub: Hub, poll: Any) -> Recorder:
    return await answered(ask(hub, poll))


async def parked(hub: Hub, *polls: Any) -> list[Recorder]:
    """Send polls, and wait until all of them are held."""
    before = hub.parked
    recorders = [ask(hub, poll) for poll in polls]
    await until(lambda: hub.parked == before + len(polls))
    return recorders


def followers(server: RedisServer, channel: str = "a") -> int:
    return int(server.ask("PUBSUB", "NUMSUB", b"ph:e0:" + channel.encode())[1])


async def deafen(hub: Hub, server: RedisServer, channel: str = "a") -> None:
    """Messages of a channel do not reach the node any more, and it has no idea."""
    wire = hub.store._link._feed_wire  # type: ignore[attr-defined]
    before = followers(server, channel)
    wire.write((b"UNSUBSCRIBE", b"ph:e0:" + channel.encode()))
    await until(lambda: followers(server, channel) == before - 1)


# -- when nothing is broken ----------------------------------------------------


async def test_a_publish_through_one_answers_a_hold_on_the_other(near: Hub, far: Hub) -> None:
    one, two = await parked(near, feed(), value(channel="b"))
    (three,) = await parked(far, many("a", "b"))
    await publish(far, 1)
    assert (await answered(one)).data == [1]
    assert (await answered(three)).data == [1]
    await publish(near, "value", channel="b")
    assert (await answered(two)).response.body == b'"value"'
    assert near.stats.repaired == far.stats.repaired == 0


async def test_readers_who_go_from_node_to_node_get_everything_in_order(
    near: Hub, far: Hub
) -> None:
    nodes = (near, far)
    total = 300

    async def read(first: int) -> list[int]:
        seen: list[int] = []
        since: Since = Start.EARLIEST
        turn = first
        while len(seen) < total:
            turn += 1
            reply = await got(nodes[turn % 2], feed(since, 10))
            assert reply.response.status == 200, reply.response
            seen += reply.data
            since = parse_cursor(reply.document["cursor"])
        return seen

    readers = [asyncio.ensure_future(read(first)) for first in range(10)]
    for number in range(total):
        await publish(nodes[number % 2], number)
    assert await asyncio.gather(*readers) == [list(range(total))] * 10
    assert [hub.stats.gaps for hub in nodes] == [{"epoch": 0, "trimmed": 0, "ahead": 0}] * 2


async def test_a_cursor_that_the_other_node_is_ahead_with_is_no_gap(
    near: Hub, far: Hub, proxy: Proxy
) -> None:
    await publish(far, 1)
    assert (await got(near, feed(Start.EARLIEST, None))).data == [1]
    (waiting,) = await parked(near, feed())  # Now it has the channel in memory.
    proxy.passages[1].keep_back()
    two = await publish(far, 2)
    plain = await got(near, feed(two, None))
    assert (plain.response.status, plain.data) == (200, [])
    held = ask(near, feed(two))
    assert not waiting
    proxy.passages[1].pass_on()
    assert (await answered(waiting)).data == [2]
    await publish(far, 3)
    assert (await answered(held)).data == [3]
    assert near.stats.gaps["ahead"] == 0


async def test_a_delete_through_one_is_told_by_the_other(near: Hub, far: Hub) -> None:
    await publish(far, 1)
    (held,) = await parked(near, feed())
    assert await far.store.delete("a")
    assert (await answered(held)).response.status == 404


async def test_a_channel_is_followed_a_while_after_its_last_reader(
    near: Hub, far: Hub, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader is away between two polls."""
    for number in range(3):
        (held,) = await parked(near, feed())
        await publish(far, number)
        assert (await answered(held)).data == [number]
    assert server.calls("subscribe") == 1
    assert followers(server) == 1
    monkeypatch.setattr(channel_table, "LINGER_SECONDS", 0.5)
    await until(lambda: followers(server) == 0)
    (held,) = await parked(near, feed())
    await publish(far, "again")
    assert (await answered(held)).data == ["again"]


# -- a message that got lost ---------------------------------------------------


async def test_a_lost_message_is_found_when_the_wait_ends(
    near: Hub, far: Hub, server: RedisServer
) -> None:
    begun = near.now()
    (first, second) = await parked(near, feed(wait=1), feed(wait=30))
    await deafen(near, server)
    await publish(far, "lost")
    assert (await answered(first)).data == ["lost"]
    assert near.now() - begun >= 1
    # Who was parked for longer gets it too: the channel was looked at once, for all.
    assert (await answered(second)).data == ["lost"]
    assert near.stats.repaired == 1


async def test_a_lost_message_is_found_by_the_next_one(
    near: Hub, far: Hub, server: RedisServer
) -> None:
    (held,) = await parked(near, feed())
    await deafen(near, server)
    await publish(far, "lost")
    near.store._link._feed_wire.write((b"SUBSCRIBE", b"ph:e0:a"))  # type: ignore[attr-defined]
    await until(lambda: followers(server) == 1)
    await publish(far, "heard")
    assert (await answered(held)).data == ["lost", "heard"]


async def test_one_question_is_good_for_all_whose_wait_ends(near: Hub) -> None:
    held = await parked(near, *[feed(wait=1) for _ in range(50)])
    reads = sum(near.stats.read_seconds.counts)
    for recorder in held:
        assert (await answered(recorder)).document["up_to_date"]
    assert sum(near.stats.read_seconds.counts) - reads == 1
    assert near.stats.repaired == 0


async def test_grip_finds_what_its_node_has_acknowledged(near: Hub, proxy: Proxy) -> None:
    """The origin's answer may already have it; the hold's position must."""
    await publish(near, 1)
    await parked(near, feed())
    proxy.passages[1].keep_back()
    two = await publish(near, 2)
    poll = RecentEventsPoll(["a"])
    await got(near, poll)
    read = poll.results["a"]
    assert isinstance(read, Page)
    assert read.cursor == two


async def test_a_lost_message_of_an_own_publish_is_found_by_the_next_requests(
    near: Hub, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_monitor, "OVERDUE_SECONDS", 0.2)
    (held,) = await parked(near, feed())
    await deafen(near, server)
    await publish(near, "lost")
    end = near.now() + NEWS_SECONDS
    while not held and near.now() < end:
        assert (await got(near, value(wait=None))).response.body == b'"lost"'
    assert held.data == ["lost"]
    assert near.stats.repaired == 1
    # Requests are answered from memory again.
    reads = sum(near.stats.read_seconds.counts)
    assert (await got(near, value(wait=None))).response.body == b'"lost"'
    assert sum(near.stats.read_seconds.counts) == reads


async def test_an_etag_of_the_future_costs_one_read_and_no_wait(near: Hub) -> None:
    one = await publish(near, 1)
    await parked(near, feed())
    for tag in (f"{one.epoch}-{10**17}", "another-7"):
        reads = sum(near.stats.read_seconds.counts)
        assert (await got(near, value(tag))).response.body == b"1"
        assert sum(near.stats.read_seconds.counts) == reads + 1
    reads = sum(near.stats.read_seconds.counts)
    assert (await got(near, value(f"{one.epoch}-0"))).response.body == b"1"
    assert sum(near.stats.read_seconds.counts) == reads


# -- a node that is deaf -------------------------------------------------------


async def test_a_deaf_node_reads_the_log_and_keeps_who_waits(
    near: Hub, far: Hub, proxy: Proxy
) -> None:
    start = await publish(far, 0)
    short, long = await parked(near, feed(wait=1), feed(wait=30))
    proxy.accepts = False
    proxy.passages[1].cut()
    await until(lambda: near.feed_monitor.disconnected)
    await publish(far, 1)
    # Plain reads, and whoever is behind, are answered from the log.
    assert (await got(near, feed(start, None))).data == [1]
    assert (await got(near, feed(start))).data == [1]
    late = ask(near, feed(Cursor(start.epoch, 2)))
    # The wait ends without a claim.
    reply = await answered(short)
    assert (reply.response.status, reply.data) == (200, [])
    assert not reply.document.get("up_to_date")
    assert not long
    assert not late
    proxy.accepts = True
    assert (await answered(long)).data == [1]
    await publish(far, 2)
    assert (await answered(late)).data == [2]


async def test_a_node_that_is_cut_off(near: Hub, far: Hub, proxy: Proxy) -> None:
    start = await publish(far, 0)
    short, long, other = await parked(near, feed(wait=1), feed(wait=30), value(channel="v"))
    proxy.accepts = False
    proxy.cut()
    await until(lambda: near.feed_monitor.disconnected and not near.store.ready)
    await publish(far, 1)
    await publish(far, "v", channel="v")
    plain = await got(near, feed(start, None))
    assert plain.response.status == 503
    assert dict(plain.response.headers)[b"retry-after"] == b"1"
    assert (await got(near, value(wait=None, channel="new"))).response.status == 503
    behind = ask(near, feed(start))
    reply = await answered(short)
    assert (reply.response.status, reply.data) == (200, [])
    assert not reply.document.get("up_to_date")
    with pytest.raises(AssertionError, match="cannot be reached"):
        await publish(near, "refused")
    assert not any((long, other, behind))
    proxy.accepts = True
    for recorder in (long, behind):
        assert (await answered(recorder)).data == [1]
    assert (await answered(other)).response.body == b'"v"'
    await publish(near, 2)


async def test_value_waits_that_begin_in_an_outage_are_held(
    near: Hub, far: Hub, proxy: Proxy
) -> None:
    has = await publish(far, "old", channel="v")
    proxy.accepts = False
    proxy.cut()
    await until(lambda: near.feed_monitor.disconnected and not near.store.ready)
    same, changes, first, several, star = (
        ask(near, value(str(has), channel="v")),
        ask(near, value(str(has), channel="v")),
        ask(near, value(channel="new")),
        ask(near, value(str(has), "other-1", channel="v")),
        ask(near, value("*", channel="v")),
    )
    # A wait that ends in the outage: nothing is claimed of a value that is not known.
    short = ask(near, value(str(has), wait=1, channel="v"))
    unknown = ask(near, value(wait=1, channel="new"))
    reply = await answered(short)
    assert reply.response.status == 304
    assert dict(reply.response.headers)[b"etag"] == has.etag.encode()
    assert (await answered(unknown)).response.status == 503
    held = [same, changes, first, several, star]
    assert not any(held)
    await publish(far, "new", channel="v")
    await publish(far, "first", channel="new")
    proxy.accepts = True
    for recorder in held:
        expected = b'"first"' if recorder is first else b'"new"'
        if recorder is star:
            continue
        reply = await answered(recorder)
        assert (reply.response.status, reply.response.body) == (200, expected)
    # `*` matches any value.
    assert not star


async def test_a_reader_who_came_while_commands_were_away_does_not_wait_for_nothing(
    near: Hub, far: Hub, proxy: Proxy
) -> None:
    """The feed never broke, so only the commands' return can tell."""
    start = await publish(far, 0)
    await publish(far, 1)
    await parked(near, feed(channel="other"))  # A feed that follows nothing is no feed yet.
    proxy.accepts = False
    proxy.passages[0].cut()
    await until(lambda: not near.store.ready)
    assert not near.feed_monitor.disconnected
    behind = ask(near, feed(start))
    await until(lambda: near.parked == 2)
    proxy.accepts = True
    assert (await answered(behind)).data == [1]


async def test_after_a_break_everybody_gets_what_they_missed(
    near: Hub, far: Hub, proxy: Proxy
) -> None:
    names = [f"c{number}" for number in range(300)]
    held = await parked(near, *[feed(channel=name) for name in names])
    proxy.accepts = False
    proxy.passages[1].cut()
    await until(lambda: near.feed_monitor.disconnected)
    for name in names[::2]:
        await publish(far, name, channel=name)
    proxy.accepts = True
    for name, recorder in list(zip(names, held, strict=True))[::2]:
        assert (await answered(recorder)).data == [name]
    assert near.parked == 150
    for name in names[1::2]:
        await publish(far, name, channel=name)
    for name, recorder in zip(names, held, strict=True):
        assert (await answered(recorder)).data == [name]
    assert near.stats.gaps == {"epoch": 0, "trimmed": 0, "ahead": 0}


# -- a log that was lost -------------------------------------------------------


async def test_a_lost_log_is_told_when_the_wait_ends_or_something_happens(
    near: Hub, far: Hub, server: RedisServer
) -> None:
    for number in range(3):
        await publish(far, number)
    (busy,) = await parked(near, feed(channel="b"))
    await publish(near, 1, channel="b")
    await answered(busy)
    quiet, busy = await parked(near, feed(wait=1), feed(channel="b"))
    server.ask("FLUSHALL")
    assert (await answered(quiet)).response.status == 410
    await publish(far, "new", channel="b")
    assert (await answered(busy)).response.status == 410
    assert near.stats.gaps["epoch"] == 2


async def test_a_cursor_of_a_newer_life_is_not_read_over_and_over(
    near: Hub, far: Hub, server: RedisServer
) -> None:
    """One node has the life of before in memory when a reader comes from the other."""
    await publish(far, "old")
    (old,) = await parked(near, feed())
    server.ask("FLUSHALL")
    new = await far.store.tail("a", 1)
    assert isinstance(new, Page)
    held = ask(near, feed(new.cursor))
    # Who waits with a cursor of the old life is told now that it is known.
    assert (await answered(old)).response.status == 410
    await until(lambda: near.parked == 1)
    assert sum(near.stats.read_seconds.counts) < 8
    await publish(far, "new")
    assert (await answered(held)).data == ["new"]
