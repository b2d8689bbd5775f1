"""Messages of a format that this version does not know, as a node of another version may send."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.store.redis.frame import topics
from pushhub.store.redis.store import RedisStore
from tests.serving import events_of, fresh, serve
from tests.store.labs import Recorder, item, opened, publish

if TYPE_CHECKING:
    import pytest

    from tests.redis_servers import Shelf

UNREADABLE = [b"", b"2", b"one two three four", b"epoch 1 1 \0\xff", b"\xff 1 1 \0\0\0\0\0\0"]


async def test_the_log_is_read_in_place_of_an_unreadable_message(
    redis_shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is in the log; its message is not the one that this version writes."""
    url, server = redis_shelf.url("valkey9"), redis_shelf.server("valkey9")
    other = RedisStore(url)
    # What it appends is announced where no node listens.
    monkeypatch.setattr(other, "_topics", b"elsewhere:")
    with serve("front", url) as hub:
        async with opened(other, Recorder()):
            for message in UNREADABLE:
                channel = fresh("unreadable")
                await publish(other, item("1", channel))
                async with hub.holding("GET", f"{events_of(channel)}?since=now&wait=20") as waiting:
                    await publish(other, item("2", channel))
                    topic = topics(0) + channel.encode()
                    assert server.ask("PUBLISH", topic, message) == 1
                    answer = await asyncio.wait_for(waiting, 15)
                assert [event["data"] for event in answer.json()["events"]] == [2], message
                # The next ones come as always.
                assert len(await hub.log(channel)) == 2
        said = str(hub.output)
        assert said.count('"event": "redis.unreadable"') == 1, said
        assert "redis.lost" not in said
        # `stop` fails if the log has a traceback.
