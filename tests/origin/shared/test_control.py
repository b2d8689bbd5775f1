"""The control listener: pushhub's own routes at its root, without a key on loopback."""

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.redis_servers import Shelf
from tests.serving import Server, serve
from tests.wire import Client, Response

CONTROL = re.compile(r"control is at http://(\S+):(\d+) \((.*)\)")


@contextmanager
def controlled(**settings: object) -> Iterator[tuple[Server, int]]:
    """A server with a control listener on a free port."""
    given = {"control": "127.0.0.1:0", "dev": False, "origin": "http://127.0.0.1:9", **settings}
    with serve(**given) as server:  # type: ignore[arg-type]
        yield server, int(server.output.find(CONTROL, 10)[2])


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Server, int]]:
    with controlled() as pair:
        yield pair


async def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    async with await Client.connect(port) as client:
        return await client.ask(method, path, fields, body)


async def test_the_banner_says_what_is_where(pair: tuple[Server, int]) -> None:
    server, port = pair
    said = str(server.output)
    assert f"pushhub is at http://127.0.0.1:{server.port} in front of http://127.0.0.1:9 " in said
    assert f"its own routes are under http://127.0.0.1:{server.port}/_pushhub\n" in said
    assert f"control is at http://127.0.0.1:{port} (no key is needed there)\n" in said


async def test_it_asks_for_no_key(pair: tuple[Server, int]) -> None:
    server, port = pair
    published = await ask(port, "POST", "/v1/channels/news/events", b'{"n": 1}')
    assert published.status == 200
    feed = await ask(port, "GET", "/v1/channels/news/events")
    assert [event["data"] for event in feed.json()["events"]] == [{"n": 1}]
    for path in ("/metrics", "/livez", "/readyz", "/openapi.json", "/docs", "/v1/channels"):
        assert (await ask(port, "GET", path)).status == 200, path
    # The same hub, behind the prefix, where keys count.
    own = await server.ask("GET", "/_pushhub/v1/channels/news/events")
    assert (own.status, own.problem) == (401, "unauthorized")
    assert (await server.ask("GET", "/_pushhub/metrics")).status == 401


async def test_a_publish_to_the_control_listener_completes_a_hold(pair: tuple[Server, int]) -> None:
    _, port = pair
    async with await Client.connect(port) as client:
        client.send("GET", "/v1/channels/wake/events?since=now", {"Prefer": "wait=10"})
        for _ in range(1000):
            text = (await ask(port, "GET", "/metrics")).body.decode()
            if "\npushhub_holds 1\n" in text:
                break
        assert (await ask(port, "POST", "/v1/channels/wake/events", b'"hello"')).status == 200
        assert [event["data"] for event in (await client.receive()).json()["events"]] == ["hello"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1"},
        {"origin": "http://127.0.0.1:8080"},
    ],
)
async def test_pages_of_others_need_a_key(
    headers: dict[str, str], pair: tuple[Server, int]
) -> None:
    _, port = pair
    fields = {"host": "127.0.0.1", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    for line in ("POST /v1/channels/news/events", "GET /metrics"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{line} HTTP/1.1\r\n{lines}Content-Length: 0\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 401 "), line
        writer.close()


async def test_its_own_page_needs_none(pair: tuple[Server, int]) -> None:
    _, port = pair
    answer = await ask(
        port,
        "POST",
        "/v1/channels/news/events",
        b"1",
        origin="http://127.0.0.1",
        sec_fetch_site="same-origin",
    )
    assert answer.status == 200


async def test_the_origin_is_not_behind_it(pair: tuple[Server, int]) -> None:
    server, port = pair
    answer = await ask(port, "GET", "/orders/7")
    assert (answer.status, answer.problem) == (404, "not-found")
    assert (await server.ask("GET", "/orders/7")).problem == "origin-unreachable"


def test_elsewhere_a_key_is_needed() -> None:
    key = [{"name": "back end", "sha256": "0" * 64, "publish": ["*"]}]
    with controlled(control="0.0.0.0:0", api_keys=key) as (server, port):
        assert "(with a key)" in str(server.output)
        answer = asyncio.run(ask(port, "POST", "/v1/channels/news/events", b"1"))
        assert (answer.status, answer.problem) == (401, "unauthorized")


def test_without_a_key_it_must_be_on_loopback() -> None:
    said = started_in_vain("--control", "0.0.0.0:0", "--origin", "http://127.0.0.1:9")
    assert "pushhub key new" in said


def test_development_stays_on_loopback() -> None:
    assert "loopback" in started_in_vain("--dev", "--control", "0.0.0.0:0")


@pytest.mark.parametrize("more", [[], ["--workers", "2", "--store", "redis://127.0.0.1:1"]])
def test_an_address_that_is_taken_is_a_sentence(more: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = started_in_vain("--dev", "--port", "0", "--control", address, *more)
    assert said == (
        f"pushhub: {address} is in use by another program. Stop that program, or choose another "
        "--control.\n"
    )


def started_in_vain(*arguments: str) -> str:
    """What a server says that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "pushhub", "serve", "--store", "memory://", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


async def test_all_workers_listen(redis_shelf: Shelf) -> None:
    with controlled(store=redis_shelf.url("valkey9"), workers=2) as (server, port):
        # The kernel deals connections out: with 40 of them not all go to one worker.
        for _ in range(40):
            answer = await ask(port, "POST", "/v1/channels/news/events", b"1")
            assert answer.status == 200
        metrics = (await ask(port, "GET", "/metrics")).body.decode()
        assert "\npushhub_workers 2\n" in metrics
        assert int((await ask(port, "GET", "/v1/channels/news")).status) == 200
        server.signal()
        assert await server.left() == 0
