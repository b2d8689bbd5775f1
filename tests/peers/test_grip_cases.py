"""The cases G1 to G32 of GRIP, on a real Pushpin and on pushhub, through one scripted origin.

Where the two differ, the test says what each of them does; docs/grip.md says why. Those that
wait for a timeout are in test_grip_waits.py.
"""

import asyncio
import base64
import time
from typing import Any

import jwt
import pytest

from tests.peers.gate import KEY, SECONDS, Gate, chunk, fresh, response
from tests.peers.origin import script
from tests.wire import Client

HOLD = "Grip-Hold: response"
# Less than Pushpin waits for an item that is missing (5 s), and than any hold lasts.
AT_ONCE = 4.5


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
    await gate.registered(where)
    await gate.publish(response(channel, code=299, reason="Quite Fine"))
    line = await asyncio.wait_for(client.reader.readline(), SECONDS)
    assert line == b"HTTP/1.1 299 Quite Fine\r\n"
    client.close()


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
    assert told.seconds < AT_ONCE
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
    assert told.seconds < AT_ONCE
    assert told.body == b"from the origin"
    assert gate.origin.at(where)[1].all("grip-last") == [f"{channel}; last-id=1"]


async def test_g11_a_hint_has_the_origin_asked_again(gate: Gate) -> None:
    channel, where = fresh(), path()
    target = script(where, HOLD, f"Grip-Channel: {channel}; prev-id=1", again={"body": "news"})
    async with gate.stream(path(), f"Grip-Channel: {channel}"):
        await gate.publish(response(channel, id_="1"))
        async with gate.asking(target, where) as task:
            begun = time.monotonic()
            await gate.publish(response(channel, action="hint", id_="2", prev_id_="1"))
            told = await task
            assert time.monotonic() - begun < AT_ONCE
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


# What the timeout answers


async def test_g17_a_post_is_held_too(gate: Gate) -> None:
    channel = fresh()
    async with gate.hold(path(), HOLD, f"Grip-Channel: {channel}", method="POST") as task:
        await gate.publish(response(channel))
        assert (await task).body == b"pushed"


@pytest.mark.parametrize(
    "lines", [["Grip-Hold: maybe"], [HOLD, "Grip-Channel: a", "Grip-Timeout: soon"]]
)
async def test_g19_a_bad_instruct_is_a_bad_gateway(gate: Gate, lines: list[str]) -> None:
    told = await gate.ask(script(path(), *lines, body="secret"))
    assert told.status == 502
    assert b"secret" not in told.body


# Streams


async def test_g21_a_next_link_goes_on_with_the_body(gate: Gate) -> None:
    second = path()
    link = f"Grip-Link: <{script(second, body='two')}>; rel=next"
    told = await gate.ask(script(path(), link, body="one,"))
    assert told.body == b"one,two"
    assert len(gate.origin.at(second)) == 1


async def test_g21_a_next_link_may_end_in_a_hold(gate: Gate) -> None:
    channel, first, second = fresh(), path(), path()
    target = script(second, "Grip-Hold: stream", f"Grip-Channel: {channel}", body="two,")
    client = await Client.connect(gate.port)
    client.send("GET", script(first, f"Grip-Link: <{target}>; rel=next", body="one,"))
    await client.head()
    pieces = client.pieces()
    body = b""
    while len(body) < 8:
        body += await asyncio.wait_for(anext(pieces), SECONDS)
    assert body == b"one,two,"
    await gate.registered(first)
    await gate.publish(chunk(channel, "three"))
    assert await asyncio.wait_for(anext(pieces), SECONDS) == b"three"
    client.close()


async def test_g23_a_stream_is_closed_properly(gate: Gate) -> None:
    channel = fresh()
    async with gate.stream(path(), f"Grip-Channel: {channel}", body="open,") as stream:
        await gate.publish(chunk(channel, "more"))
        await gate.publish(chunk(channel, action="close"))
        assert await stream.rest() == b"open,more"


# What a hold costs the origin


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
