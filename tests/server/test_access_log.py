"""The access log: one line for each request, in one form, for each kind of server."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from pushhub.api.access_log import RedactedUrls
from pushhub.app import create_app
from pushhub.http.redact import MAX_LOGGED, REDACTED, printable, redacted_query
from pushhub.settings import Settings
from tests.server.test_reload import answering
from tests.serving import Server, events_of, fresh, serve
from tests.wire import EventStream

FIELDS = {
    *("client", "method", "path", "status", "bytes", "seconds", "waited", "request_id"),
    *("event", "logger", "level", "timestamp"),
}
PROXIED = {"x-forwarded-for": "192.0.2.9", "x-request-id": "id-9"}
SECONDS = 20.0


async def line(server: Server, path: str, **fields: Any) -> dict[str, Any]:
    """The line of the access log for a path, which may come a moment after the response."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = [
                record
                for record in map(json.loads, filter(_is_access, server.output.lines))
                if record["path"] == path and fields.items() <= record.items()
            ]
            if found:
                assert len(found) == 1, found
                return found[0]  # type: ignore[no-any-return]
            await asyncio.sleep(0.01)


def _is_access(text: str) -> bool:
    return '"pushhub.access"' in text and '"event": "request"' in text


@pytest.fixture(scope="module")
def logging_server() -> Iterator[Server]:
    with serve("front", access_log=True) as server:
        yield server


@pytest.mark.parametrize("path", ["/v1/channels", "/docs", "/nothing"])
async def test_the_form_is_the_same(logging_server: Server, path: str) -> None:
    mark = fresh("mark")
    answer = await logging_server.ask("GET", f"{path}?prefix={mark}", PROXIED)
    entry = await line(logging_server, path, query=f"prefix={mark}")
    assert entry.keys() - {"query"} == FIELDS
    assert (entry["method"], entry["status"]) == ("GET", answer.status)
    assert entry["bytes"] == len(answer.body)
    assert 0 <= entry["seconds"] < SECONDS
    assert entry["waited"] == 0
    assert (entry["client"], entry["request_id"]) == ("192.0.2.9", "id-9")


async def test_a_wait_is_apart_from_the_duration(logging_server: Server) -> None:
    channel = fresh()
    await logging_server.ask("GET", events_of(channel) + "?since=now&wait=1")
    entry = await line(logging_server, events_of(channel))
    assert 0.5 < entry["waited"] <= entry["seconds"]
    assert entry["query"] == "since=now&wait=1"


async def test_a_head_has_no_bytes(logging_server: Server) -> None:
    path = f"/{fresh()}"
    await logging_server.ask("HEAD", path)
    assert (await line(logging_server, path))["bytes"] == 0


async def test_a_stream_has_one_line_at_its_end(logging_server: Server) -> None:
    channel = fresh()
    async with await logging_server.connect() as client:
        client.send("GET", events_of(channel), {"accept": "text/event-stream"})
        assert (await client.head())[0] == 200
        stream = EventStream(client)
        await logging_server.publish(channel, "x" * 1000)
        while not (await stream.next()).data:
            pass
        gets = [text for text in logging_server.output.lines if '"GET"' in text]
        assert not [text for text in gets if f'"{events_of(channel)}"' in text]
    entry = await line(logging_server, events_of(channel), method="GET")
    assert (entry["status"], entry["bytes"] > 1000) == (200, True)


async def test_a_client_that_disconnects_has_a_line() -> None:
    with serve("front", access_log=True) as server:
        channel = fresh()
        client = await server.connect()
        client.send("GET", events_of(channel) + "?since=now&wait=50")
        await server.held(1)
        await client.leave()
        assert (await line(server, events_of(channel)))["status"] == 499


async def test_a_request_that_cannot_be_read_has_a_line() -> None:
    with serve("front", access_log=True) as server:
        async with await server.connect() as client:
            client.writer.write(b"GARBAGE\x1b[2J\r\n\r\n")
            assert (await line(server, "-"))["status"] == 400
        assert "\x1b" not in str(server.output)


async def test_the_proxy_to_the_origin_has_the_same_form() -> None:
    async with answering("ok") as url:
        with serve("front", origin=url, access_log=True) as server:
            answer = await server.ask("GET", "/x?token=s3cret&a=1", PROXIED)
            assert answer.body == b"ok"
            entry = await line(server, "/x")
    assert entry.keys() - {"query"} == FIELDS
    assert (entry["client"], entry["bytes"], entry["request_id"]) == ("192.0.2.9", 2, "id-9")
    assert entry["query"] == f"token={REDACTED}&a=1"
    assert "s3cret" not in str(server.output)


@pytest.mark.parametrize("path", ["/v1/channels", "/docs", "/nothing"])
async def test_an_asgi_server_has_the_same_form(path: str) -> None:
    app = create_app(Settings(dev=True, store="memory://", access_log=True))
    await app.open()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "method": "GET", "path": path, "raw_path": path.encode()},
        **{"query_string": b"ticket=s3cret", "headers": [(b"x-request-id", b"id-9")]},
        **{"client": ("127.0.0.1", 1), "root_path": "", "http_version": "1.1", "scheme": "http"},
        "server": ("127.0.0.1", 80),
    }
    with structlog.testing.capture_logs() as logged:
        await app(scope, receive, send)
    await app.close()
    (entry,) = [each for each in logged if each["event"] == "request"]
    assert entry.keys() - {"event", "log_level", "query"} == FIELDS - {
        *("event", "logger", "level", "timestamp")
    }
    assert (entry["status"], entry["query"]) == (sent[0]["status"], f"ticket={REDACTED}")
    assert entry["bytes"] == sum(len(message.get("body", b"")) for message in sent)


async def test_probes_are_logged_at_debug_only() -> None:
    for level, count in (("info", 0), ("debug", 2)):
        with serve("front", access_log=True, log_level=level) as server:
            for path in ("/livez", "/readyz", "/docs"):
                await server.get(path)
            await line(server, "/docs")
            probes = [text for text in server.output.lines if _is_access(text) and 'z"' in text]
            assert len(probes) == count


async def test_without_the_setting_there_is_no_line() -> None:
    with serve("front") as server:
        await server.get("/docs")
        await server.get("/v1/channels")
        server.signal()
        await server.left()
        assert not any(map(_is_access, server.output.lines))


# -- secrets in URLs -----------------------------------------------------------

SECRETS = [
    *("token=s3cret", "ticket=s3cret", "TICKET=s3cret", "%74icket=s3cret", "a=1&ticket=s3cret"),
    *("access_token=s3cret", "X-Amz-Signature=s3cret", "+ticket=s3cret", "ticket=s3cret&ticket="),
    *("api-key=s3cret", "ticket==s3cret", "ticket=%73s3cret", "a&ticket=s3cret"),
    "user_password=s3cret",
]  # fmt: skip


@pytest.mark.parametrize("query", SECRETS)
@pytest.mark.parametrize("level", ["debug"])
async def test_no_line_has_a_secret_of_a_url(verbose: Server, query: str, level: str) -> None:
    for path in ("/v1/channels/a/events", "/docs", "/nothing", "/console/now", "/v1/poll"):
        headers = {"referer": f"http://127.0.0.1/x?{query}"}
        for method in ("GET", "POST", "DELETE", "BREW"):
            await verbose.ask(method, f"{path}?{query}", headers)
    mark = fresh("mark")
    await verbose.get(f"/{mark}")
    async with asyncio.timeout(SECONDS):
        while mark not in str(verbose.output):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert "s3cret" not in str(verbose.output)


@pytest.fixture(scope="module", params=["front", "asgi"])
def verbose(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(request.param, access_log=True, log_level="debug") as server:
        yield server


@pytest.mark.parametrize("query", SECRETS)
def test_secret_parameters_are_redacted(query: str) -> None:
    assert "s3cret" not in redacted_query(query)
    assert REDACTED in redacted_query(query)


@given(st.text(max_size=3000))
@example("since=a-1&limit=5")
@example("\x9b31m\r\nforged")
def test_a_logged_url_is_printable_and_short(text: str) -> None:
    for logged in (redacted_query(text), printable(text)):
        assert logged.isascii()
        assert logged.isprintable()
        assert len(logged) <= 12 * MAX_LOGGED + 3


def test_other_parameters_stay() -> None:
    query = "since=1-2&limit=5&prefix=a%2Fb&wait=5&monkey=1&tokens=3"
    assert redacted_query(query) == query


def test_the_log_of_uvicorn_is_redacted() -> None:
    record = logging.LogRecord(
        "uvicorn.access",
        logging.INFO,
        "",
        0,
        '%s - "%s %s HTTP/%s" %d',
        ("127.0.0.1:1", "GET", "/v1/channels/a/events?ticket=s3cret&since=now", "1.1", 200),
        None,
    )
    assert RedactedUrls().filter(record)
    assert record.getMessage() == (
        '127.0.0.1:1 - "GET /v1/channels/a/events?ticket=REDACTED&since=now HTTP/1.1" 200'
    )
