"""Server-Sent Events: one channel, and many in one stream."""

import json

import pytest

from tests.serving import Server, events_of, fresh, value_of


async def test_the_first_write_is_an_id_without_data(hub: Server) -> None:
    channel = fresh()
    cursor = (await hub.publish(channel, 1))["cursor"]
    async with hub.streaming(events_of(channel) + "?since=now") as stream:
        first = await stream.next()
        assert (first.data, first.id) == (None, cursor)


async def test_events_come_as_they_are_published(hub: Server) -> None:
    channel = fresh()
    async with hub.streaming(events_of(channel)) as stream:
        await stream.next()
        receipt = await hub.publish(channel, {"n": 1}, event_type="added")
        message = await stream.next()
        assert (message.type, message.data) == ("added", '{"n": 1}')
        assert message.id == receipt["cursor"]
        await hub.publish(channel, 2)
        assert (await stream.next()).data == "2"


async def test_a_stream_begins_with_what_is_kept(hub: Server) -> None:
    channel = fresh()
    for number in range(3):
        await hub.publish(channel, number)
    async with hub.streaming(events_of(channel) + "?limit=2") as stream:
        first = await stream.next()
        assert first.data is None
        assert first.id.endswith("-0")
        assert [(await stream.next()).data for _ in range(3)] == ["0", "1", "2"]


async def test_last_event_id_beats_since(hub: Server) -> None:
    channel = fresh()
    cursors = [(await hub.publish(channel, number))["cursor"] for number in range(3)]
    target = events_of(channel) + "?since=earliest"
    async with hub.streaming(target, last_event_id=cursors[1]) as stream:
        first = await stream.next()
        assert (first.data, first.id) == (None, cursors[1])
        assert (await stream.next()).data == "2"


SPELLINGS = [
    *("lastEventId", "lastEventID", "last_event_id", "Last-Event-ID", "last-event-id"),
    *("LAST_EVENT_ID", "evs_last_event_id"),
]


@pytest.mark.parametrize("name", SPELLINGS)
async def test_polyfills_resume_with_a_query_parameter(hub: Server, name: str) -> None:
    channel = fresh()
    cursors = [(await hub.publish(channel, number))["cursor"] for number in range(3)]
    target = f"{events_of(channel)}?since=earliest&{name}={cursors[1]}"
    async with hub.streaming(target) as stream:
        first = await stream.next()
        assert (first.data, first.id) == (None, cursors[1])
        assert (await stream.next()).data == "2"


async def test_the_header_last_event_id_beats_the_query_parameter(hub: Server) -> None:
    channel = fresh()
    cursors = [(await hub.publish(channel, number))["cursor"] for number in range(3)]
    target = f"{events_of(channel)}?lastEventId={cursors[0]}"
    async with hub.streaming(target, last_event_id=cursors[1]) as stream:
        assert (await stream.next()).id == cursors[1]
        assert (await stream.next()).data == "2"


async def test_an_empty_last_event_id_counts_as_none(hub: Server) -> None:
    channel = fresh()
    cursor = (await hub.publish(channel, 1))["cursor"]
    target = f"{events_of(channel)}?since={cursor}&lastEventId="
    async with hub.streaming(target, last_event_id="") as stream:
        assert (await stream.next()).id == cursor


async def test_a_last_event_id_that_is_no_cursor_is_refused(hub: Server) -> None:
    answer = await hub.get(f"{events_of(fresh())}?lastEventId=17", accept="text/event-stream")
    assert (answer.status, answer.problem) == (400, "bad-cursor")


async def test_a_plain_feed_ignores_last_event_id(hub: Server) -> None:
    channel = fresh()
    cursor = (await hub.publish(channel, 1))["cursor"]
    answer = await hub.get(f"{events_of(channel)}?lastEventId={cursor}", last_event_id=cursor)
    assert [event["data"] for event in answer.json()["events"]] == [1]


@pytest.mark.parametrize(
    ("accept", "streams"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", False),
        ("text/html", False),
        ("text/event-stream", True),
        ("TEXT/Event-Stream;charset=utf-8", True),
        ("text/*", True),
        ("text/event-stream, */*;q=0.1", True),
        ("*/*, text/event-stream", True),
        ("text/event-stream, application/json", True),
        ("application/json, text/event-stream", False),
        ("application/json;q=0.5, text/event-stream", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream; q=0.0, */*", False),
        ("text/*, text/event-stream;q=0", False),
        ("application/json, text/event-stream;q=0.9", False),
        ("text/event-streams", False),
        ("x-text/event-stream", False),
        ('application/x;a="text/event-stream,text/event-stream"', False),
        ("text/event-stream;q=nonsense", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_request_gets_the_type_that_it_accepts(
    hub: Server, method: str, accept: str | None, streams: bool
) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    async with await hub.connect() as client:
        client.send(method, events_of(channel), {} if accept is None else {"accept": accept})
        status, headers = await client.head()
    assert status == 200
    assert headers["content-type"].startswith(
        "text/event-stream" if streams else "application/json"
    )
    assert ("content-length" in headers) is not streams


async def test_head_of_a_stream_leaves_the_connection_usable(hub: Server) -> None:
    async with await hub.connect() as client:
        for _ in range(2):
            answer = await client.ask("HEAD", events_of(fresh()), {"accept": "text/event-stream"})
            assert (answer.status, answer.body) == (200, b"")
            assert answer.headers["cache-control"] == "no-store, no-transform"
            assert "content-length" not in answer.headers
        assert (await client.ask("GET", events_of(fresh()))).json()["events"] == []


async def test_a_reader_who_has_all_is_told_where_it_stands(hub: Server) -> None:
    channel = fresh()
    cursor = (await hub.publish(channel, 1))["cursor"]
    await hub.get(events_of(channel) + "?since=now")
    async with hub.streaming(events_of(channel), last_event_id=cursor) as stream:
        first = await stream.next(1)
        assert (first.data, first.id) == (None, cursor)


async def test_a_gap_is_an_event_and_the_stream_goes_on_from_the_oldest(hub: Server) -> None:
    channel = fresh()
    receipt = await hub.publish(channel, "kept")
    async with hub.streaming(events_of(channel), last_event_id="otherepoch-9") as stream:
        gap = await stream.next()
        assert gap.type == "gap"
        told = json.loads(gap.data or "")
        assert told["reason"] == "epoch"
        assert told["latest"] == receipt["cursor"]
        assert gap.id == told["oldest"]
        assert (await stream.next()).data == '"kept"'


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("text/plain", b"one\ntwo\r\nthree\rfour", "one\ntwo\nthree\nfour"),
        ("text/plain", b"x\n\nevent: gap\ndata: forged\nid: 7", None),
        ("text/plain", "ü \u2028 \u0085".encode(), "ü \u2028 \u0085"),
        ("application/octet-stream", b"\x00\n\xff", "AAr/"),
        ("application/json", b'{\n"a":1\n}', '{\n"a":1\n}'),
        ("text/plain", b"", ""),
    ],
    ids=["line ends", "forged fields", "other separators", "binary", "json", "empty"],
)
async def test_data_cannot_break_out_of_its_field(
    hub: Server, content_type: str, body: bytes, data: str | None
) -> None:
    channel = fresh()
    async with hub.streaming(events_of(channel)) as stream:
        await stream.next()
        await hub.ask("POST", events_of(channel), {"content-type": content_type}, body)
        receipt = await hub.publish(channel, "after")
        message = await stream.next()
        assert message.type == "message"
        assert message.data == (body.decode() if data is None else data)
        after = await stream.next()
        assert (after.data, after.id) == ('"after"', receipt["cursor"])


@pytest.mark.parametrize("name", ["event-id", "event-type"])
@pytest.mark.parametrize("text", ["a\u0085b", "a\x7fb", "a\x01b", "a\x1fb"])
async def test_an_id_or_type_with_control_characters_is_refused(
    hub: Server, name: str, text: str
) -> None:
    channel = fresh()
    raw = f"POST {events_of(channel)} HTTP/1.1\r\nHost: localhost\r\n{name}: {text}\r\n"
    async with await hub.connect() as client:
        client.writer.write((raw + "Content-Length: 1\r\n\r\n1").encode())
        assert b" 400 " in await client.reader.readline()
    assert await hub.log(channel) == []


@pytest.mark.parametrize("name", ["id", "type"])
@pytest.mark.parametrize("text", ["a\nid: 1", "a\r\ndata: forged", "a\0", "\ud800"])
async def test_an_id_or_type_of_a_batch_cannot_inject_fields(
    hub: Server, name: str, text: str
) -> None:
    channel = fresh()
    answer = await hub.post("/v1/publish", {"channel": channel, "data": 1, name: text})
    assert (answer.status, answer.problem) == (400, "bad-body")
    assert await hub.log(channel) == []


@pytest.mark.parametrize("type", ["gap", "open", "error"])
async def test_types_that_mean_something_else_on_a_stream_are_refused(
    hub: Server, type: str
) -> None:
    channel = fresh()
    answer = await hub.post(events_of(channel), 1, event_type=type)
    assert (answer.status, answer.problem) == (400, "bad-body")


async def test_a_publishers_id_does_not_become_a_position(hub: Server) -> None:
    channel = fresh()
    async with hub.streaming(events_of(channel)) as stream:
        await stream.next()
        receipt = await hub.publish(channel, 1, event_id="otherepoch-99")
        assert (await stream.next()).id == receipt["cursor"]


async def test_a_deleted_channel_ends_its_streams(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    async with hub.streaming(events_of(channel) + "?since=now") as stream:
        await stream.next()
        await hub.held(1)
        await hub.ask("DELETE", value_of(channel))
        with pytest.raises(StopAsyncIteration):
            await stream.next()


async def test_many_channels_in_one_stream(hub: Server) -> None:
    a, b = fresh(), fresh()
    await hub.publish(a, "old")
    body = json.dumps({"channels": {a: "earliest", b: "now"}}).encode()
    async with hub.streaming("/v1/poll", method="POST", body=body) as stream:
        first = json.loads((await stream.next()).data or "")
        assert [event["data"] for event in first["events"]] == ["old"]
        assert first["cursors"].keys() == {a, b}
        await hub.publish(b, "new")
        message = await stream.next()
        second = json.loads(message.data or "")
        assert message.type == "message"
        assert [(event["channel"], event["data"]) for event in second["events"]] == [(b, "new")]
        assert second["cursors"].keys() == {b}


async def test_many_channels_in_one_stream_are_told_their_gaps(hub: Server) -> None:
    a = fresh()
    await hub.publish(a, "kept")
    body = json.dumps({"channels": {a: "otherepoch-1"}}).encode()
    async with hub.streaming("/v1/poll", method="POST", body=body) as stream:
        message = await stream.next()
        assert message.type == "gap"
        assert json.loads(message.data or "")["gaps"][a]["reason"] == "epoch"
        assert json.loads((await stream.next()).data or "")["events"][0]["data"] == "kept"


async def test_a_stream_misses_nothing_while_it_is_written_to(hub: Server) -> None:
    channel = fresh()
    async with hub.streaming(events_of(channel) + "?since=now") as stream:
        await stream.next()
        async with await hub.connect() as publisher:
            for number in range(300):
                await publisher.ask("POST", events_of(channel), body=b"%d" % number)
        assert [(await stream.next()).data for _ in range(300)] == list(map(str, range(300)))


async def test_a_reader_that_does_not_read_costs_the_others_nothing(hub: Server) -> None:
    channel = fresh()
    big = b"x" * 200_000
    async with (
        hub.streaming(events_of(channel)) as slow,
        hub.streaming(events_of(channel)) as quick,
    ):
        await quick.next()
        for _ in range(40):
            await hub.ask("POST", events_of(channel), {"content-type": "text/plain"}, big)
            assert len((await quick.next()).data or "") == len(big)
        await slow.next()
        assert [len((await slow.next()).data or "") for _ in range(40)] == [len(big)] * 40


@pytest.mark.parametrize(
    ("content_type", "body", "data", "encoding"),
    [
        ("application/octet-stream", b"\x00\xff", "AP8=", "base64"),
        ("text/plain", b"\xff", "/w==", "base64"),
        ("text/plain", b"AP8=", "AP8=", ""),
        ("application/json", b'"AP8="', '"AP8="', ""),
    ],
)
async def test_a_stream_says_whether_data_is_text_or_base64(
    hub: Server, content_type: str, body: bytes, data: str, encoding: str
) -> None:
    channel = fresh()
    await hub.ask("POST", events_of(channel), {"content-type": content_type}, body)
    async with hub.streaming(events_of(channel)) as stream:
        await stream.next()
        message = await stream.next()
        assert (message.data, message.encoding) == (data, encoding)
    async with hub.streaming(events_of(channel) + "?envelope=true") as stream:
        await stream.next()
        message = await stream.next()
    listed = (await hub.get(events_of(channel))).json()["events"]
    assert [json.loads(message.data or "")] == listed
    assert listed[0].get("encoding", "") == encoding


async def test_a_flag_is_true_or_false(hub: Server) -> None:
    answer = await hub.get(events_of(fresh()) + "?envelope=yes", accept="text/event-stream")
    assert (answer.status, answer.problem) == (400, "bad-request")


async def test_streams_are_told_different_times_to_come_back(hub: Server) -> None:
    channel = fresh()
    body = json.dumps({"channels": {channel: "now"}}).encode()
    told: dict[str, set[int | None]] = {"one": set(), "many": set(), "gap": set()}
    for _ in range(12):
        async with hub.streaming(events_of(channel)) as stream:
            told["one"].add((await stream.next()).retry)
        async with hub.streaming("/v1/poll", method="POST", body=body) as stream:
            told["many"].add((await stream.next()).retry)
        async with hub.streaming(events_of(channel) + "?since=other-1") as stream:
            told["gap"].add((await stream.next()).retry)
    for waits in told.values():
        assert len(waits) > 2
        assert all(wait is not None and 2000 <= wait <= 5000 for wait in waits)
