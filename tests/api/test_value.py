"""`GET /v1/channels/{channel}`: the last event's bytes, with an ETag."""

import time

import pytest

from tests.serving import SOON, Server, events_of, fresh, value_of


async def test_a_value_is_the_last_event_as_it_was_published(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, "first")
    body = b"\x00\xff raw"
    headers = {"content-type": "image/x-thing", "event-type": "shot", "event-id": "ü"}
    await hub.ask("POST", events_of(channel), headers, body)
    answer = await hub.get(value_of(channel))
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["content-type"] == "image/x-thing"
    assert answer.headers["event-type"] == "shot"
    assert answer.headers["event-id"].encode("latin-1").decode() == "ü"
    assert answer.headers["event-time"].endswith("Z")
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["etag"].startswith('"')


async def test_no_value_yet_is_404(hub: Server) -> None:
    answer = await hub.get(value_of(fresh()))
    assert (answer.status, answer.problem) == (404, "no-value")


async def test_a_wait_without_a_condition_is_for_the_first_value(hub: Server) -> None:
    channel = fresh()
    async with hub.holding("GET", value_of(channel), prefer="wait=30") as answer:
        await hub.publish(channel, {"first": True})
        response = await answer
    assert (response.status, response.json()) == (200, {"first": True})


async def test_a_wait_without_a_condition_on_a_value_is_answered_at_once(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    begun = time.monotonic()
    answer = await hub.get(value_of(channel), prefer="wait=30")
    assert (answer.status, answer.body) == (200, b"1")
    assert time.monotonic() - begun < SOON
    assert answer.headers["preference-applied"] == "wait=30"


async def test_no_value_at_the_end_of_the_wait_is_404(hub: Server) -> None:
    answer = await hub.get(value_of(fresh()), prefer="wait=1")
    assert (answer.status, answer.problem) == (404, "no-value")
    assert answer.headers["preference-applied"] == "wait=1"


async def test_unchanged_at_the_end_of_the_wait_is_304_with_the_same_etag(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    etag = (await hub.get(value_of(channel))).headers["etag"]
    begun = time.monotonic()
    answer = await hub.get(value_of(channel), prefer="wait=1", if_none_match=etag)
    assert 0.75 <= time.monotonic() - begun <= 1 + SOON
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.headers["cache-control"] == "no-store"
    assert "Prefer" in answer.headers["vary"]


async def test_a_change_during_the_wait_is_200_with_a_new_etag(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    etag = (await hub.get(value_of(channel))).headers["etag"]
    async with hub.holding("GET", value_of(channel), prefer="wait=30", if_none_match=etag) as held:
        begun = time.monotonic()
        await hub.publish(channel, 2)
        answer = await held
        assert time.monotonic() - begun < SOON
    assert (answer.status, answer.body) == (200, b"2")
    assert answer.headers["etag"] != etag


async def test_a_change_before_the_wait_is_returned_immediately(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    etag = (await hub.get(value_of(channel))).headers["etag"]
    await hub.publish(channel, 2)
    begun = time.monotonic()
    answer = await hub.get(value_of(channel), prefer="wait=30", if_none_match=etag)
    assert (answer.status, answer.body) == (200, b"2")
    assert time.monotonic() - begun < SOON


@pytest.mark.parametrize(
    "seen_by_client",
    ['"{}"', 'W/"{}"', '"{}-gzip"', 'W/"{}-gzip"', '"{}--gzip"', '"other", W/"{}-br"', "{}", "*"],
)
async def test_a_tag_that_proxies_changed_still_matches(hub: Server, seen_by_client: str) -> None:
    channel = fresh()
    cursor = (await hub.publish(channel, 1))["cursor"]
    tag = seen_by_client.format(cursor)
    answer = await hub.get(value_of(channel), if_none_match=tag)
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == f'"{cursor}"'


async def test_a_tag_that_a_proxy_changed_is_held(hub: Server) -> None:
    channel = fresh()
    cursor = (await hub.publish(channel, 1))["cursor"]
    tag = f'W/"{cursor}-gzip"'
    async with hub.holding("GET", value_of(channel), prefer="wait=30", if_none_match=tag) as held:
        await hub.publish(channel, 2)
        assert (await held).body == b"2"


@pytest.mark.parametrize("tag", ['"otherepoch-1"', '"{epoch}-999"', '"garbage"', "@@@"])
async def test_a_value_never_gaps(hub: Server, tag: str) -> None:
    channel = fresh()
    epoch = (await hub.publish(channel, 1))["epoch"]
    tag = tag.format(epoch=epoch)
    answer = await hub.get(value_of(channel), prefer="wait=30", if_none_match=tag)
    assert (answer.status, answer.body) == (200, b"1")


async def test_a_deleted_value_is_gone_and_the_next_one_has_another_tag(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    etag = (await hub.get(value_of(channel))).headers["etag"]
    assert (await hub.ask("DELETE", value_of(channel))).status == 204
    assert (await hub.get(value_of(channel), if_none_match=etag)).status == 404
    await hub.publish(channel, 1)
    answer = await hub.get(value_of(channel), if_none_match=etag)
    assert answer.status == 200
    assert answer.headers["etag"] != etag
