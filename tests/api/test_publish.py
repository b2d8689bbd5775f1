"""Publishing one event: what it becomes, what it answers, under which conditions."""

import asyncio
import json
from typing import Any

import pytest

from tests.serving import Server, events_of, fresh, value_of


async def test_a_publish_answers_where_the_event_is(hub: Server) -> None:
    channel = fresh()
    receipt = await hub.publish(channel, 1)
    assert receipt == {
        "channel": channel,
        "epoch": receipt["epoch"],
        "offset": 1,
        "cursor": f"{receipt['epoch']}-1",
        "id": f"{receipt['epoch']}-1",
        "duplicate": False,
    }


@pytest.mark.parametrize(
    ("content_type", "body", "listed"),
    [
        ("application/json", b'{"a": 1}', {"data": {"a": 1}}),
        ("application/x-www-form-urlencoded", b'{"a": 1}', {"data": {"a": 1}}),
        ("application/x-www-form-urlencoded", b"hello", {"data": "hello"}),
        ("", b"7", {"data": 7}),
        ("", b"\xff\xfe", {"data": "//4=", "encoding": "base64"}),
        ("text/plain", b"7", {"data": "7", "content_type": "text/plain"}),
        ("image/png", b"\x89P", {"data": "iVA=", "encoding": "base64"}),
        ("application/vnd.x+json", b"[1]", {"data": [1], "content_type": "application/vnd.x+json"}),
        ("text/plain", b"", {"data": ""}),
    ],
)
async def test_any_content_type_can_be_published(
    hub: Server, content_type: str, body: bytes, listed: dict[str, Any]
) -> None:
    channel = fresh()
    headers = {"content-type": content_type} if content_type else {}
    assert (await hub.ask("POST", events_of(channel), headers, body)).status == 200
    (event,) = (await hub.get(events_of(channel))).json()["events"]
    assert listed.items() <= event.items()
    assert (await hub.get(value_of(channel))).body == body


async def test_a_retry_with_the_same_key_is_the_same_event(hub: Server) -> None:
    channel = fresh()
    first = await hub.publish(channel, 1, idempotency_key="k")
    again = await hub.publish(channel, 1, idempotency_key="k")
    assert again == {**first, "duplicate": True}
    assert (await hub.publish(channel, 1, idempotency_key="other"))["offset"] == 2
    assert (await hub.publish(fresh(), 1, idempotency_key="k"))["duplicate"] is False
    assert await hub.log(channel) == [1, 1]


async def test_a_key_used_for_other_content_is_refused(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1, idempotency_key="k")
    answer = await hub.post(events_of(channel), 2, idempotency_key="k")
    assert (answer.status, answer.problem) == (422, "key-reused")
    assert await hub.log(channel) == [1]


async def test_twenty_simultaneous_retries_are_one_event(hub: Server) -> None:
    channel = fresh()
    receipts = await asyncio.gather(
        *(hub.publish(channel, 1, idempotency_key="k") for _ in range(20))
    )
    assert sorted(receipt["duplicate"] for receipt in receipts) == [False] + [True] * 19
    assert await hub.log(channel) == [1]


async def test_if_match_publishes_only_onto_that_value(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    etag = (await hub.get(value_of(channel))).headers["etag"]
    await hub.publish(channel, 2, if_match=etag)
    answer = await hub.post(events_of(channel), 3, if_match=etag)
    assert (answer.status, answer.problem) == (412, "precondition-failed")
    assert answer.json()["etag"] == (await hub.get(value_of(channel))).headers["etag"]
    assert await hub.log(channel) == [1, 2]


@pytest.mark.parametrize("tag", ['W/"{}-gzip"', '"otherepoch-1", "{}"', "*"])
async def test_if_match_takes_what_a_client_may_send(hub: Server, tag: str) -> None:
    channel = fresh()
    cursor = (await hub.publish(channel, 1))["cursor"]
    await hub.publish(channel, 2, if_match=tag.format(cursor))
    assert await hub.log(channel) == [1, 2]


async def test_if_match_any_needs_a_value(hub: Server) -> None:
    channel = fresh()
    answer = await hub.post(events_of(channel), 1, if_match="*")
    assert (answer.status, answer.problem) == (412, "precondition-failed")
    assert answer.json()["etag"] is None
    assert await hub.log(channel) == []


async def test_if_none_match_any_publishes_the_first_value_only(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1, if_none_match="*")
    answer = await hub.post(events_of(channel), 2, if_none_match="*")
    assert (answer.status, answer.problem) == (412, "precondition-failed")
    assert await hub.log(channel) == [1]


@pytest.mark.parametrize(
    ("name", "text"), [("if_match", "garbage!"), ("if_match", ""), ("if_none_match", '"a-1"')]
)
async def test_a_condition_that_cannot_be_read_is_refused(
    hub: Server, name: str, text: str
) -> None:
    channel = fresh()
    answer = await hub.post(events_of(channel), 1, **{name: text})
    assert (answer.status, answer.problem) == (400, "bad-request")
    assert await hub.log(channel) == []


async def test_of_many_writers_with_one_etag_one_wins(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 0)
    etag = (await hub.get(value_of(channel))).headers["etag"]
    answers = await asyncio.gather(
        *(hub.post(events_of(channel), n, if_match=etag) for n in range(1, 11))
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 9
    assert len(await hub.log(channel)) == 2


# -- many at once --------------------------------------------------------------


async def test_a_batch_answers_item_by_item_and_channel_by_channel(hub: Server) -> None:
    a, b = fresh(), fresh()
    items = [
        {"channel": a, "data": {"x": 1}, "type": "t", "id": "i"},
        {"channels": [a, b], "data": "text", "content_type": "text/plain"},
        {"channel": b, "data": "AAE=", "content_type": "image/png", "encoding": "base64"},
    ]
    answer = await hub.post("/v1/publish", items)
    assert answer.status == 200
    results = answer.json()["results"]
    told = [(result["item"], result["channel"], result["offset"]) for result in results]
    assert told == [(0, a, 1), (1, a, 2), (1, b, 1), (2, b, 2)]
    assert await hub.log(a) == [{"x": 1}, "text"]
    assert (await hub.get(value_of(b))).body == b"\0\1"


async def test_one_item_needs_no_list(hub: Server) -> None:
    channel = fresh()
    answer = await hub.post("/v1/publish", {"channel": channel, "data": None})
    assert answer.status == 200
    assert await hub.log(channel) == [None]


GOOD = {"channel": "$CHANNEL", "data": 1}


@pytest.mark.parametrize(
    ("bad", "status", "slug"),
    [
        ({"channel": "$CHANNEL"}, 400, "bad-body"),
        ({"data": 1}, 400, "bad-body"),
        ({"channel": "$CHANNEL", "channels": ["x"], "data": 1}, 400, "bad-body"),
        ({"channel": "$CHANNEL", "data": 1, "dta": 1}, 400, "bad-body"),
        ({"channel": "a\nb", "data": 1}, 400, "bad-channel"),
        ({"channel": "$secret:tickets", "data": 1}, 400, "bad-channel"),
        ({"channel": "", "data": 1}, 400, "bad-channel"),
        ({"channel": 7, "data": 1}, 400, "bad-body"),
        ({"channels": [], "data": 1}, 400, "bad-body"),
        ({"channels": ["x", "x"], "data": 1}, 400, "bad-body"),
        ({"channel": "$CHANNEL", "data": 1, "type": "gap"}, 400, "bad-body"),
        ({"channel": "$CHANNEL", "data": 1, "id": 7}, 400, "bad-body"),
        ({"channel": "$CHANNEL", "data": 1, "if_match": "?"}, 400, "bad-body"),
        ({"channel": "$CHANNEL", "data": 1, "content_type": "text/plain"}, 400, "bad-body"),
        ({"channel": "$CHANNEL", "data": "%", "encoding": "base64"}, 400, "bad-body"),
        ({"channel": "$CHANNEL", "data": "x" * 262_145}, 413, "too-large"),
        ("text", 400, "bad-body"),
        (None, 400, "bad-body"),
    ],
)
async def test_a_bad_item_is_named_and_none_is_published(
    hub: Server, bad: Any, status: int, slug: str
) -> None:
    channel = fresh()

    def named(item: Any) -> Any:
        if isinstance(item, dict) and item.get("channel") == "$CHANNEL":
            return {**item, "channel": channel}
        return item

    answer = await hub.post("/v1/publish", [named(GOOD), named(GOOD), named(bad), named(GOOD)])
    assert (answer.status, answer.problem) == (status, slug)
    assert answer.json()["item"] == 2
    assert await hub.log(channel) == []


async def test_in_a_batch_a_condition_that_fails_is_the_items_own(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 0)
    items: list[dict[str, Any]] = [
        {"channel": channel, "data": 1, "if_match": "otherepoch-1"},
        {"channel": channel, "data": 2, "idempotency_key": "k"},
        {"channel": channel, "data": 2, "idempotency_key": "k"},
        {"channel": channel, "data": 3, "idempotency_key": "k"},
    ]
    results = (await hub.post("/v1/publish", items)).json()["results"]
    assert results[0]["error"]["status"] == 412
    assert (results[1]["offset"], results[1]["duplicate"]) == (2, False)
    assert (results[2]["offset"], results[2]["duplicate"]) == (2, True)
    assert results[3]["error"]["status"] == 422
    assert await hub.log(channel) == [0, 2]


async def test_a_batch_for_too_many_channels_is_refused_whole(hub: Server) -> None:
    channel = fresh()
    items = [{"channel": channel, "data": n} for n in range(1001)]
    answer = await hub.post("/v1/publish", items)
    assert (answer.status, answer.problem) == (413, "too-large")
    assert answer.json()["limit"] == 1000
    assert await hub.log(channel) == []


# -- what is published does not change ----------------------------------------

EXACT = [
    "18446744073709551616",
    "-9223372036854775809",
    "3.14159265358979323846264338327950288",
    "0.1000",
    "1E+2",
    "-0",
    '{"a": 1, "a": 2}',
    "[1,\n  2 ]",
    '"\\u00e9\\/"',
    '"\u00e9"',
]


@pytest.mark.parametrize("data", EXACT)
@pytest.mark.parametrize("way", ["single", "form", "untyped", "item", "list", "channels", "+json"])
async def test_every_way_to_publish_keeps_the_bytes(hub: Server, way: str, data: str) -> None:
    channel, other = fresh(), fresh()
    raw = data.encode()
    kinds = {"single": "application/json", "form": "application/x-www-form-urlencoded"}
    if way in ("single", "form", "untyped"):
        headers = {"content-type": kinds[way]} if way in kinds else {}
        answer = await hub.ask("POST", events_of(channel), headers, raw)
    else:
        body = {
            "item": b'{"data": %b , "channel": "%b"}',
            "list": b' [{"channel":"x"  ,"data":0},\n{"data":\n%b,"channel":"%b"} ]',
            "channels": b'{"data":%b,"channels":["%b", "' + other.encode() + b'"]}',
            "+json": b'{"data":%b,"channel":"%b","content_type":"application/vnd.x+json"}',
        }[way] % (raw, channel.encode())
        answer = await hub.ask("POST", "/v1/publish", {}, body)
    assert answer.status == 200, answer
    names = [channel, other] if way == "channels" else [channel]
    for name in names:
        assert (await hub.get(value_of(name))).body == raw
        assert b'"data":' + raw + b"}" in (await hub.get(events_of(name))).body
        poll = await hub.post("/v1/poll", {"channels": {name: "earliest"}})
        assert b'"data":' + raw + b"}" in poll.body
        async with hub.streaming(events_of(name)) as stream:
            await stream.next()
            assert (await stream.next()).data == data


async def test_an_item_with_a_doubled_member_is_refused(hub: Server) -> None:
    channel = fresh()
    good = b'{"channel":"%b","data":1}' % channel.encode()
    body = b'[%b,{"channel":"%b","data":1,"data":2}]' % (good, channel.encode())
    answer = await hub.ask("POST", "/v1/publish", {}, body)
    assert (answer.status, answer.problem) == (400, "bad-body")
    assert answer.json()["item"] == 1
    assert await hub.log(channel) == []


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize("levels", [60, 61, 250, 1000, 1024, 1025, 100_000])
async def test_json_has_one_bound_on_depth(hub: Server, levels: int) -> None:
    name, data = fresh(), nested(levels)
    channel = name.encode()
    requests = [
        ("POST", events_of(name), {"content-type": "application/json"}, data),
        ("POST", events_of(name), {}, data),
        ("POST", "/v1/publish", {}, b'{"channel":"%b","data":%b}' % (channel, data)),
        ("POST", "/v1/publish", {}, b'[{"data":%b,"channel":"%b"}]' % (data, channel)),
    ]
    for request in requests:
        answer = await hub.ask(*request)
        if levels <= 60:
            assert answer.status == 200, answer
        else:
            assert (answer.status, answer.problem) == (400, "bad-body")
            assert "60 levels" in answer.json()["detail"]
    for path in ("/v1/poll", "/publish"):
        answer = await hub.ask("POST", path, {}, nested(max(levels, 70)))
        assert (answer.status, answer.problem) == (400, "bad-body")
    kept = await hub.get(events_of(name))
    assert len(json.loads(kept.body)["events"]) == (4 if levels <= 60 else 0)


async def test_readers_with_a_limit_of_64_levels_can_read_every_answer(hub: Server) -> None:
    """System.Text.Json of .NET, and Newtonsoft.Json."""
    channel = fresh()
    body = b'[{"channel":"%b","data":%b}]' % (channel.encode(), nested(60))
    assert (await hub.ask("POST", "/v1/publish", {}, body)).status == 200
    feed = await hub.get(events_of(channel))
    many = await hub.post("/v1/poll", {"channels": {channel: "earliest"}})
    for answer in (feed, many):
        depth = most = 0
        for byte in answer.body:
            depth += (byte in b"[{") - (byte in b"]}")
            most = max(most, depth)
        assert most <= 64
