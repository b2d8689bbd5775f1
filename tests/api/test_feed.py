"""`GET /v1/channels/{channel}/events`: the feed, plain and waiting."""

import asyncio
import time

import pytest

from tests.serving import SOON, Server, events_of, fresh

KEYS = {"offset", "cursor", "id", "time", "data"}


async def test_a_channel_without_events_is_an_empty_feed(hub: Server) -> None:
    answer = await hub.get(events_of(fresh()))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    feed = answer.json()
    assert feed["events"] == []
    assert feed["up_to_date"] is True
    assert feed["cursor"].endswith("-0")


async def test_reading_a_channel_writes_nothing(hub: Server) -> None:
    channel = fresh()
    await hub.get(events_of(channel))
    listed = (await hub.get(f"/v1/channels?prefix={channel}")).json()
    assert listed == {"channels": []}


async def test_an_event_is_listed_as_it_was_published(hub: Server) -> None:
    channel = fresh()
    receipt = await hub.publish(channel, {"a": [1, "ü"]}, event_type="added", event_id="my-id")
    (event,) = (await hub.get(events_of(channel))).json()["events"]
    assert event.keys() == KEYS | {"type"}
    assert event["data"] == {"a": [1, "ü"]}
    assert (event["type"], event["id"]) == ("added", "my-id")
    assert event["cursor"] == receipt["cursor"]
    assert event["offset"] == receipt["offset"] == 1
    assert event["time"].endswith("Z")


async def test_a_plain_poll_gets_an_immediate_response_without_wait_headers(hub: Server) -> None:
    begun = time.monotonic()
    answer = await hub.get(events_of(fresh()) + "?since=now")
    assert time.monotonic() - begun < SOON
    assert "preference-applied" not in answer.headers
    assert "retry_ms" not in answer.json()


async def test_an_event_ends_the_wait_immediately(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    cursor = (await hub.get(events_of(channel))).json()["cursor"]
    target = f"{events_of(channel)}?since={cursor}"
    async with hub.holding("GET", target, prefer="wait=30") as answer:
        begun = time.monotonic()
        receipt = await hub.publish(channel, 2)
        response = await answer
        assert time.monotonic() - begun < SOON
    assert response.headers["preference-applied"] == "wait=30"
    assert response.headers["cache-control"] == "no-store"
    assert "Prefer" in response.headers["vary"]
    feed = response.json()
    assert [event["data"] for event in feed["events"]] == [2]
    assert feed["cursor"] == receipt["cursor"]
    assert feed["up_to_date"] is True


async def test_a_wait_without_events_ends_with_an_empty_list_and_the_cursor(
    hub: Server,
) -> None:
    channel = fresh()
    cursor = (await hub.publish(channel, 1))["cursor"]
    begun = time.monotonic()
    answer = await hub.get(f"{events_of(channel)}?since={cursor}", prefer="wait=1")
    assert 0.75 <= time.monotonic() - begun <= 1 + SOON
    assert answer.status == 200
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.json() == {"events": [], "cursor": cursor, "up_to_date": True}


async def test_an_event_between_two_polls_ends_the_second_immediately(hub: Server) -> None:
    channel = fresh()
    cursor = (await hub.get(events_of(channel))).json()["cursor"]
    await hub.publish(channel, "between")
    begun = time.monotonic()
    answer = await hub.get(f"{events_of(channel)}?since={cursor}", prefer="wait=30")
    assert time.monotonic() - begun < SOON
    assert [event["data"] for event in answer.json()["events"]] == ["between"]
    assert answer.headers["preference-applied"] == "wait=30"


async def test_events_of_one_millisecond_have_different_cursors(hub: Server) -> None:
    channel = fresh()
    items = [{"channel": channel, "data": number} for number in range(50)]
    await hub.post("/v1/publish", items)
    seen, cursor = [], "earliest"
    while True:
        feed = (await hub.get(f"{events_of(channel)}?since={cursor}&limit=1")).json()
        seen += [event["data"] for event in feed["events"]]
        if not feed["events"]:
            break
        assert feed["cursor"] != cursor
        cursor = feed["cursor"]
    assert seen == list(range(50))


@pytest.mark.parametrize("prefer", [None, "wait=10"], ids=["plain", "waiting"])
async def test_missed_events_come_in_pages_and_only_the_last_is_up_to_date(
    hub: Server, prefer: str | None
) -> None:
    channel = fresh()
    cursor = (await hub.get(events_of(channel))).json()["cursor"]
    await hub.post("/v1/publish", [{"channel": channel, "data": n} for n in range(100)])
    headers = {"prefer": prefer} if prefer else {}
    first = (await hub.get(f"{events_of(channel)}?since={cursor}&limit=50", **headers)).json()
    second = (
        await hub.get(f"{events_of(channel)}?since={first['cursor']}&limit=50", **headers)
    ).json()
    assert [event["data"] for event in first["events"]] == list(range(50))
    assert "up_to_date" not in first
    assert [event["data"] for event in second["events"]] == list(range(50, 100))
    assert second["up_to_date"] is True


async def test_a_cursor_of_another_epoch_is_a_gap(hub: Server) -> None:
    channel = fresh()
    receipt = await hub.publish(channel, 1)
    answer = await hub.get(f"{events_of(channel)}?since=otherepoch-1", prefer="wait=30")
    assert (answer.status, answer.problem) == (410, "gap")
    gap = answer.json()
    assert gap["reason"] == "epoch"
    assert gap["channel"] == channel
    assert gap["latest"] == receipt["cursor"]
    after = (await hub.get(f"{events_of(channel)}?since={gap['oldest']}")).json()
    assert [event["data"] for event in after["events"]] == [1]


async def test_a_cursor_ahead_of_the_log_is_a_gap(hub: Server) -> None:
    channel = fresh()
    receipt = await hub.publish(channel, 1)
    answer = await hub.get(f"{events_of(channel)}?since={receipt['epoch']}-2", prefer="wait=30")
    assert (answer.status, answer.problem) == (410, "gap")
    assert answer.json()["reason"] == "ahead"


async def test_a_cursor_older_than_the_retention_is_a_gap(hub: Server) -> None:
    channel = fresh()
    cursor = (await hub.publish(channel, -1))["cursor"]
    for first in (0, 600):
        items = [{"channel": channel, "data": n} for n in range(first, first + 600)]
        assert (await hub.post("/v1/publish", items)).status == 200
    answer = await hub.get(f"{events_of(channel)}?since={cursor}&limit=1000")
    assert (answer.status, answer.problem) == (410, "gap")
    gap = answer.json()
    assert gap["reason"] == "trimmed"
    kept = (await hub.get(f"{events_of(channel)}?since={gap['oldest']}&limit=1000")).json()
    assert [event["data"] for event in kept["events"]] == list(range(200, 1200))
    rest = (await hub.get(f"{events_of(channel)}?since={gap['latest']}")).json()
    assert rest["events"] == []


async def test_without_a_cursor_a_feed_begins_at_the_oldest_event(hub: Server) -> None:
    channel = fresh()
    for number in (1, 2):
        await hub.publish(channel, number)
    assert await hub.log(channel) == [1, 2]
    feed = (await hub.get(events_of(channel))).json()
    assert [event["data"] for event in feed["events"]] == [1, 2]


async def test_now_begins_after_the_newest_event_and_waits_in_the_same_request(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, "old")
    async with hub.holding("GET", events_of(channel) + "?since=now&wait=30") as answer:
        await hub.publish(channel, "new")
        assert [event["data"] for event in (await answer).json()["events"]] == ["new"]


async def test_minus_one_is_no_cursor(hub: Server) -> None:
    answer = await hub.get(events_of(fresh()) + "?since=-1")
    assert (answer.status, answer.problem) == (400, "bad-cursor")


async def test_a_feed_ignores_if_none_match(hub: Server) -> None:
    channel = fresh()
    etag = f'"{(await hub.publish(channel, 1))["cursor"]}"'
    answer = await hub.get(events_of(channel), if_none_match=etag)
    assert answer.status == 200
    assert len(answer.json()["events"]) == 1


async def test_a_burst_of_events_reaches_every_reader(hub: Server) -> None:
    """More than memory keeps of a channel, while its readers are still being answered."""
    channel = fresh()
    cursor = (await hub.publish(channel, -1))["cursor"]
    clients = [await hub.connect() for _ in range(300)]
    try:
        for client in clients:
            client.send("GET", f"{events_of(channel)}?since={cursor}&limit=1000&wait=30")
        await hub.held(len(clients))
        await hub.post("/v1/publish", [{"channel": channel, "data": n} for n in range(250)])
        answers = [await client.receive() for client in clients]
    finally:
        for client in clients:
            client.close()
    for answer in answers:
        data = [event["data"] for event in answer.json()["events"]]
        assert data
        assert data == list(range(len(data)))


async def test_an_acknowledged_event_is_in_every_later_plain_poll(hub: Server) -> None:
    """Readers who share a read of the store do not share one that began before the publish."""
    channel = fresh()
    await hub.publish(channel, 0)

    async def read(client_number: int) -> None:
        async with await hub.connect() as client:
            for _ in range(40):
                before = len(acknowledged)
                feed = (await client.ask("GET", events_of(channel) + "?limit=1000")).json()
                assert len(feed["events"]) >= before, client_number

    async def write() -> None:
        async with await hub.connect() as client:
            for number in range(1, 60):
                await client.ask("POST", events_of(channel), body=b"%d" % number)
                acknowledged.append(number)

    acknowledged = [0]
    await asyncio.gather(write(), *map(read, range(4)))
    assert await hub.log(channel) == list(range(60))
