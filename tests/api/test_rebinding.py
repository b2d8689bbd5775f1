"""DNS rebinding: a foreign name that leads to this machine opens no listener that needs no key."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.origin.shared.test_control import controlled
from tests.serving import Server, serve

FOREIGN = [
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "2130706433",
    "evil.example.",
]
OWN = [
    "127.0.0.1",
    "[::1]:8080",
    "10.0.0.7:80",
    "localhost",
    "LOCALHOST:1",
    "app.localhost",
    "push.internal:8080",
]
NAMED = ["push.internal"]


async def status(port: int, line: str, *headers: str) -> tuple[int, str]:
    """The status and the body of the response to a request without a body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = "".join(f"{header}\r\n" for header in headers)
    writer.write(f"{line} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode())
    raw = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


@pytest.fixture(scope="module", params=["front", "asgi"])
def dev(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(request.param, control_hosts=NAMED) as server:
        yield server


@pytest.fixture(scope="module")
def control() -> Iterator[tuple[Server, int]]:
    with controlled(control_hosts=NAMED) as pair:
        yield pair


@pytest.fixture(scope="module")
def public() -> Iterator[Server]:
    with serve(dev=False, public=True, metrics_public=True, api_keys=KEYS) as server:
        yield server


KEYS = [{"name": "back end", "sha256": "0" * 64, "publish": ["*"]}]
PATHS = [
    "/v1/channels/a/events",
    "/v1/channels",
    "/metrics",
    "/console",
    "/console/now",
    "/livez",
    "/nowhere",
]


@pytest.mark.parametrize("path", PATHS)
async def test_dev_and_control_serve_no_foreign_name(
    path: str, dev: Server, control: tuple[Server, int]
) -> None:
    for port in (dev.port, control[1]):
        for host in FOREIGN:
            code, body = await status(port, f"GET {path}", f"Host: {host}")
            assert code == 421, (host, body)
            assert "control_hosts" in body
        for host in OWN:
            assert (await status(port, f"GET {path}", f"Host: {host}"))[0] in (200, 404), host


async def test_a_known_request_under_another_name_is_refused(dev: Server) -> None:
    """The second and third request of the same bytes come from the cache of polls."""
    line = "GET /v1/channels/cached/events?since=earliest"
    for _ in range(3):
        assert (await status(dev.port, line, "Host: localhost", "Prefer: wait=0"))[0] == 200
    for _ in range(3):
        assert (await status(dev.port, line, "Host: evil.example", "Prefer: wait=0"))[0] == 421


async def test_a_whole_url_counts_as_host(control: tuple[Server, int]) -> None:
    code, _ = await status(control[1], "GET http://evil.example/metrics", "Host: 127.0.0.1")
    assert code == 421


async def test_dev_hands_no_foreign_name_to_the_origin() -> None:
    with serve(origin="http://127.0.0.1:9") as server:
        assert (await status(server.port, "GET /", "Host: evil.example"))[0] == 421
        upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA==")
        assert (await status(server.port, "GET /", "Host: evil.example", *upgrade))[0] == 421
        assert (await status(server.port, "GET /", "Host: localhost"))[0] == 502
        # The origin decides about its own pages.
        page = "Origin: https://app.example"
        assert (await status(server.port, "GET /", "Host: localhost", page))[0] == 502


async def test_public_listeners_take_any_host_but_for_console_and_metrics(public: Server) -> None:
    for path in ("/v1/channels/a/events", "/livez", "/readyz", "/docs"):
        assert (await status(public.port, f"GET {path}", "Host: push.example"))[0] == 200, path
    for path in ("/metrics", "/console", "/console/console.js", "/console/now", "/v1/channels"):
        assert (await status(public.port, f"GET {path}", "Host: push.example"))[0] == 421, path
    assert (await status(public.port, "GET /metrics", "Host: 127.0.0.1"))[0] == 200


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("http://localhost:3000", 200),
        ("https://localhost", 200),
        ("http://127.0.0.1:5173", 200),
        ("http://[::1]:1", 200),
        ("http://app.localhost:8000", 200),
        ("https://app.example", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("http://192.168.1.1", 403),
        ("null", 403),
    ],
)
async def test_dev_accepts_pages_of_this_machine_only(origin: str, code: int) -> None:
    with serve(cors_origins=["https://app.example"]) as server:
        for line in ("GET /v1/channels/a/events", "OPTIONS /v1/channels/a/events", "GET /metrics"):
            found, body = await status(server.port, line, "Host: localhost", f"Origin: {origin}")
            # A preflight has no content; Starlette's pages have none of their own.
            assert found in ({200, 204, 405} if code == 200 else {code}), (line, body)
        response = await server.ask("GET", "/v1/channels/a/events", {"origin": origin})
        assert ("access-control-allow-origin" in response.headers) is (code == 200)
        page = await server.ask("GET", "/client.js", {"origin": origin})
        assert ("access-control-allow-origin" in page.headers) is (code == 200)
