"""Identical holds cost one request, and sharing one never gives anybody what is not theirs."""

import asyncio
import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pushhub.auth.api_keys import new_secret, secret_hash
from tests.origin.apis import Api
from tests.origin.grip.test_bad import SECRET
from tests.origin.scripted import Wire, get
from tests.peers.gate import Gate, chunk, control_of, fresh, response
from tests.peers.origin import Origin, script, scripted_origin
from tests.ports import free_port
from tests.serving import Server, serve
from tests.wire import Client

HOLD = "Grip-Hold: response"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with scripted_origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def server(origin: Origin) -> Iterator[Server]:
    routes: list[dict[str, Any]] = [
        {"path": "/public/*", "step": "grip", "identity": []},
        {"path": "/near/*", "step": "grip", "share_addresses": True},
        {"path": "/named/*", "share_addresses": True, "vary": ["x-real-ip"]},
    ]
    address = f"http://127.0.0.1:{origin.port}"
    given: dict[str, Any] = {"routes": routes, "grip_key": SECRET, "control": "127.0.0.1:0"}
    with serve(origin=address, **given) as server:
        yield server


@pytest.fixture
def gate(server: Server, origin: Origin) -> Gate:
    return Gate("pushhub", origin, server.port, control_of(server))


def where() -> str:
    return "/" + fresh("p")


async def burst(gate: Gate, target: str, count: int = 5, **more: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(gate.ask(target, **more)) for _ in range(count)]


async def test_the_first_crowd_of_all_costs_one_request(gate: Gate) -> None:
    channel, path = fresh(), where()
    tasks = await burst(gate, script(path, HOLD, f"Grip-Channel: {channel}", delay=0.3), 20)
    await gate.parked(20)
    assert len(gate.origin.at(path)) == 1
    await gate.publish(response(channel, "all"))
    assert [(await task).body for task in tasks] == [b"all"] * 20


async def test_what_is_not_held_is_each_ones_own_and_late_once_at_most(gate: Gate) -> None:
    path = where()
    # Whoever waits for another's answer waits for it, and then for its own; but for no third.
    delay = 2.0
    target = script(path, body="plain", delay=delay)
    slow = [(await task).seconds for task in await burst(gate, target)]
    assert len(gate.origin.at(path)) == 5
    assert max(slow) < 3 * delay
    soon = [(await task).seconds for task in await burst(gate, target)]
    assert len(gate.origin.at(path)) == 10
    assert max(soon) < 2 * delay


async def test_a_hanging_request_blocks_no_other(gate: Gate) -> None:
    channel, path = fresh(), where()
    again = {"h": [HOLD, f"Grip-Channel: {channel}"]}
    target = script(path, again=again, body="late", delay=6)
    first = asyncio.create_task(gate.ask(target))
    await asyncio.to_thread(gate.origin.wait, path)
    others = await burst(gate, target, 2)
    await asyncio.to_thread(gate.origin.wait, path, 2)
    await asyncio.sleep(0.5)
    await gate.publish(response(channel, "news"))
    assert [(await task).body for task in others] == [b"news"] * 2
    assert not first.done()
    assert (await first).body == b"late"


async def test_a_client_receives_an_item_once(gate: Gate) -> None:
    """The same request immediately after a response shares no hold from before that item."""
    channel, path = fresh(), where()
    target = script(path, HOLD, f"Grip-Channel: {channel}")
    for number in range(3):
        async with gate.asking(target, path, number + 1) as task:
            assert not task.done()
            await gate.publish(response(channel, f"item {number}"))
            assert (await task).body == f"item {number}".encode()


async def test_a_hint_a_moment_after_the_question_asks_again(gate: Gate) -> None:
    channel, path = fresh(), where()
    target = script(path, HOLD, f"Grip-Channel: {channel}", body="old", again={"body": "new"})
    async with gate.asking(target, path) as task:
        await gate.publish(response(channel, action="hint"))
        assert (await task).body == b"new"
    assert len(gate.origin.at(path)) == 2


@pytest.mark.parametrize("line", ["Set-Cookie: sid=1", "Cache-Control: private", "Vary: *"])
async def test_what_is_for_one_client_holds_one_client(gate: Gate, line: str) -> None:
    channel, path = fresh(), where()
    tasks = await burst(gate, script(path, HOLD, f"Grip-Channel: {channel}", line, delay=0.2), 3)
    await asyncio.to_thread(gate.origin.wait, path, 3)
    await asyncio.sleep(0.5)
    await gate.publish(response(channel, "all"))
    assert [(await task).body for task in tasks] == [b"all"] * 3


async def test_a_request_for_all_names_no_client(gate: Gate, server: Server) -> None:
    """Also not by the headers of a proxy that knows the user."""
    channel, path = fresh(), "/public" + where()
    target = script(path, HOLD, f"Grip-Channel: {channel}", again={"body": "new"})
    client = {
        "cookie": "sid=secret",
        "authorization": "Bearer secret",
        "cf-access-jwt-assertion": "secret",
        "x-amzn-oidc-data": "secret",
        "x-forwarded-for": "192.0.2.7",
        "user-agent": "secret",
        "te": "trailers",
        "accept-language": "de",
    }
    task = asyncio.create_task(gate.ask(target, headers=client))
    await asyncio.to_thread(gate.origin.wait, path)
    await gate.parked(1)
    await gate.publish(response(channel, action="hint"))
    assert (await task).body == b"new"
    hits = gate.origin.at(path)
    assert len(hits) == 2
    for hit in hits:
        text = str(hit).lower()
        assert "secret" not in text
        assert "192.0.2.7" not in text
        assert "trailers" not in text
        assert "accept-language" in text
    assert "identity = []" in str(server.output)


async def test_where_all_are_the_same_what_makes_another_answer_counts(gate: Gate) -> None:
    channel, path = fresh(), "/public" + where()
    target = script(path, HOLD, f"Grip-Channel: {channel}")
    same = [{}, {"cookie": "a=1"}, {"user-agent": "x"}, {"authorization": "b"}]
    others = [{"accept-encoding": "gzip"}, {"x-original-url": "/evil"}, {"accept-language": "de"}]
    tasks = [asyncio.create_task(gate.ask(target, headers=one)) for one in (*same, *others)]
    await gate.parked(len(tasks))
    assert len(gate.origin.at(path)) == 4
    await gate.publish(response(channel, "all"))
    assert [(await task).body for task in tasks] == [b"all"] * 7


# As proxies of many kinds send it.
WAYS = [
    {"x-forwarded-for": "203.0.113.7"},
    {"x-forwarded-for": "203.0.113.8, 2001:db8::7"},
    {"x-real-ip": "2001:db8::8", "x-request-id": "7f-9", "cf-ray": "230b030023ae2822-SJC"},
    {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    {"x-amzn-trace-id": "Root=1-67891233-abcdef012345678912345678"},
]


async def hits(gate: Gate, path: str, requests: list[dict[str, str]]) -> int:
    """How many requests to the origin all of these cost that come at one time, and are held."""
    channel = fresh()
    target = script(path, HOLD, f"Grip-Channel: {channel}", delay=0.3)
    tasks = [asyncio.create_task(gate.ask(target, headers=headers)) for headers in requests]
    await gate.parked(len(tasks))
    await gate.publish(response(channel, "all"))
    assert [(await task).body for task in tasks] == [b"all"] * len(tasks)
    return len(gate.origin.at(path))


async def test_where_the_route_says_so_clients_share_whatever_their_addresses(gate: Gate) -> None:
    path = "/near" + where()
    assert await hits(gate, path, WAYS) == 1
    # The origin is told of one of them, as ever.
    (hit,) = gate.origin.at(path)
    assert hit.all("x-forwarded-for")


async def test_clients_of_different_addresses_share(gate: Gate) -> None:
    channel, path = fresh(), "/near" + where()
    target = script(path, HOLD, f"Grip-Channel: {channel}", delay=0.3)
    wires = []
    for last in (1, 2, 3):
        local = (f"127.0.0.{last}", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", gate.port, local_addr=local)
        wires.append(Wire(reader, writer))
        writer.write(get(target))
    await gate.parked(len(wires))
    await gate.publish(response(channel, "all"))
    for wire in wires:
        assert b" 200 " in await wire.head()
        assert await wire.exactly(3) == b"all"
        wire.writer.close()
    assert len(gate.origin.at(path)) == 1


async def test_by_default_an_address_makes_another_request(gate: Gate) -> None:
    assert await hits(gate, where(), WAYS) == len(WAYS)


@pytest.mark.parametrize(
    "more",
    [
        {"cookie": "a=1"},
        {"authorization": "Bearer a"},
        {"x-api-key": "a"},
        {"cf-access-jwt-assertion": "a.b.c"},
        {"x-amzn-oidc-data": "a.b.c"},
        {"cf-ipcountry": "DE"},
        {"user-agent": "another"},
        {"x-forwarded-host": "tenant-b.example"},
        {"x-original-url": "/evil"},
        {"if-none-match": '"1"'},
        {"x-forwarded-for": "<script>"},
        {"x-request-id": 'a"b'},
    ],
)
async def test_beside_the_address_everything_counts(gate: Gate, more: dict[str, str]) -> None:
    path = "/near" + where()
    assert await hits(gate, path, [{"x-forwarded-for": "203.0.113.7"}, more]) == 2


async def test_the_addresses_of_forwarded_are_addresses_too(gate: Gate) -> None:
    ways = [
        {"forwarded": "for=192.0.2.1;host=a.example;proto=https"},
        {"forwarded": 'for="[2001:db8::1]:4711";host=a.example;proto=https'},
    ]
    assert await hits(gate, "/near" + where(), ways) == 1


@pytest.mark.parametrize("hop", ["for=192.0.2.{};host={}.example", 'for="_{};host={}.example"'])
@pytest.mark.parametrize("kind", ["/near", "/public"])
async def test_another_host_in_forwarded_is_another_request(
    gate: Gate, kind: str, hop: str
) -> None:
    """An origin may build its links from it; and not every one knows what quotes are."""
    ways = [{"forwarded": hop.format(n, n)} for n in (1, 2)]
    assert await hits(gate, kind + where(), ways) == 2


async def test_an_address_that_the_route_names_counts(gate: Gate) -> None:
    ways = [{"x-real-ip": "192.0.2.1"}, {"x-real-ip": "192.0.2.2"}]
    assert await hits(gate, "/named" + where(), ways) == 2


async def test_an_answer_that_varies_by_address_is_for_one(gate: Gate) -> None:
    channel, path = fresh(), "/near" + where()
    lines = (HOLD, f"Grip-Channel: {channel}", "Vary: X-Forwarded-For")
    target = script(path, *lines, delay=0.2)
    tasks = [asyncio.create_task(gate.ask(target, headers=headers)) for headers in WAYS[:2]]
    await asyncio.to_thread(gate.origin.wait, path, 2)
    await asyncio.sleep(0.5)
    await gate.publish(response(channel, "all"))
    assert [(await task).body for task in tasks] == [b"all"] * 2


async def test_a_get_with_a_body_is_shared_with_nobody(gate: Gate) -> None:
    """In chunks it has no header that would tell it from one without."""
    api = Api()
    await api.start()
    api.gate.clear()
    with serve(origin=api.url) as server:
        async with await Wire.to(server.port) as one, await Wire.to(server.port) as two:
            one.send(get("/x", "Transfer-Encoding: chunked") + b"1\r\n{\r\n0\r\n\r\n")
            await api.reached(1)
            two.send(get("/x"))
            await api.reached(2, seconds=1.5)
            api.gate.set()
            assert b" 404 " in await one.head()
            assert b" 404 " in await two.head()
    await api.stop()


async def test_head_is_as_long_as_the_origin_says(gate: Gate, server: Server) -> None:
    path = where()
    for lines in ((HOLD, "Grip-Channel: a"), ("Grip-Link: </next>; rel=next",)):
        target = script(path, *lines, "Grip-Status: 203 Mine", "X-A: 1", body="12345")
        told = await gate.ask(target, "HEAD")
        assert (told.status, told.body) == (203, b"")
        assert (told.headers["content-length"], told.headers["x-a"]) == ("5", "1")
        assert not any(name.startswith("grip") for name in told.headers)
    document = '{"response": {"code": 201, "body": "x"}, "hold": {"channels": [{"name": "a"}]}}'
    lines = ("Content-Type: application/grip-instruct", "X-A: 2")
    told = await gate.ask(script(path, *lines, body=document), "HEAD")
    assert (told.status, told.headers["x-a"]) == (200, "2")
    assert not {"content-type", "content-length"} & set(told.headers)
    assert (await gate.ask(script(path, "Grip-Hold: nonsense"), "HEAD")).status == 502
    # Nothing was left on the connection to the origin.
    async with await server.connect() as client:
        assert (await client.ask("HEAD", script(path, HOLD, body="x"))).status == 200
        assert (await client.ask("GET", script(path, body="after"))).body == b"after"


async def test_what_a_client_says_with_underscores_is_taken_off_too(gate: Gate) -> None:
    path = where()
    await gate.ask(script(path), headers={"Grip_Last": "a; last-id=1", "grip_sig": "x"})
    (hit,) = gate.origin.at(path)
    assert not hit.all("grip_last") + hit.all("grip_sig")


@pytest.mark.parametrize(
    "document",
    [
        '{"hold": {"channels": [{"name": "a", "prev-id": "1\\r\\nX-Evil: 1"}]}}',
        '{"response": {"reason": "OK\\r\\nX-Evil: 1"}, "hold": {"channels": []}}',
    ],
)
async def test_a_document_puts_no_lines_into_heads(gate: Gate, document: str) -> None:
    """JSON escapes what would end a line, so an origin may well put a client's words into one."""
    path = where()
    told = await gate.ask(script(path, "Content-Type: application/grip-instruct", body=document))
    assert told.status == 502
    assert "x-evil" not in told.headers
    assert not any(hit.all("x-evil") for hit in gate.origin.at(path))


async def test_clients_that_stop_reading_and_go_leave_nothing_behind(origin: Origin) -> None:
    """Their responses were being read from the origin, which keeps one connection for each."""
    address = f"http://127.0.0.1:{origin.port}"
    with serve(origin=address, origin_connections=2, origin_connect_seconds=5) as server:
        gate = Gate("pushhub", origin, server.port, server.port)
        for _ in range(3):
            path, gone = where(), where()
            lines = (
                "Grip-Hold: stream",
                f"Grip-Channel: {fresh()}",
                f"Grip-Link: <{gone}>; rel=gone",
            )
            async with await Client.connect(server.port) as client:
                client.send("GET", script(path, *lines, size=20_000_000))
                await client.head()
                await asyncio.sleep(0.5)
            (hit,) = await asyncio.to_thread(origin.wait, gone)
            assert hit.method == "POST"
        assert (await gate.ask(script(where(), body="free"))).body == b"free"


async def test_links_that_give_nothing_are_not_followed_as_fast_as_they_answer() -> None:
    async with Api.running() as api:
        api.set("/loop", "", headers=[("Grip-Link", "</loop>; rel=next")])
        with serve(origin=api.url) as server:
            async with await server.connect() as client:
                client.send("GET", "/loop")
                await api.reached(3)
                await asyncio.sleep(2)
            assert api.count() <= 6


async def test_an_api_key_is_the_password_of_a_publisher(origin: Origin) -> None:
    secret = new_secret()
    key = {"name": "ops", "sha256": secret_hash(secret), "publish": ["mine:*"]}
    address = f"http://127.0.0.1:{origin.port}"
    with serve(origin=address, dev=False, api_keys=[key]) as server:
        for user, password, channel, status in (
            ("anybody", secret, "mine:a", 200),
            ("", secret, "mine:a", 200),
            ("anybody", secret, "other", 403),
            ("anybody", "wrong", "mine:a", 401),
            (secret, "", "mine:a", 401),
        ):
            credential = base64.b64encode(f"{user}:{password}".encode()).decode()
            items = {"items": [response(channel), chunk(channel, "x")]}
            told = await server.post(
                "/_pushhub/publish/", items, authorization=f"Basic {credential}"
            )
            assert told.status == status, (user, password, channel)


async def test_a_hold_outlives_a_restart_of_its_origin() -> None:
    port = free_port()
    async with Api.running(port) as api:
        channel = fresh()
        lines = [("Grip-Hold", "response"), ("Grip-Channel", channel)]
        api.set("/pushed", "old", headers=lines)
        api.set("/hinted", "old", headers=lines)
        with serve(origin=f"http://127.0.0.1:{port}", control="127.0.0.1:0") as server:
            control = control_of(server)
            gate = Gate("pushhub", Origin(port), server.port, control)
            pushed = asyncio.create_task(gate.ask("/pushed"))
            await gate.parked(1)
            await api.stop()
            # What is published reaches it without its origin.
            await gate.publish(response(channel, "pushed"))
            assert (await pushed).body == b"pushed"
            await api.start()
            hinted = await burst(gate, "/hinted", 3)
            await gate.parked(3)
            await api.stop()
            await gate.publish(response(channel, action="hint"))
            await asyncio.sleep(0.5)
            assert not any(task.done() for task in hinted)
            api.set("/hinted", "new")
            await api.start()
            assert [(await task).body for task in hinted] == [b"new"] * 3


async def test_a_drain_answers_a_thousand_holds_completely(origin: Origin) -> None:
    """Some wait, some are being asked for again by an origin that says nothing."""
    address = f"http://127.0.0.1:{origin.port}"
    with serve(origin=address, control="127.0.0.1:0", drain_seconds=2) as server:
        gate = Gate("pushhub", origin, server.port, control_of(server))
        channel, path, mute = fresh(), where(), where()
        held = script(path, HOLD, f"Grip-Channel: {fresh()}", body="nothing")
        asked = script(mute, HOLD, f"Grip-Channel: {channel}", body="nothing", again={"delay": 30})
        clients = [await server.connect() for _ in range(1000)]
        for number, client in enumerate(clients):
            client.send("GET", held if number % 10 else asked)
        end = time.monotonic() + 20
        while b"pushhub_holds 1000\n" not in (await server.get("/_pushhub/metrics")).body:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
        await gate.publish(response(channel, action="hint"))
        await asyncio.to_thread(origin.wait, mute, 2)
        server.signal()
        for client in clients:
            told = await client.receive(20)
            assert (told.status, told.body) == (200, b"nothing")
            assert told.headers["connection"] == "close"
            client.close()
        assert await server.left() == 0
    assert len(origin.at(path)) <= 3
