"""The cases G1 to G32 of GRIP, on a real Pushpin and on pushhub, through one scripted origin.

Where the two differ, the test says what each of them does; docs/grip.md says why.
"""

import asyncio
import base64
import json
import time
from typing import Any

import jwt
import pytest

from tests.peers.gate import KEY, Gate, chunk, fresh, response
from tests.peers.origin import script
from tests.wire import Client

pytestmark = pytest.mark.xdist_group("grip")

HOLD = "Grip-Hold: response"


def path() -> str:
    return "/" + fresh("p")


# What the origin is told


async def test_g1_a_client_cannot_speak_grip_to_the_origin(gate: Gate) -> None:
    where = path()
    await gate.ask(script(where), headers={"grip-hold": "response", "Grip-Last": "a; last-id=1"})
    (hit,) = gate.origin.at(where)
    assert hit.all("grip-hold") == hit.all("grip-last") == []


async def test_g2_the_signature_is_good_for_an_hour(gate: Gate) -> None:
    where = path()
    await gate.ask(script(where))
    (hit,) = gate.origin.at(where)
    (sig,) = hit.all("grip-sig")
    claims = jwt.decode(sig, KEY, algorithms=["HS256"])
    assert claims["iss"] == gate.name
    assert 3500 < claims["exp"] - time.time() <= 3601
    features = {one.strip() for one in hit.all("grip-feature")[0].split(",")}
    assert {"status", "link:next", "filter:skip-self", "filter:var-subst"} <= features


# How a response is held


async def test_g3_a_short_timeout_is_raised_to_five_seconds(gate: Gate) -> None:
    told = await gate.ask(
        script(path(), HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1", body="nothing")
    )
    # pushhub's waits end up to a fifth earlier, at random.
    assert (3.9 if gate.is_ours else 4.8) < told.seconds < 7
    assert (told.status, told.body) == (200, b"nothing")
    assert not [name for name in told.headers if name.startswith("grip-")]


async def test_g4_a_pushed_response_goes_over_the_headers_of_the_held_one(gate: Gate) -> None:
    channel, headers = fresh(), ["X-Base: b", 'ETag: "1"', "Content-Type: text/x-one"]
    async with gate.hold(path(), HOLD, f"Grip-Channel: {channel}", *headers) as task:
        pushed = {"ETag": '"2"', "X-New": "n", "Grip-Hold": "response"}
        await gate.publish(response(channel, "made", code=201, reason="Fine", headers=pushed))
        told = await task
    assert (told.status, told.body) == (201, b"made")
    assert told.headers["etag"] == '"2"'
    assert told.headers["x-base"] == "b"
    assert told.headers["x-new"] == "n"
    assert told.headers["content-type"] == "text/x-one"
    assert "grip-hold" not in told.headers


async def test_g4_the_reason_is_the_publishers(gate: Gate) -> None:
    channel, where = fresh(), path()
    client = await Client.connect(gate.port)
    client.send("GET", script(where, HOLD, f"Grip-Channel: {channel}"))
    await asyncio.to_thread(gate.origin.wait, where)
    await asyncio.sleep(0.4)
    await gate.publish(response(channel, code=299, reason="Quite Fine"))
    line = await asyncio.wait_for(client.reader.readline(), 10)
    assert line == b"HTTP/1.1 299 Quite Fine\r\n"
    client.close()


async def test_g5_exposed_headers_are_all_that_is_kept(gate: Gate) -> None:
    told = await gate.ask(
        script(
            path(),
            *(HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1"),
            *("Grip-Expose-Headers: X-Base", "X-Base: b", "X-Other: o"),
        )
    )
    assert told.headers["x-base"] == "b"
    assert "x-other" not in told.headers
    framing = {"connection", "content-length", "date", "transfer-encoding", "x-base"}
    assert set(told.headers) <= framing


async def test_g6_a_patch_changes_the_json_of_the_held_response(gate: Gate) -> None:
    channel, patch = fresh(), [{"op": "replace", "path": "/n", "value": 2}]
    body = '{"n":1,"a":"x"}\n'
    async with gate.hold(path(), HOLD, f"Grip-Channel: {channel}", body=body) as task:
        await gate.publish(response(channel, body_patch=patch))
        told = await task
    assert told.response.json() == {"n": 2, "a": "x"}
    assert told.body.endswith(b"\n")


async def test_g6_a_patch_of_what_is_no_json_is_a_bad_gateway(gate: Gate) -> None:
    channel, patch = fresh(), [{"op": "replace", "path": "/n", "value": 2}]
    async with gate.hold(path(), HOLD, f"Grip-Channel: {channel}", body="text") as task:
        await gate.publish(response(channel, body_patch=patch))
        told = await task
    assert told.status == 502


async def test_g7_a_hold_that_knows_the_last_item_waits_for_the_next(gate: Gate) -> None:
    channel, where = fresh(), path()
    # Somebody must be there, or Pushpin does not remember the id.
    async with gate.stream(path(), f"Grip-Channel: {channel}"):
        await gate.publish(response(channel, id_="1"))
        async with gate.hold(where, HOLD, f"Grip-Channel: {channel}; prev-id=1") as task:
            await gate.publish(response(channel, "two", id_="2", prev_id_="1"))
            told = await task
    assert told.body == b"two"
    assert len(gate.origin.at(where)) == 1


async def test_g8_a_hold_that_is_behind_is_answered_at_once(gate: Gate) -> None:
    """Pushpin asks the origin again; pushhub has the item in its log, and needs nobody."""
    channel, where = fresh(), path()
    async with gate.stream(path(), f"Grip-Channel: {channel}"):
        await gate.publish(response(channel, "one", id_="1"))
        await gate.publish(response(channel, "two", id_="2", prev_id_="1"))
        await asyncio.sleep(0.2)
        target = script(
            where, HOLD, f"Grip-Channel: {channel}; prev-id=1", again={"body": "from the origin"}
        )
        told = await gate.ask(target)
    assert told.seconds < 2
    hits = gate.origin.at(where)
    if gate.is_ours:
        assert (told.body, len(hits)) == (b"two", 1)
    else:
        assert (told.body, len(hits)) == (b"from the origin", 2)
        assert hits[1].all("grip-last") == [f"{channel}; last-id=1"]


async def test_g8_an_item_that_nobody_has_is_asked_of_the_origin(gate: Gate) -> None:
    channel, where = fresh(), path()
    async with gate.stream(path(), f"Grip-Channel: {channel}"):
        await gate.publish(response(channel, "two", id_="2"))
        await asyncio.sleep(0.2)
        target = script(
            where, HOLD, f"Grip-Channel: {channel}; prev-id=1", again={"body": "from the origin"}
        )
        told = await gate.ask(target)
    assert told.seconds < 2
    assert told.body == b"from the origin"
    assert gate.origin.at(where)[1].all("grip-last") == [f"{channel}; last-id=1"]


async def test_g9_a_gap_in_a_hold_is_repaired(gate: Gate) -> None:
    """Pushpin waits five seconds for what is missing; pushhub's log proves that it is."""
    channel, where = fresh(), path()
    async with gate.stream(path(), f"Grip-Channel: {channel}"):
        await gate.publish(response(channel, id_="1"))
        if not gate.is_ours:
            # What it does a second after the first of a channel's readers would hide the repair.
            await asyncio.sleep(2)
        target = script(where, HOLD, f"Grip-Channel: {channel}; prev-id=1", again={"body": "all"})
        async with gate.asking(target, where) as task:
            begun = time.monotonic()
            await gate.publish(response(channel, "three", id_="3", prev_id_="2"))
            told = await task
            seconds = time.monotonic() - begun
    assert told.body == b"all"
    assert gate.origin.at(where)[1].all("grip-last") == [f"{channel}; last-id=1"]
    assert seconds < 1 if gate.is_ours else 4 < seconds < 9


async def test_g10_items_of_a_stream_come_in_their_order(gate: Gate) -> None:
    channel = fresh()
    async with gate.stream(path(), f"Grip-Channel: {channel}") as stream:
        for number, before in ((1, 0), (3, 2), (2, 1)):
            await gate.publish(chunk(channel, f"{number},", id_=str(number), prev_id_=str(before)))
        assert await stream.read(6) == b"1,2,3,"
        await gate.publish(chunk(channel, "again,", id_="2", prev_id_="1"))
        begun = time.monotonic()
        await gate.publish(chunk(channel, "9,", id_="9", prev_id_="8"))
        await gate.publish(chunk(channel, "12,", id_="12", prev_id_="11", no_seq_=True))
        assert await stream.read(3) == b"12,"
        assert time.monotonic() - begun < 2
        assert await stream.read(2) == b"9,"
        assert 3.5 < time.monotonic() - begun < 8


async def test_g11_a_hint_has_the_origin_asked_again(gate: Gate) -> None:
    channel, where = fresh(), path()
    target = script(where, HOLD, f"Grip-Channel: {channel}; prev-id=1", again={"body": "news"})
    async with gate.stream(path(), f"Grip-Channel: {channel}"):
        await gate.publish(response(channel, id_="1"))
        async with gate.asking(target, where) as task:
            begun = time.monotonic()
            await gate.publish(response(channel, action="hint", id_="2", prev_id_="1"))
            told = await task
            assert time.monotonic() - begun < 2
    assert told.body == b"news"
    (last,) = gate.origin.at(where)[1].all("grip-last")
    assert last.startswith(f"{channel}; last-id=")


# Filters


async def test_g12_skip_self_drops_what_its_own_user_sent(gate: Gate) -> None:
    channel = fresh()
    async with gate.hold(
        path(), HOLD, f"Grip-Channel: {channel}; filter=skip-self", 'Grip-Set-Meta: user="alice"'
    ) as task:
        await gate.publish(response(channel, "hers", meta_={"sender": "alice"}))
        await gate.publish(response(channel, "his", meta_={"sender": "bob"}))
        told = await task
    assert told.body == b"his"


async def test_g13_variables_are_filled_in(gate: Gate) -> None:
    channel = fresh()
    async with gate.hold(
        path(), HOLD, f"Grip-Channel: {channel}; filter=var-subst", "Grip-Set-Meta: name=al"
    ) as task:
        filters = ["var-subst"]
        await gate.publish(response(channel, "hi %(name)s", content_filters=filters))
        told = await task
    assert told.body == b"hi al"


async def test_g13_an_item_for_other_filters_is_for_somebody_else(gate: Gate) -> None:
    """Pushpin 1.36 answers 502; pushhub leaves the reader waiting for what it can read."""
    channel = fresh()
    async with gate.hold(path(), HOLD, f"Grip-Channel: {channel}") as task:
        await gate.publish(response(channel, "hi %(name)s", content_filters=["var-subst"]))
        if gate.is_ours:
            await gate.publish(response(channel, "plain"))
        told = await task
    assert (told.status, told.body) == (200, b"plain") if gate.is_ours else told.status == 502


# Channels


async def test_g14_a_hold_waits_on_every_channel_of_a_list(gate: Gate) -> None:
    one, two = fresh(), fresh()
    async with gate.hold(path(), HOLD, f"Grip-Channel: {one}, {two}") as task:
        await gate.publish(response(two))
        assert (await task).body == b"pushed"


async def test_g15_more_than_twenty_channels(gate: Gate) -> None:
    """Pushpin leaves out the twenty-first without a word."""
    names = [fresh() for _ in range(21)]
    async with gate.hold(
        path(), HOLD, f"Grip-Channel: {', '.join(names)}", "Grip-Timeout: 5", body="nothing"
    ) as task:
        await gate.publish(response(names[-1]))
        assert (await task).body == (b"pushed" if gate.is_ours else b"nothing")


# What the timeout answers


@pytest.mark.parametrize("lines", [["Grip-Status: 304 Not Modified"], []])
async def test_g16_nothing_new_is_a_304(gate: Gate, lines: list[str]) -> None:
    target = script(
        path(),
        *(HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1", 'ETag: "e"', *lines),
        status=200 if lines else 304,
    )
    told = await gate.ask(target)
    assert (told.status, told.body, told.headers["etag"]) == (304, b"", '"e"')


async def test_g17_a_post_is_held_too(gate: Gate) -> None:
    channel = fresh()
    async with gate.hold(path(), HOLD, f"Grip-Channel: {channel}", method="POST") as task:
        await gate.publish(response(channel))
        assert (await task).body == b"pushed"


async def test_g18_an_instruct_as_a_document(gate: Gate) -> None:
    channel = fresh()
    document = {
        "hold": {"channels": [{"name": channel}], "timeout": 5},
        "response": {"code": 202, "headers": {"X-Doc": "d"}, "body": "later"},
    }
    lines, body = ["Content-Type: application/grip-instruct"], json.dumps(document)
    told = await gate.ask(script(path(), *lines, body=body))
    assert (told.status, told.headers["x-doc"], told.body) == (202, "d", b"later")
    async with gate.hold(path(), *lines, body=body) as task:
        await gate.publish(response(channel))
        assert (await task).body == b"pushed"
    assert (await gate.ask(script(path(), *lines, body=body, status=201))).status == 502


@pytest.mark.parametrize(
    "lines", [["Grip-Hold: maybe"], [HOLD, "Grip-Channel: a", "Grip-Timeout: soon"]]
)
async def test_g19_a_bad_instruct_is_a_bad_gateway(gate: Gate, lines: list[str]) -> None:
    told = await gate.ask(script(path(), *lines, body="secret"))
    assert told.status == 502
    assert b"secret" not in told.body


async def test_g20_a_held_body_has_a_bound(gate: Gate) -> None:
    lines = [HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1"]
    most = asyncio.create_task(gate.ask(script(path(), *lines, size=100_000)))
    assert (await gate.ask(script(path(), *lines, size=100_001))).status == 502
    assert len((await most).body) == 100_000


# Streams


async def test_g21_a_next_link_goes_on_with_the_body(gate: Gate) -> None:
    second = path()
    link = f"Grip-Link: <{script(second, body='two')}>; rel=next"
    told = await gate.ask(script(path(), link, body="one,"))
    assert told.body == b"one,two"
    assert len(gate.origin.at(second)) == 1


async def test_g21_a_next_link_may_end_in_a_hold(gate: Gate) -> None:
    channel, second = fresh(), path()
    target = script(second, "Grip-Hold: stream", f"Grip-Channel: {channel}", body="two,")
    client = await Client.connect(gate.port)
    client.send("GET", script(path(), f"Grip-Link: <{target}>; rel=next", body="one,"))
    await client.head()
    pieces = client.pieces()
    body = b""
    while len(body) < 8:
        body += await asyncio.wait_for(anext(pieces), 10)
    assert body == b"one,two,"
    await asyncio.sleep(0.4)
    await gate.publish(chunk(channel, "three"))
    assert await asyncio.wait_for(anext(pieces), 10) == b"three"
    client.close()


async def test_g22_a_stream_is_kept_alive(gate: Gate) -> None:
    async with gate.stream(
        path(), f"Grip-Channel: {fresh()}", "Grip-Keep-Alive: .; format=raw; timeout=2"
    ) as stream:
        beats = await stream.during(5.5)
    # Up to a second earlier each on Pushpin, up to a fifth on pushhub.
    assert beats in ((b"..", b"...") if gate.is_ours else (b"..", b"...", b"....", b"....."))


async def test_g23_a_stream_is_closed_properly(gate: Gate) -> None:
    channel = fresh()
    async with gate.stream(path(), f"Grip-Channel: {channel}", body="open,") as stream:
        await gate.publish(chunk(channel, "more"))
        await gate.publish(chunk(channel, action="close"))
        assert await stream.rest() == b"open,more"


# What a hold costs the origin


async def test_g24_identical_holds_share_a_request(gate: Gate) -> None:
    channel, where = fresh(), path()
    target = script(where, HOLD, f"Grip-Channel: {channel}", delay=0.3)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(gate.ask(target)) for _ in range(5)]
        await asyncio.to_thread(gate.origin.wait, where, 1 if gate.is_ours else 5)
        # Pushpin asks each of them again after a second.
        await asyncio.sleep(1 if gate.is_ours else 3)
        hits = len(gate.origin.at(where))
        await gate.publish(response(channel, "all"))
    assert [task.result().body for task in tasks] == [b"all"] * 5
    assert hits == (1 if gate.is_ours else 10)


async def test_g25_a_hold_on_a_new_channel_costs_one_request(gate: Gate) -> None:
    """Pushpin asks again, since it knows nothing of the channel; pushhub has its log."""
    channel, where = fresh(), path()
    async with gate.hold(where, HOLD, f"Grip-Channel: {channel}") as task:
        await asyncio.sleep(2)
        hits = len(gate.origin.at(where))
        await gate.publish(response(channel))
        assert (await task).body == b"pushed"
    assert hits == (1 if gate.is_ours else 2)


# The control endpoint


async def test_g26_a_publish_without_readers_is_fine(gate: Gate) -> None:
    answer = await gate.publish(response(fresh()))
    assert answer.body == b"Published\n"
    accept = {"accept": "application/json"}
    answer = await gate.post("/publish/", {"items": [response(fresh())]}, accept)
    assert answer.json()["message"] == "Published"


async def test_g27_recover_asks_again_for_holds_with_a_prev_id(gate: Gate) -> None:
    channel, where = fresh(), path()
    target = script(where, HOLD, f"Grip-Channel: {channel}; prev-id=1", again={"body": "now"})
    async with gate.stream(path(), f"Grip-Channel: {channel}"):
        await gate.publish(response(channel, id_="1"))
        async with gate.asking(target, where) as task:
            answer = await gate.post("/recover", b"")
            assert (answer.status, answer.body) == (200, b"Updated\n")
            assert (await task).body == b"now"


async def test_g28_an_error_can_be_held(gate: Gate) -> None:
    told = await gate.ask(
        script(path(), HOLD, f"Grip-Channel: {fresh()}", "Grip-Timeout: 1", status=500, body="no")
    )
    assert (told.status, told.body) == (500, b"no")
    assert told.seconds > 3.9


async def test_g29_cross_origin_headers_are_the_origins(gate: Gate) -> None:
    """Pushpin's `aco` and JSONP are off here too: who wants CORS says so in the origin."""
    channel, lines = fresh(), ["Access-Control-Allow-Origin: https://a.example"]
    async with gate.hold(path(), HOLD, f"Grip-Channel: {channel}", *lines) as task:
        await gate.publish(response(channel))
        told = await task
    assert told.headers["access-control-allow-origin"] == "https://a.example"
    where = path()
    await gate.ask(script(where), "OPTIONS", {"origin": "https://a.example"})
    assert gate.origin.at(where)[0].method == "OPTIONS"


GOOD: dict[str, Any] = {"http-response": {"body": "x"}}
REFUSED: list[Any] = [
    b"no json",
    {},
    {"items": "x"},
    {"items": [{**GOOD}]},
    {"items": [{"channel": "a"}]},
    {"items": [{"channel": "a", "id": 1, **GOOD}]},
    {"items": [{"channel": "a", "http-response": {}}]},
    {"items": [{"channel": "a", "http-response": {"action": "dance"}}]},
    {"items": [{"channel": "a", **GOOD}, {"channel": "b"}]},
    {"items": [{"channel": "a", "http-stream": {}}]},
    {"items": [{"channel": "a", "meta": {"a": 1}, **GOOD}]},
    {"items": [{"channel": "a", "no-seq": 1, **GOOD}]},
]


@pytest.mark.parametrize("document", REFUSED, ids=str)
async def test_g30_what_is_no_publish_is_refused(gate: Gate, document: Any) -> None:
    answer = await gate.post("/publish/", document)
    assert answer.status == 400
    if gate.is_ours:
        assert answer.problem == "bad-body"


async def test_g30_a_status_that_is_none(gate: Gate) -> None:
    """Pushpin takes it for a 0."""
    answer = await gate.post("/publish/", {"items": [response("a", code="y")]})
    assert answer.status == (400 if gate.is_ours else 200)


async def test_g30_a_bad_item_stops_the_batch_and_is_named(gate: Gate) -> None:
    channel = fresh()
    async with gate.hold(
        path(), HOLD, f"Grip-Channel: {channel}", "Grip-Timeout: 1", body="nothing"
    ) as task:
        answer = await gate.post("/publish/", {"items": [response(channel), {"channel": "b"}]})
        assert answer.status == 400
        if gate.is_ours:
            assert answer.json()["item"] == 1
        assert (await task).body == b"nothing"


async def test_g30_the_rest_of_the_table(gate: Gate) -> None:
    assert (await gate.post("/publish/", {"items": []})).status == 200
    answer = await gate.post("/publish/", b"", method="GET")
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]
    answer = await gate.post("/publish/", {"items": []}, {"accept": "image/png"})
    assert answer.status == 406
    assert (await gate.post("/elsewhere", {"items": []})).status == 404


async def test_g30_a_body_that_is_too_large(gate: Gate) -> None:
    """Pushpin's bound is 1,000,000 bytes, and its status 400."""
    body = b'{"items":[]' + b" " * 5_000_000 + b"}"
    assert (await gate.post("/publish/", body)).status == (413 if gate.is_ours else 400)


@pytest.mark.parametrize("where", ["/publish", "/publish/", "//publish/"])
async def test_g31_formats_stand_flat_or_nested(gate: Gate, where: str) -> None:
    channel = fresh()
    async with gate.hold(path(), HOLD, f"Grip-Channel: {channel}") as task:
        flat = {"channel": channel, "http-response": {"body": "flat"}}
        answer = await gate.post(where, {"items": [flat]})
        if where == "//publish/" and not gate.is_ours:
            # Pushpin 1.36 does not know this one.
            assert answer.status == 404
            return
        assert answer.status == 200
        assert (await task).body == b"flat"


async def test_g31_a_publisher_may_sign(gate: Gate) -> None:
    token = jwt.encode({"iss": "me", "exp": int(time.time()) + 60}, KEY, algorithm="HS256")
    for credential in (f"Bearer {token}", "Basic " + base64.b64encode(b"u:p").decode()):
        answer = await gate.post("/publish/", {"items": []}, {"authorization": credential})
        assert answer.status == 200


async def test_g32_a_header_may_be_pushed_twice(gate: Gate) -> None:
    channel, cookies = fresh(), [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]]
    async with gate.hold(path(), HOLD, f"Grip-Channel: {channel}") as task:
        await gate.publish(response(channel, headers=cookies))
        assert (await task).headers["set-cookie"] == "a=1, b=2"
