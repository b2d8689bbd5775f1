"""Limits that an operator sets: each refuses one client with a 429 that says when to return, and
leaves all others alone. Addresses are forged by a trusted proxy.
"""

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from pushhub.auth.api_keys import new_secret, secret_hash
from pushhub.http.byte_budget import ByteBudget
from pushhub.http.problem import Problem
from pushhub.origin.tunnels import Tunnels
from tests.arch.sources import PACKAGE
from tests.serving import SOON, Server, events_of, fresh, serve
from tests.wire import Client, Response

PROXY = ["127.0.0.1/32"]
SECRET = "a secret that is long enough for HS256 of tokens"
KEY = new_secret()
ALICE, BOB = "203.0.113.7", "203.0.113.8"


def hub(driver: str = "front", **limits: dict[str, float]) -> Any:
    named = {name.replace("_", "-"): own for name, own in limits.items()}
    return serve(driver, dev=driver == "front", trusted_proxies=PROXY, limits=named)


def check(response: Response, name: str) -> int:
    """A refusal names its limit, and says when to return; the seconds."""
    assert response.status == 429, response
    problem = response.json()
    assert problem["type"] == "urn:pushhub:problem:too-many-requests"
    assert problem["policy"] == name
    seconds = int(response.headers["retry-after"])
    assert seconds >= 1
    policy, state = response.headers["ratelimit-policy"], response.headers["ratelimit"]
    assert re.fullmatch(rf'"{name}";q=\d+(;w=\d+)?(;qu="[a-z-]+")?', policy)
    assert re.fullmatch(rf'"{name}";r=\d+;t={seconds}', state)
    return seconds


async def limited(server: Server, name: str) -> float:
    return await server.metric(f'pushhub_limited_total{{limit="{name}"}}')


async def test_requests_of_an_address() -> None:
    with hub(address_requests={"rate": 0.01, "burst": 3}) as server:
        async with await server.connect() as client:
            for _ in range(3):
                assert (await client.ask("GET", "/v1/channels/x/events", by(ALICE))).status == 200
            refused = await client.ask("GET", "/v1/channels/x/events", by(ALICE))
            assert 80 < check(refused, "address-requests") < 140
            assert refused.headers.get("connection") != "close"
            # The connection is the proxy's: other users' requests come on it too.
            assert (await client.ask("GET", "/v1/channels/x/events", by(BOB))).status == 200
            page = await client.ask("GET", "/livez", by(ALICE))
            check(page, "address-requests")
        assert await limited(server, "address-requests") == 2
        # The proxy itself is no client.
        for _ in range(5):
            assert (await server.get("/livez")).status == 200


async def test_polls_that_wait_cost_no_request() -> None:
    limits: Any = {"address_requests": {"rate": 0.01, "burst": 3}}
    channel = fresh()
    with hub(**limits) as server:
        cursor = (await server.publish(channel, 0))["cursor"]
        async with await server.connect() as client:
            for number in range(1, 8):
                wait = {**by(ALICE), "prefer": "wait=25"}
                client.send("GET", f"{events_of(channel)}?since={cursor}", wait)
                await server.held(1)
                await server.publish(channel, number)
                response = await client.receive(20)
                assert response.status == 200, response
                cursor = response.json()["cursor"]
        # A client that disconnects, or sends the next request during its wait, pays.
        line = f"GET {events_of(channel)}?since={cursor} HTTP/1.1\r\nHost: localhost\r\n"
        request = f"{line}X-Forwarded-For: {BOB}\r\nPrefer: wait=25\r\n\r\n".encode()
        async with await server.connect() as client:
            for _ in range(2):
                client.writer.write(request)
                await server.held(1)
        await server.held(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        await server.held(1)
        writer.write(request + request)
        assert b" 429 " in await asyncio.wait_for(reader.readuntil(b" 429 "), 20)
        writer.close()


async def test_holds_and_streams_of_an_address() -> None:
    with hub(address_holds={"most": 2}) as server:
        channel = fresh()
        wait = {"prefer": "wait=25"}
        target = events_of(channel) + "?since=now"
        async with (
            server.holding("GET", target, b"", **by(ALICE), **wait) as first,
            server.streaming(target, **by(ALICE)) as stream,
        ):
            await server.held(2)
            check(await server.get(target, **by(ALICE), **wait), "address-holds")
            refused = await server.get(target, accept="text/event-stream", **by(ALICE))
            check(refused, "address-holds")
            many = {"channels": {channel: "now"}, "wait": 25}
            check(await server.post("/v1/poll", many, **by(ALICE)), "address-holds")
            # A plain read, and another address, are not limited.
            assert (await server.get(target, **by(ALICE))).status == 200
            async with server.holding("GET", target, b"", **by(BOB), **wait):
                await server.held(3)
            await server.held(2)
            await server.publish(channel, "news")
            assert (await first).status == 200
            while (event := await stream.next()).data is None:
                pass
            assert "news" in str(event)
            # A hold that has ended counts no more, and a stream counts once.
            async with server.holding("GET", target, b"", **by(ALICE), **wait):
                await server.held(2)
        await server.held(0)


async def test_channels_that_an_address_waits_on() -> None:
    with hub(address_channels={"most": 5}) as server:
        names = [fresh() for _ in range(4)]
        many = {"channels": dict.fromkeys(names, "now"), "wait": 25}

        async def poll(client: Client) -> Response:
            client.send("POST", "/v1/poll", by(ALICE), json.dumps(many).encode())
            return await client.receive(20)

        async with await server.connect() as one:
            waiting = asyncio.create_task(poll(one))
            await server.held(1)
            check(await server.post("/v1/poll", many, **by(ALICE)), "address-channels")
            await server.publish(names[0], 1)
            assert (await waiting).status == 200
            waiting = asyncio.create_task(poll(one))
            await server.held(1)
            await server.publish(names[0], 1)
            await waiting


async def test_publishes_bytes_and_creations_of_an_address() -> None:
    slow: dict[str, Any] = {"rate": 0.01, "burst": 3}
    with hub(address_publishes=slow) as server:
        for _ in range(3):
            await server.publish(fresh(), 1, **by(ALICE))
        refused = await server.post(events_of(fresh()), 1, **by(ALICE))
        check(refused, "address-publishes")
        batch = [{"channel": fresh(), "data": 1}] * 4
        assert (await server.post("/v1/publish", batch, **by(BOB))).status == 200
        check(await server.post("/v1/publish", batch, **by(BOB)), "address-publishes")
        item = {"items": [{"channel": fresh(), "formats": {"http-stream": {"content": "x"}}}]}
        check(await server.post("/publish", item, **by(BOB)), "address-publishes")
    with hub(address_bytes={"rate": 1, "burst": 1000}) as server:
        await server.publish(fresh(), "x" * 800, **by(ALICE))
        check(await server.post(events_of(fresh()), "x" * 800, **by(ALICE)), "address-bytes")
    with hub(address_creations=slow) as server:
        channels = [fresh() for _ in range(4)]
        for channel in channels[:3]:
            await server.publish(channel, 1, **by(ALICE))
        refused = await server.post(events_of(channels[3]), 1, **by(ALICE))
        check(refused, "address-creations")
        assert await server.log(channels[3]) == [], "a refused publish stores nothing"
        await server.publish(channels[0], 2, **by(ALICE))
        first = await server.post(events_of(channels[3]), 1, if_none_match="*", **by(ALICE))
        check(first, "address-creations")
        # Its own condition is still answered as such.
        own = await server.post(events_of(channels[3]), 1, if_match="*", **by(ALICE))
        assert own.status == 412
        both = [{"channels": [channels[0], channels[3]], "data": 3}]
        results = (await server.post("/v1/publish", both, **by(ALICE))).json()["results"]
        assert "cursor" in results[0]
        assert results[1]["error"]["policy"] == "address-creations"


async def test_connections_of_an_address(tmp_path: Path) -> None:
    # Loopback never counts, so this is another address of this machine.
    address = own_address()
    common: dict[str, Any] = {
        **{"dev": False, "public": True, "control": "127.0.0.1:0", "host": "0.0.0.0"},
        "trusted_proxies": ["203.0.113.1/32"],
    }

    async def connect(port: int) -> Client:
        return Client(*await asyncio.open_connection(address, port))

    with serve(**common, limits={"address-connections": {"most": 2}}) as server:
        async with await connect(server.port) as one, await connect(server.port) as two:
            assert (await one.ask("GET", "/livez")).status == 200
            assert (await two.ask("GET", "/livez")).status == 200
            three = await connect(server.port)
            check(await three.receive(5), "address-connections")
            await three.leave()
            await one.leave()

            async def again() -> int:
                async with await connect(server.port) as client:
                    try:
                        return (await client.ask("GET", "/livez")).status
                    except (ConnectionError, asyncio.IncompleteReadError):
                        return 0

            # The server may see the end of the connection a moment later.
            while await again() != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    with serve(**common, limits={"address-connects": {"rate": 0.01, "burst": 2}}) as server:
        for _ in range(2):
            async with await connect(server.port) as client:
                assert (await client.ask("GET", "/livez")).status == 200
        client = await connect(server.port)
        check(await client.receive(5), "address-connects")
        await client.leave()
    limits = {"address-connections": {"most": 1}}
    audit = tmp_path / "audit.log"
    with serve(
        **common, xmpp_domains=["localhost"], audit_file=str(audit), limits=limits
    ) as server:
        async with await connect(server.port) as one:
            assert (await one.ask("GET", "/livez")).status == 200
            two = await connect(server.port)
            refused = await two.receive(20)
            # The connection may be a BOSH session's, and Strophe.js ends its session at a 4xx.
            assert refused.status == 503
            assert refused.json()["policy"] == "address-connections"
            assert int(refused.headers["retry-after"]) >= 1
            await two.leave()
        (record,) = refusals(audit)
        assert record["actor"]["address"] == address
        assert record["target"] == {"type": "limit", "id": "address-connections"}


async def test_a_refusal_before_an_endpoint_leaves_a_line(tmp_path: Path) -> None:
    """Of a page, of a poll that is served from a cache, and of a wait."""
    limits = {"address-requests": {"rate": 0.01, "burst": 3}, "address-holds": {"most": 1}}
    audit, target = tmp_path / "audit.log", f"{events_of(fresh())}?since=now"
    with serve(
        dev=True, trusted_proxies=PROXY, audit_file=str(audit), limits=limits, access_log=False
    ) as server:
        async with await server.connect() as client:
            for _ in range(3):
                assert (await client.ask("GET", target, by(ALICE))).status == 200
            for path in (target, target, "/livez"):
                check(await client.ask("GET", path, by(ALICE)), "address-requests")
        wait = {**by(BOB), "prefer": "wait=25"}
        async with server.holding("GET", target, b"", **wait):
            await server.held(1)
            check(await server.get(target, **wait), "address-holds")
        await server.held(0)
    found = [(line["actor"]["address"], line["target"]) for line in refusals(audit)]
    requests, holds = ({"type": "limit", "id": f"address-{name}"} for name in ("requests", "holds"))
    assert found == [(ALICE, requests)] * 3 + [(BOB, holds)]


def refusals(file: Path) -> list[dict[str, Any]]:
    """The refusals in an audit log."""
    records = map(json.loads, file.read_text().splitlines())
    return [record for record in records if record["action"] == "auth.refused"]


async def test_private_addresses_do_not_count_without_a_trusted_proxy() -> None:
    slow: Any = {"address-requests": {"rate": 0.01, "burst": 1}}
    with serve(dev=True, limits=slow) as server:
        for _ in range(5):
            assert (await server.get("/livez")).status == 200
    with serve(
        dev=False, trusted_proxies=[], limits=slow, control="127.0.0.1:0", public=True
    ) as server:
        server.output.find(re.compile("limits.private_addresses_uncounted"), 5)


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    slow: dict[str, Any] = {"rate": 0.01, "burst": 3}
    with serve(
        dev=False,
        public=True,
        trusted_proxies=PROXY,
        token_keys=[{"algorithm": "HS256", "key": SECRET}],
        api_keys=[{"name": "back", "sha256": secret_hash(KEY), "publish": ["*"]}],
        metrics_public=True,
        limits={
            "subject-requests": {"rate": 0.01, "burst": 6},
            "subject-publishes": slow,
            "subject-holds": {"most": 1},
            "address-requests": {"rate": 0.01, "burst": 60},
            "address-publishes": {"rate": 0.01, "burst": 60},
            "key-publishes": {"rate": 0.01, "burst": 200},
        },
    ) as server:
        yield server


def bearer(subject: str) -> dict[str, str]:
    claims = {
        "sub": subject,
        "exp": time.time() + 600,
        "pushhub": {"read": ["*"], "publish": ["room:*"]},
    }
    return {"authorization": f"Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}"}


async def test_a_subject_is_one_client_wherever_it_is(locked: Server) -> None:
    alice, channel = bearer("alice"), "room:" + fresh()
    for number in range(3):
        address = by(f"203.0.113.{20 + number}")
        response = await locked.post(events_of(channel), number, **alice, **address)
        assert response.status == 200
        assert response.headers["ratelimit-policy"] == '"subject-publishes";q=3;w=300;qu="events"'
        assert response.headers["ratelimit"].startswith(f'"subject-publishes";r={2 - number};t=')
    check(await locked.post(events_of(channel), 4, **alice, **by(BOB)), "subject-publishes")
    assert (await locked.post(events_of(channel), 5, **bearer("bob"), **by(BOB))).status == 200
    for _ in range(2):
        assert (await locked.get(events_of(channel), **alice)).status == 200
    check(await locked.get(events_of(channel), **alice), "subject-requests")


async def test_holds_of_a_subject(locked: Server) -> None:
    carol, target = bearer("carol"), events_of(fresh()) + "?since=now"
    wait = {"prefer": "wait=25"}
    async with locked.holding("GET", target, b"", **carol, **by(ALICE), **wait):
        for _ in range(3):
            # The third comes from the cache of requests.
            check(await locked.get(target, **carol, **by(BOB), **wait), "subject-holds")
    await locked.held(0)


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_tickets_open_no_more_holds_than_their_token(driver: str) -> None:
    with serve(
        driver,
        dev=False,
        trusted_proxies=PROXY,
        token_keys=[{"algorithm": "HS256", "key": SECRET}],
        api_keys=[{"name": "back", "sha256": secret_hash(KEY), "publish": ["*"]}],
        limits={"subject-holds": {"most": 1}},
        metrics_public=True,
    ) as server:
        dora, target = bearer("dora"), events_of(fresh())

        async def by_ticket() -> str:
            ticket = (await server.post("/v1/tickets", None, **dora)).json()["ticket"]
            return f"{target}?since=now&ticket={ticket}"

        async with server.streaming(await by_ticket()):
            await server.held(1)
            for wait in ({"prefer": "wait=25"}, {"accept": "text/event-stream"}):
                check(await server.get(await by_ticket(), **wait), "subject-holds")
            again = await server.get(target + "?since=now", **dora, prefer="wait=25")
            check(again, "subject-holds")
        await server.held(0)
        async with server.holding("GET", await by_ticket(), b"", prefer="wait=25"):
            check(await server.get(await by_ticket(), prefer="wait=25"), "subject-holds")
        # Such a client has disconnected as any other that waits, long before the wait is over.
        await server.held(0, SOON)


async def test_a_back_end_is_not_counted_by_address(locked: Server) -> None:
    key = {"authorization": f"Bearer {KEY}"}
    async with await locked.connect() as client:
        for _ in range(100):
            body = b"1"
            response = await client.ask(
                "POST", events_of("room:busy"), {**key, **by("203.0.113.99")}, body
            )
            assert response.status == 200
    assert response.headers["ratelimit-policy"] == '"key-publishes";q=200;w=20000;qu="events"'
    assert int(re.findall("r=([0-9]+)", response.headers["ratelimit"])[0]) <= 100


async def test_every_way_to_publish_is_counted_and_has_the_fields() -> None:
    key = {"authorization": f"Bearer {KEY}"}
    item = {"items": [{"channel": "a", "formats": {"http-stream": {"content": "x"}}}]}
    ways: list[tuple[str, Any]] = [
        (events_of("a"), 1),
        ("/v1/publish", [{"channel": "a", "data": 1}]),
        ("/publish", item),
        ("/publish/", item),
        ("/recover", None),
        ("/v1/notify", {"resources": ["/a"]}),
    ]
    with serve(
        dev=False,
        origin="http://127.0.0.1:9",
        api_keys=[{"name": "back", "sha256": secret_hash(KEY), "publish": ["*"]}],
        limits={"key-publishes": {"rate": 0.01, "burst": len(ways)}},
    ) as server:
        for number, (path, body) in enumerate(ways, 1):
            response = await server.post("/_pushhub" + path, body, **key)
            assert response.status == 200, (path, response)
            policy = response.headers["ratelimit-policy"]
            assert policy == '"key-publishes";q=6;w=600;qu="events"', path
            left = len(ways) - number
            assert response.headers["ratelimit"].startswith(f'"key-publishes";r={left};t='), path
        for path, body in ways:
            check(await server.post("/_pushhub" + path, body, **key), "key-publishes")


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_wrong_keys_of_the_console_have_a_limit_with_its_fields(driver: str) -> None:
    keys = [{"name": "back", "sha256": secret_hash(KEY), "publish": ["*"]}]
    with serve(driver, dev=False, api_keys=keys) as server:
        # Loopback is no client's own address, but a proxy's.
        wrong = {"authorization": "Bearer phk_" + "x" * 43, "x-forwarded-for": "203.0.113.7"}
        answers = [await server.post("/console/session", None, **wrong) for _ in range(6)]
        assert [answer.status for answer in answers] == [401] * 5 + [429]
        check(answers[-1], "console-keys")


def test_every_429_has_the_fields() -> None:
    """Two functions make all of them."""
    makers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r'Problem\(\s*"too-many-requests"', path.read_text())
    }
    assert makers == {"http/rate_limit_fields.py", "auth/limit_fields.py"}
    budget, tunnels = ByteBudget(100, 10), Tunnels(10, 0, 1)
    for refused, name in (
        (lambda: budget.check("a", 11), "max_body_bytes_per_address"),
        (lambda: tunnels.begin("a"), "max_tunnels_per_address"),
    ):
        with pytest.raises(Problem) as raised:
            refused()
        assert raised.value.members["policy"] == name
        names = {header for header, _ in raised.value.headers}
        assert names == {b"retry-after", b"ratelimit-policy", b"ratelimit"}


async def test_pages_may_read_the_fields() -> None:
    limits: Any = {"address-requests": {"rate": 0.01, "burst": 1}}
    with serve(dev=True, trusted_proxies=PROXY, limits=limits) as server:
        origin = {"origin": "http://localhost:3000", **by(ALICE)}
        await server.get(events_of("x"), **origin)
        refused = await server.get(events_of("x"), **origin)
        check(refused, "address-requests")
        exposed = refused.headers["access-control-expose-headers"]
        assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed.split(", "))


def own_address() -> str:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return str(sock.getsockname()[0])


def by(address: str) -> dict[str, str]:
    """The header by which a proxy names its client."""
    return {"x-forwarded-for": address}


async def test_an_abuser_stops_nobody_else() -> None:
    """One address sends without a pause; requests of others are served, and none is refused."""
    limits: Any = {"address_requests": {"rate": 5, "burst": 20}, "address_holds": {"most": 2}}
    channel = fresh()
    with hub(**limits) as server:
        await server.publish(channel, "there")
        stop = asyncio.Event()

        async def abuse() -> int:
            refused, wait = 0, {**by("203.0.113.66"), "prefer": "wait=25"}
            async with await server.connect() as client:
                while not stop.is_set() or refused < 100:
                    response = await client.ask("GET", events_of(channel), wait)
                    refused += response.status == 429
            return refused

        attack = asyncio.create_task(abuse())
        for number in range(1, 100):
            begun = time.monotonic()
            response = await server.get(events_of(channel), **by(f"198.51.100.{number}"))
            assert response.status == 200
            assert time.monotonic() - begun < SOON
        stop.set()
        assert await attack >= 100
        assert await limited(server, "address-requests") >= 100


async def test_a_refusal_names_its_setting(locked: Server) -> None:
    """A token that many clients share is one subject; its owner learns which setting to change."""
    shared, target = bearer("load-test"), events_of(fresh()) + "?since=now"
    async with locked.holding("GET", target, b"", **shared, prefer="wait=25"):
        refused = await locked.get(target, **shared, prefer="wait=25")
    assert "The setting is limits.subject-holds." in refused.json()["detail"]
    await locked.held(0)


async def test_refusals_of_a_client_that_goes_on_come_later() -> None:
    """After a hundred refusals at once an address receives ten a second, however many it asks for:
    it cannot use the server's time. Requests of others do not wait.
    """
    number = 125
    with hub(address_requests={"rate": 0.01, "burst": 1}) as server:
        async with await server.connect() as abuser, await server.connect() as other:
            begun = time.monotonic()
            for _ in range(number):
                response = await abuser.ask("GET", "/livez", by(ALICE))
            assert response.status == 429
            # Slowness of the machine makes this longer, never shorter.
            assert time.monotonic() - begun > (number - 1 - 100) / 10 - 0.2
            # Requests that are sent ahead wait, too, and keep their order. Others do not wait.
            request = "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {}\r\n\r\n"
            mine, bobs = (request.format(address).encode() for address in (ALICE, BOB))
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(mine * 3 + bobs)
            assert (await other.ask("GET", "/livez", by("203.0.113.9"))).status == 200
            data = b""
            while data.count(b"HTTP/1.1 ") < 4:
                data += await asyncio.wait_for(reader.read(65536), 20)
            assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"429", b"429", b"429", b"200"]
            # A client that disconnects during its pause leaves nothing.
            writer.write(mine)
            writer.close()
        # The refusal of a request whose body is still on its way arrives whole, too.
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST /x HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {ALICE}\r\n"
        writer.write(f"{head}Content-Length: 200000\r\n\r\n".encode() + bytes(100_000))
        await writer.drain()
        data = await asyncio.wait_for(reader.read(), 20)
        writer.write(bytes(100_000))
        writer.close()
        assert data.startswith(b"HTTP/1.1 429 ")
        assert data.endswith(b"}")
        assert await server.metric("pushhub_limited_slowed_total") >= 10
        await server.held(0)


async def test_a_late_refusal_keeps_the_connection() -> None:
    limits: Any = {"address_bytes": {"rate": 0.01, "burst": 1}}
    with hub(**limits) as server:
        async with await server.connect() as client:
            for _ in range(110):
                refused = await client.ask("POST", events_of("x"), by(ALICE), b"12345")
            check(refused, "address-bytes")
            assert refused.headers.get("connection") != "close"
        assert await limited(server, "address-bytes") == 109
