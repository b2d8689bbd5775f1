"""What a request can slip into an answer that others share: nothing."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.origin.apis import Api, Asked
from tests.origin.scripted import Wire, get
from tests.ports import free_port
from tests.serving import Server, serve

ROUTES: list[dict[str, Any]] = [
    {"path": "/notify/*", "step": "notify"},
    {"path": "/cached/*", "step": "notify", "max_age": 60},
    {"path": "/public/*", "step": "notify", "max_age": 60, "identity": []},
]

WAIT = {"prefer": "wait=5"}


class Mirror(Api):
    """An origin whose every answer says what it was asked, as careless frameworks do."""

    answer: bytes | None = None

    def _answer(self, asked: Asked) -> bytes:
        if self.answer is not None:
            return self.answer
        seen = {k: v for k, v in asked.headers.items() if k and k != "if-none-match"}
        body = json.dumps({"method": asked.method, **seen}).encode()
        tag = hashlib.sha256(body).hexdigest()[:16]
        lines = [f'ETag: "{tag}"', f"Content-Length: {len(body)}"]
        if origin := asked.headers.get("origin"):
            # As Starlette's middleware: who sends no Origin is told nothing of it, nor `Vary`.
            lines += [f"Access-Control-Allow-Origin: {origin}", "Vary: Origin"]
        return "\r\n".join(["HTTP/1.1 200 OK", *lines, "", ""]).encode() + body


@pytest.fixture(scope="module")
def hub() -> Iterator[tuple[Server, int]]:
    port = free_port()
    with serve(origin=f"http://127.0.0.1:{port}", routes=ROUTES) as server:
        yield server, port


@pytest.fixture
async def api(hub: tuple[Server, int]) -> AsyncIterator[Mirror]:
    async with Mirror.running(hub[1]) as api:
        yield api


@pytest.fixture
def server(hub: tuple[Server, int]) -> Server:
    return hub[0]


@pytest.mark.parametrize("name", ["x-original-url", "x-forwarded-prefix", "forwarded", "x-any"])
@pytest.mark.parametrize("kind", ["notify", "cached", "public"])
async def test_a_header_of_one_client_is_not_in_the_response_of_another(
    kind: str, name: str, server: Server, api: Mirror
) -> None:
    target = f"/{kind}/{name}"
    headers = {} if kind == "cached" else WAIT
    await server.ask("GET", target, {**headers, name: "for=me;host=evil"})
    told = (await server.ask("GET", target, headers)).json()
    assert "evil" not in json.dumps(told)


async def test_a_header_that_connection_names_does_not_count_for_those_who_send_it(
    server: Server, api: Mirror
) -> None:
    accept = {"accept": "text/html"}
    first = await server.ask("GET", "/cached/named", {**accept, "connection": "close, Accept"})
    assert "accept" not in first.json()
    assert (await server.ask("GET", "/cached/named", accept)).json()["accept"] == "text/html"


async def test_any_header_may_identify_the_client(server: Server, api: Mirror) -> None:
    for key in ("alice", "bob"):
        told = (await server.ask("GET", "/notify/keys", {**WAIT, "x-api-key": key})).json()
        assert told["x-api-key"] == key
    assert "x-api-key" not in (await server.ask("GET", "/notify/keys", WAIT)).json()


async def test_a_shared_fetch_names_no_client(server: Server, api: Mirror) -> None:
    sent = {"user-agent": "mine/1", "x-request-id": "7", "sec-ch-ua": "x", "cookie": "a=1"}
    told = (await server.ask("GET", "/public/who", {**WAIT, **sent})).json()
    assert told == {
        "method": "GET",
        "host": told["host"],
        "user-agent": "pushhub",
        "x-forwarded-proto": "http",
        "x-forwarded-host": told["host"],
    }
    await server.ask("GET", "/public/who", {**WAIT, "user-agent": "other/2", "x-request-id": "8"})
    # Both were the same resource: the second had its own look, since it has nothing, and no third.
    assert api.count("/public/who") == 2


async def test_a_page_of_another_origin_may_read_what_was_first_asked_by_none(
    server: Server, api: Mirror
) -> None:
    await server.ask("GET", "/cached/cors")
    for page in ("https://a.example", "https://b.example"):
        answer = await server.ask("GET", "/cached/cors", {"origin": page})
        assert answer.headers["access-control-allow-origin"] == page


async def test_a_shared_response_is_the_origins_own_under_any_asgi_server() -> None:
    port = free_port()
    page = "https://a.example"
    async with Mirror.running(port) as _:
        given: dict[str, Any] = {"cors_origins": [page], "routes": ROUTES}
        with serve("asgi", origin=f"http://127.0.0.1:{port}", **given) as server:
            answer = await server.ask("GET", "/notify/asgi", {**WAIT, "origin": page})
            assert answer.headers["access-control-allow-origin"] == page  # and not twice
            assert "pushhub" in answer.headers.get("etag", "") + answer.json()["user-agent"]


async def test_tenants_of_a_trusted_proxy_share_nothing() -> None:
    port = free_port()
    async with Mirror.running(port) as _:
        given: dict[str, Any] = {"trusted_proxies": ["127.0.0.0/8"], "routes": ROUTES}
        with serve(origin=f"http://127.0.0.1:{port}", **given) as server:
            for tenant in ("a.example", "b.example"):
                headers = {"x-forwarded-host": tenant}
                told = (await server.ask("GET", "/cached/tenant", headers)).json()
                assert told["x-forwarded-host"] == tenant


async def test_who_is_no_trusted_proxy_asks_in_no_tenants_name() -> None:
    port = free_port()
    async with Mirror.running(port) as _:
        given: dict[str, Any] = {"trusted_proxies": ["127.0.0.2/32"], "routes": ROUTES}
        with serve(origin=f"http://127.0.0.1:{port}", **given) as server:
            for last, told in ((1, "api.localhost"), (2, "tenant.localhost")):
                local = (f"127.0.0.{last}", 0)
                streams = await asyncio.open_connection("127.0.0.1", server.port, local_addr=local)
                async with Wire(*streams) as wire:
                    wire.send(get("/cached/tenant", "X-Forwarded-Host: tenant.localhost"))
                    head = (await wire.head()).decode().lower()
                    size = int(head.split("content-length: ")[1].split()[0])
                    assert json.loads(await wire.exactly(size))["x-forwarded-host"] == told


@pytest.mark.parametrize(
    "line",
    [
        "If-Modified-Since: Sun, 22 Nov 2026 19:26:22 GMT",
        'If-Match: "x"',
        "If-Unmodified-Since: Sun, 22 Nov 2026 19:26:22 GMT",
        "Upgrade: websocket\r\nConnection: Upgrade",
    ],
)
async def test_what_only_the_origin_can_decide_is_left_to_it(
    line: str, server: Server, api: Mirror
) -> None:
    await server.ask("GET", "/cached/decides")
    before = api.count()
    async with await Wire.to(server.port) as wire:
        wire.send(get("/cached/decides", *line.split("\r\n")))
        head = (await wire.head()).decode()
        body = json.loads(
            await wire.exactly(int(head.lower().split("content-length: ")[1].split()[0]))
        )
    assert api.count() == before + 1
    name = line.partition(":")[0].lower()
    assert name in body


async def test_a_get_with_a_body_is_no_poll(server: Server, api: Mirror) -> None:
    api.answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    await server.ask("GET", "/cached/body")
    async with await Wire.to(server.port) as wire:
        wire.send(get("/cached/body", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n")
        await wire.head()
    assert api.asked[-1].headers["transfer-encoding"] == "chunked"


async def test_an_error_has_no_cookie_of_another_client(server: Server, api: Mirror) -> None:
    lines = b"Set-Cookie: sid=1\r\nX-Hop: 1\r\nConnection: X-Hop\r\nContent-Length: 3\r\n\r\nbad"
    api.answer = b"HTTP/1.1 503 Busy\r\n" + lines
    answer = await server.ask("GET", "/notify/error", {**WAIT, "if-none-match": '"1"'})
    assert (answer.status, answer.body) == (503, b"bad")
    assert "set-cookie" not in answer.headers
    assert "x-hop" not in answer.headers
