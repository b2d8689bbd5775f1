"""After a change of epoch: the cursors of older events, in every way to read."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving import Server, events_of, fresh, serve, value_of

CHANNEL = fresh()


@pytest.fixture(scope="module", params=["front", "asgi"])
def restored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, list[dict[str, Any]]]]:
    """A hub on a restored copy of its file, and the receipts of the events that the copy has."""
    folder = tmp_path_factory.mktemp("epochs")
    store = f"sqlite:///{folder / 'hub.db'}"
    with serve(request.param, store) as server:
        first = asyncio.run(server.publish(CHANNEL, 1))
        second = asyncio.run(server.publish(CHANNEL, 2, event_id="mine"))
    for file in folder.glob("hub.db"):
        shutil.copy(file, folder / "copy")
    with serve(request.param, store) as server:
        asyncio.run(server.publish(CHANNEL, "lost"))
    shutil.copy(folder / "copy", folder / "hub.db")
    with serve(request.param, store) as server:
        yield server, [first, second]


async def listed(server: Server, way: str, since: str) -> list[dict[str, Any]]:
    if way == "feed":
        answer = await server.get(f"{events_of(CHANNEL)}?since={since}")
        assert answer.status == 200, answer
        return list(answer.json()["events"])
    if way == "poll":
        answer = await server.post("/v1/poll", {"channels": {CHANNEL: since}})
        assert not answer.json().get("gaps"), answer
        return list(answer.json()["events"])
    async with server.streaming(f"{events_of(CHANNEL)}?since={since}") as stream:
        assert (await stream.next()).type == "message"
        messages = [await stream.next() for _ in range(2)]
        return [{"cursor": m.id, "data": json.loads(m.data or "")} for m in messages]


@pytest.mark.parametrize("way", ["feed", "poll", "stream"])
async def test_an_older_event_has_a_cursor_from_which_a_reader_can_go_on(
    restored: tuple[Server, list[dict[str, Any]]], way: str
) -> None:
    server, receipts = restored
    events = await listed(server, way, "earliest")
    old = receipts[0]["epoch"]
    (epoch,) = {event["cursor"].rpartition("-")[0] for event in events}
    assert epoch != old
    assert [event["cursor"] for event in events] == [f"{epoch}-1", f"{epoch}-2"]
    if way != "stream":
        # What tells the same event across epochs: the one it was published in, and its offset.
        assert [(event["epoch"], event["offset"]) for event in events] == [(old, 1), (old, 2)]
        assert [event["id"] for event in events] == [receipts[0]["id"], "mine"]
    # Each of them is of use, in each way to read.
    for after in ("feed", "poll"):
        rest = await listed(server, after, events[0]["cursor"])
        assert [event["data"] for event in rest] == [2]


@pytest.mark.parametrize("way", ["feed", "poll"])
async def test_a_cursor_that_was_issued_in_an_older_epoch_stays_a_gap(
    restored: tuple[Server, list[dict[str, Any]]], way: str
) -> None:
    server, receipts = restored
    since = receipts[1]["cursor"]
    if way == "feed":
        answer = await server.get(f"{events_of(CHANNEL)}?since={since}")
        assert (answer.status, answer.json()["reason"]) == (410, "epoch")
    else:
        answer = await server.post("/v1/poll", {"channels": {CHANNEL: since}})
        assert answer.json()["gaps"][CHANNEL]["reason"] == "epoch"


async def test_the_value_keeps_its_etag(
    restored: tuple[Server, list[dict[str, Any]]],
) -> None:
    """It did not change, so a reader that has it gets 304."""
    server, receipts = restored
    etag = f'"{receipts[1]["cursor"]}"'
    answer = await server.get(value_of(CHANNEL), if_none_match=etag)
    assert (answer.status, answer.headers["etag"]) == (304, etag)
