"""Bad origins, bad publishers and bad links: a clear answer, and nobody else disturbed."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator

import jwt
import pytest

from tests.peers.gate import KEY, Gate, chunk, control_of, fresh, response
from tests.peers.origin import Origin, script, scripted_origin
from tests.serving import Server, serve
from tests.wire import Client

HOLD = "Grip-Hold: response"
SECRET = "base64:" + base64.b64encode(KEY).decode()


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with scripted_origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def server(origin: Origin) -> Iterator[Server]:
    address = f"http://127.0.0.1:{origin.port}"
    with serve(origin=address, grip_key=SECRET, control="127.0.0.1:0") as server:
        yield server


@pytest.fixture
def gate(server: Server, origin: Origin) -> Gate:
    return Gate("pushhub", origin, server.port, control_of(server))


def where() -> str:
    return "/" + fresh("p")


@pytest.mark.parametrize(
    "link", ["http://127.0.0.1:1/x", "//127.0.0.1:1/x", "https://{own}/x", "ftp://{own}/x"]
)
async def test_a_next_link_leads_to_the_routes_own_origin_only(gate: Gate, link: str) -> None:
    """Not to the addresses that only this machine can reach (CWE-918)."""
    uri = link.replace("{own}", f"127.0.0.1:{gate.origin.port}")
    told = await gate.ask(script(where(), f"Grip-Link: <{uri}>; rel=next", body="begun"))
    assert (told.status, told.body) == (200, b"begun")


async def test_a_next_link_may_name_its_origin(gate: Gate) -> None:
    for host in (f"127.0.0.1:{gate.origin.port}", "127.0.0.1"):
        # The second is the Host that the client asked for.
        link = f"Grip-Link: <http://{host}{script('/' + fresh('n'), body='more')}>; rel=next"
        assert (await gate.ask(script(where(), link, body="begun,"))).body == b"begun,more"


async def test_a_next_link_is_asked_as_the_client_is(gate: Gate) -> None:
    """With who asks, without what was about the first answer alone."""
    second = where()
    link = f"Grip-Link: <{script(second, body='x')}>; rel=next"
    headers = {
        "cookie": "a=1",
        "authorization": "Bearer t",
        "if-none-match": '"1"',
        "range": "bytes=0-",
    }
    await gate.ask(script(where(), link), headers=headers)
    (hit,) = gate.origin.at(second)
    assert (hit.all("cookie"), hit.all("authorization")) == (["a=1"], ["Bearer t"])
    assert hit.all("if-none-match") == hit.all("range") == []
    assert hit.all("grip-sig")


async def test_a_hint_on_a_stream_follows_its_link(gate: Gate) -> None:
    channel, second = fresh(), where()
    target = script(second, "Grip-Hold: stream", f"Grip-Channel: {channel}", body="filled,")
    link = f"Grip-Link: <{target}>; rel=next"
    async with gate.stream(where(), f"Grip-Channel: {channel}", link, body="open,") as stream:
        assert await stream.read(5) == b"open,"
        await gate.publish(chunk(channel, action="hint"))
        assert await stream.read(7) == b"filled,"
        await gate.publish(chunk(channel, "on"))
        assert await stream.read(2) == b"on"


async def test_a_gap_in_a_stream_is_filled_by_its_link(gate: Gate) -> None:
    channel, second = fresh(), where()
    again = f"Grip-Channel: {channel}; prev-id=3"
    target = script(second, "Grip-Hold: stream", again, "Grip-Link: </n>; rel=next", body="2,3,")
    lines = [f"Grip-Channel: {channel}; prev-id=1", f"Grip-Link: <{target}>; rel=next"]
    await gate.publish(chunk(channel, id_="1"))
    async with gate.stream(where(), *lines, body="1,") as stream:
        assert await stream.read(2) == b"1,"
        begun = time.monotonic()
        await gate.publish(chunk(channel, "3,", id_="3", prev_id_="2"))
        assert await stream.read(4) == b"2,3,"
        assert time.monotonic() - begun < 8
        await gate.publish(chunk(channel, "4,", id_="4", prev_id_="3"))
        assert await stream.read(2) == b"4,"
    assert gate.origin.at(second)[0].all("grip-last") == [f"{channel}; last-id=1"]


async def test_an_idle_stream_follows_its_link_in_time(gate: Gate) -> None:
    second = where()
    link = f"Grip-Link: <{script(second, body='end')}>; rel=next; timeout=1"
    async with gate.stream(where(), f"Grip-Channel: {fresh()}", link, body="open,") as stream:
        assert await stream.rest() == b"open,end"


async def test_the_gone_link_notifies_the_origin_of_a_disconnect(gate: Gate) -> None:
    for mode in ("response", "stream"):
        first, gone = where(), where()
        client = await Client.connect(gate.port)
        lines = [f"Grip-Hold: {mode}", f"Grip-Channel: {fresh()}", f"Grip-Link: <{gone}>; rel=gone"]
        client.send("GET", script(first, *lines, body="x"))
        await asyncio.to_thread(gate.origin.wait, first)
        # It has a hold, or the head of a stream: what the origin said of it has been read.
        if mode == "response":
            await gate.parked(1)
        else:
            await client.head()
        await client.leave()
        (hit,) = await asyncio.to_thread(gate.origin.wait, gone)
        assert (hit.method, hit.body) == ("POST", b"")
        # Many an origin knows no chunks, and would take what is left of them for another request.
        assert (hit.all("content-length"), hit.all("transfer-encoding")) == (["0"], [])


async def test_a_post_is_not_sent_twice(gate: Gate) -> None:
    """A hint ends its hold with what there is; asking again is the client's to decide."""
    channel, path = fresh(), where()
    async with gate.hold(
        path, HOLD, f"Grip-Channel: {channel}", method="POST", body="held"
    ) as task:
        await gate.publish(response(channel, action="hint"))
        assert (await task).body == b"held"
    assert len(gate.origin.at(path)) == 1


async def test_an_origin_that_hints_for_ever_is_not_asked_for_ever(gate: Gate) -> None:
    channel, path = fresh(), where()
    await gate.publish(response(channel, id_="2"))
    await asyncio.sleep(0.05)
    lines = (HOLD, f"Grip-Channel: {channel}; prev-id=1", "Grip-Timeout: 5")
    told = await gate.ask(script(path, *lines, body="nothing"))
    assert told.body == b"nothing"
    # Once more, and then it is believed.
    assert len(gate.origin.at(path)) == 2


async def test_identities_share_nothing(gate: Gate) -> None:
    channel, path = fresh(), where()
    target = script(path, HOLD, f"Grip-Channel: {channel}", delay=0.2)
    headers = [{}, {}, {"cookie": "a=1"}, {"authorization": "x"}, {"accept": "text/html"}]
    tasks = [asyncio.create_task(gate.ask(target, headers=one)) for one in headers]
    await asyncio.to_thread(gate.origin.wait, path, 4)
    await asyncio.sleep(0.5)
    assert len(gate.origin.at(path)) == 4
    await gate.publish(response(channel, "all"))
    assert [(await task).body for task in tasks] == [b"all"] * 5


async def test_a_publisher_that_signs_badly_is_refused(origin: Origin) -> None:
    address = f"http://127.0.0.1:{origin.port}"
    key = {"name": "ops", "sha256": "0" * 64, "publish": ["*"]}
    with serve(origin=address, grip_key=SECRET, dev=False, api_keys=[key]) as server:
        now = int(time.time())
        good = jwt.encode({"iss": "me", "exp": now + 60}, KEY, algorithm="HS256")
        late = jwt.encode({"iss": "me", "exp": now - 60}, KEY, algorithm="HS256")
        other = jwt.encode({"exp": now + 60}, b"x" * 32, algorithm="HS256")
        body = json.dumps({"items": [response("a")]}).encode()
        own = jwt.encode({"iss": "pushhub", "exp": now + 60}, KEY, algorithm="HS256")
        cases = ((good, 200), (late, 401), (other, 401), ("junk", 401), (own, 401))
        for credential, status in cases:
            headers = {"authorization": f"Bearer {credential}"}
            answer = await server.ask("POST", "/_pushhub/publish/", headers, body)
            assert answer.status == status, credential
        assert (await server.ask("POST", "/_pushhub/publish/", {}, body)).status == 401
        refused = await server.ask(
            "POST", "/_pushhub/publish/", {"authorization": f"Bearer {own}"}, body
        )
        assert "grip_issuer" in refused.json()["detail"]
        assert "grip_key" in refused.json()["detail"]


async def test_a_publish_says_who_waited_and_what_was_there_before(gate: Gate) -> None:
    channel = fresh()
    async with gate.hold(where(), HOLD, f"Grip-Channel: {channel}") as task:
        await gate.parked(1)
        item = response(channel, id_="1")
        accept = {"accept": "application/json"}
        told = (await gate.post("/publish/", {"items": [item]}, accept)).json()
        assert told["items"] == [{"channel": channel, "receivers": 1, "duplicate": False}]
        assert (told["receivers"], told["counted"]) == (1, "all")
        await task
    answer = await gate.post("/publish/", {"items": [item]}, accept)
    assert answer.json()["items"][0]["duplicate"] is True
    assert answer.headers["grip-receivers"] == "0"


async def test_what_other_faces_publish_reaches_a_hold(gate: Gate) -> None:
    """A GRIP channel is a channel of the hub, and the other way round."""
    channel = fresh()
    async with gate.hold(where(), HOLD, f"Grip-Channel: {channel}") as task:
        await gate.post(f"/v1/channels/{channel}/events", {"n": 1})
        told = await task
    assert (told.headers["content-type"], told.response.json()) == ("application/json", {"n": 1})


async def test_a_drain_completes_every_hold(origin: Origin) -> None:
    address = f"http://127.0.0.1:{origin.port}"
    with serve(origin=address) as server:
        gate = Gate("pushhub", origin, server.port, server.port)
        async with gate.hold(where(), HOLD, f"Grip-Channel: {fresh()}", body="nothing") as task:
            server.signal()
            told = await task
            assert (told.status, told.body) == (200, b"nothing")
            assert told.headers["connection"] == "close"
        assert await server.left() == 0


async def test_a_stream_goes_on_under_any_asgi_server(origin: Origin) -> None:
    """There each step is let go of when it is over."""
    with serve("asgi", origin=f"http://127.0.0.1:{origin.port}") as server:
        channel = fresh()
        async with Gate("pushhub", origin, server.port, server.port).stream(
            where(), f"Grip-Channel: {channel}", body="open,"
        ) as stream:
            assert await stream.read(5) == b"open,"
            await asyncio.sleep(0.2)
            for text in ("one,", "two"):
                items = {"items": [chunk(channel, text)]}
                assert (await server.post("/_pushhub/publish/", items)).status == 200
            assert await stream.read(7) == b"one,two"


async def test_an_origin_that_repeats_a_mistake_does_not_fill_the_log(origin: Origin) -> None:
    address = f"http://127.0.0.1:{origin.port}"
    with serve(origin=address, grip_key=SECRET, control="127.0.0.1:0") as server:
        gate = Gate("pushhub", origin, server.port, control_of(server))
        path = script(where(), "Grip-Hold: nonsense")
        for _ in range(50):
            assert (await gate.ask(path)).status == 502
    await asyncio.to_thread(server.output.ended, 10)
    lines = [json.loads(line) for line in str(server.output).splitlines() if "grip.refused" in line]
    assert [line["count"] for line in lines] == [1, 49]
    assert "Grip-Hold" in lines[0]["why"]
