"""Two hubs on one Valkey: a publish at one of them, and deliveries at both."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from pushhub.log.cursor import Start
from pushhub.log.event import Draft, Event
from pushhub.log.read import Page
from pushhub.store.base import Append, Retention
from pushhub.store.redis.frame import keys, pack, topics, unpack_message
from pushhub.store.redis.store import RedisStore
from tests.serving import Server, events_of, fresh
from tests.store.labs import Recorder, opened, publish
from tests.tracing.conftest import traced
from tests.tracing.test_requests import context
from tests.waiting import NEWS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from tests.redis_servers import Shelf
    from tests.tracing.collector import Collector

CONTEXT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture(scope="module")
def nodes(redis_shelf: Shelf, collector: Collector) -> Iterator[tuple[Server, Server]]:
    url = redis_shelf.url("valkey9")
    with traced(collector, "front", url) as near, traced(collector, "front", url) as far:
        yield near, far


async def test_both_nodes_continue_the_trace(
    nodes: tuple[Server, Server], collector: Collector
) -> None:
    near, far = nodes
    trace, client, traceparent = context()
    channel = fresh("orders:")
    path = events_of(channel) + "?since=now&wait=60"
    async with near.holding("GET", path) as here, far.holding("GET", path) as there:
        await near.publish(channel, 1, traceparent=traceparent)
        for held in (here, there):
            assert (await held).json()["events"][0]["data"] == 1
    (request,) = collector.wait(kind="server", trace=trace)
    (send,) = collector.wait(kind="producer", trace=trace)
    deliveries = collector.wait(2, kind="consumer", trace=trace)
    assert request.parent == client
    assert send.parent == request.id
    assert len(deliveries) == 2
    assert {delivery.parent for delivery in deliveries} == {send.id}
    assert {delivery.links for delivery in deliveries} == {(send.place,)}
    assert len({each.resource["service.instance.id"] for each in deliveries}) == 2
    assert "redis.unreadable" not in str(far.output)


@pytest.mark.parametrize("retention", [Retention(), Retention(namespace_bytes=1_000_000)])
async def test_the_log_keeps_the_context(redis_shelf: Shelf, retention: Retention) -> None:
    store, channel = RedisStore(redis_shelf.url("valkey9")), fresh("kept:")
    async with opened(store, listener := Recorder()):
        await store.tail(channel, 1)
        for traceparent in (CONTEXT, ""):
            draft = Draft(b"1", traceparent=traceparent)
            await publish(store, Append(channel, draft, retention))
        page = await store.read(channel, Start.EARLIEST, 10)
        assert isinstance(page, Page)
        assert [event.traceparent for event in page.events] == [CONTEXT, ""]
        woken = [event for event in await listener.heard(store, 2) if isinstance(event, Event)]
        assert [event.traceparent for event in woken] == [CONTEXT, ""]


async def test_an_event_without_a_context_is_written_as_before(redis_shelf: Shelf) -> None:
    """Byte by byte: a node of an older version reads it."""
    url, server = redis_shelf.url("valkey9"), redis_shelf.server("valkey9")
    store, channel = RedisStore(url), fresh("same")
    draft = Draft(b'{"n": 1}', type="added")
    async with opened(store, Recorder()):
        with server.client() as client:
            messages = subscribed(client, channel)
            await publish(store, Append(channel, draft))
            message = next_message(messages)
            [(entry, fields)] = cast("Any", client).xrange(keys(channel)[1])
            offset = entry.partition(b"-")[0]
            assert set(fields) == {b"e", b"t", b"f"}
            assert message == b" ".join((fields[b"e"], offset, fields[b"t"], pack(draft)))
            messages.close()


async def test_an_older_version_rejects_a_message_with_a_context(redis_shelf: Shelf) -> None:
    """It reads the log then. Its parser must not take the message for another event."""
    url, server = redis_shelf.url("valkey9"), redis_shelf.server("valkey9")
    store, channel = RedisStore(url), fresh("newer")
    async with opened(store, Recorder()):
        with server.client() as client:
            messages = subscribed(client, channel)
            await publish(store, Append(channel, Draft(b"1", traceparent=CONTEXT)))
            message = next_message(messages)
            messages.close()
    assert unpack_message(channel, message).traceparent == CONTEXT
    # How versions without contexts read a message.
    _epoch, offset, _time, _frame = message.split(b" ", 3)
    with pytest.raises(ValueError, match="invalid literal"):
        int(offset)


def subscribed(client: redis.Redis, channel: str) -> Any:
    messages: Any = client.pubsub()  # type: ignore[no-untyped-call]
    messages.subscribe(topics(0) + channel.encode())
    assert messages.get_message(timeout=NEWS_SECONDS)["type"] == "subscribe"
    return messages


def next_message(messages: Any) -> bytes:
    end = time.monotonic() + NEWS_SECONDS
    while time.monotonic() < end:
        if (message := messages.get_message(timeout=1)) is not None:
            data: bytes = message["data"]
            return data
    raise AssertionError("no message came")
