"""The table of parity in clients/python/README.md: each row by both clients, against one server."""

from __future__ import annotations

import asyncio
import base64
import functools
import http.server
import json
import re
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import jwt
import pytest

from pushhub.auth.api_keys import secret_hash
from pushhub_client import AsyncClient, Client, Event, Gap, Item, Problem, Refusal
from tests import outside
from tests.clients.python.both import Kind, take
from tests.serving import fresh, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]
README = (ROOT / "clients" / "python" / "README.md").read_text()
DRIVER = Path(__file__).parent / "parity.mjs"
# What a hub serves is held to the sources by tests/browser/test_package.py.
SCRIPT = ROOT / "pushhub" / "api" / "static" / "client.mjs"
SECRET = "k" * 32
PAGE = {
    "events": [
        {"channel": "a", "offset": 1, "cursor": "e-1", "id": "e-1", "data": 1}
        | {"time": "2026-01-01T00:00:00.000Z"}
    ],
    "cursors": {"a": "e-1"},
}
ROWS: dict[str, Callable[[Row], Any]] = {}


class Other(http.server.BaseHTTPRequestHandler):
    """A server that does not wait, fails at first, and asks for a pause."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        count = self.server.counted(self.path)  # type: ignore[attr-defined]
        if self.path == "/failing" and count == 1:
            return self._respond(500, {})
        return self._respond(200, count)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        count = self.server.counted(self.path)  # type: ignore[attr-defined]
        if self.path.startswith("/broken") and count < 3:
            self.close_connection = True
            return None
        if self.path == "/v1/poll" and count == 1:
            return self._respond(503, {"status": 503}, **{"Retry-After": "1"})
        return self._respond(200, PAGE)

    def _respond(self, status: int, document: Any, **headers: str) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Counting(http.server.ThreadingHTTPServer):
    """Counts the requests of each path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Other)
        self._counts: dict[str, int] = {}

    def counted(self, path: str) -> int:
        self._counts[path] = self._counts.get(path, 0) + 1
        return self._counts[path]


@contextmanager
def counting() -> Iterator[str]:
    """Such a server: its URL."""
    with Counting() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    keys = [{"name": "k", "sha256": secret_hash("phk_" + "A" * 43), "publish": ["*"]}]
    tokens = [{"algorithm": "HS256", "key": SECRET}]
    with serve(dev=False, public=False, api_keys=keys, token_keys=tokens) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def token() -> str:
    rights = {"read": ["open:*"], "publish": ["open:*"]}
    return jwt.encode({"exp": time.time() + 600, "pushhub": rights}, SECRET, "HS256")


# -- the same in Python ------------------------------------------------------------


class Row:
    """What a row is given."""

    def __init__(self, url: str, other: str, token: str, channel: str, kind: Kind) -> None:
        self.url = url
        self.other = other
        self.token = token
        self.channel = channel
        self.kind = kind
        self.hub = kind.client(url, token=token)

    def subscribe(self, channels: Any, **options: Any) -> Any:
        return self.hub.subscribe(channels, **options)

    def publish_when_live(self, events: Any, *items: Any) -> threading.Thread:
        """Publish in another thread as soon as the subscription is live."""

        def run() -> None:
            while events.state != "live":
                time.sleep(0.01)
            with Client(self.url, token=self.token) as publisher:
                for data in items:
                    publisher.publish(self.channel, data)

        thread = threading.Thread(target=run)
        thread.start()
        return thread


def row(name: str) -> Callable[[Callable[[Row], Any]], Callable[[Row], Any]]:
    def add(run: Callable[[Row], Any]) -> Callable[[Row], Any]:
        ROWS[name] = run
        return run

    return add


def data_of(messages: list[Any]) -> list[Any]:
    return [message.data for message in messages]


@row("a channel, from the earliest event")
def _earliest(at: Row) -> Any:
    for data in (1, "two", {"three": 3}):
        at.hub.publish(at.channel, data)
    with at.subscribe(at.channel, since="earliest") as events:
        return data_of(take(events, 3))


@row("a channel, from a cursor")
def _cursor(at: Row) -> Any:
    first = at.hub.publish(at.channel, 1)
    at.hub.publish(at.channel, 2)
    with at.subscribe(at.channel, since=first.cursor) as events:
        return data_of(take(events, 1))


@row("a channel, from now on")
def _now(at: Row) -> Any:
    at.hub.publish(at.channel, 1)
    with at.subscribe(at.channel) as events:
        thread = at.publish_when_live(events, 2)
        found = data_of(take(events, 1))
    thread.join()
    return found


@row("many channels in one request")
def _many(at: Row) -> Any:
    at.hub.publish_many([Item(at.channel + "a", 1), Item(at.channel + "b", 2)])
    sent: list[int] = []

    def note(request: httpx2.Request) -> None:
        sent.append(len(json.loads(request.content)["channels"]))

    async def note_later(request: httpx2.Request) -> None:
        note(request)

    def make() -> Any:
        if at.kind.name == "sync":
            return httpx2.Client(event_hooks={"request": [note]})
        return httpx2.AsyncClient(event_hooks={"request": [note_later]})

    channels = [at.channel + "a", at.channel + "b"]
    with (
        at.kind.client(at.url, token=at.token, http=make) as hub,
        hub.subscribe(channels, since="earliest") as events,
    ):
        found = take(events, 2)
    return [sorted(data_of(found)), sorted(set(sent))]


@row("a channel more, while a request is held")
def _more(at: Row) -> Any:
    at.hub.publish(at.channel + "b", 2)
    with at.subscribe(at.channel + "a") as events:
        if at.kind.name == "sync":
            # Another thread may add it.
            def add() -> None:
                while events.state != "live":
                    time.sleep(0.01)
                events.add(at.channel + "b", "earliest")

            thread = threading.Thread(target=add)
            thread.start()
            found = data_of(take(events, 1))
            thread.join()
            return found
        events.add(at.channel + "b", "earliest")
        return data_of(take(events, 1))


@row("a gap")
def _gap(at: Row) -> Any:
    at.hub.publish(at.channel, 1)
    with at.subscribe(at.channel, since="another-3") as events:
        gap, event = take(events, 2)
    assert isinstance(gap, Gap)
    return [gap.reason, event.data]


@row("a refused channel beside others")
def _refused(at: Row) -> Any:
    at.hub.publish(at.channel, 1)
    with at.subscribe([at.channel, "closed:x"], since="earliest") as events:
        found = take(events, 2)
    refused = [message.error.status for message in found if isinstance(message, Refusal)]
    return [*refused, data_of([message for message in found if isinstance(message, Event)])]


@row("a stream of Server-Sent Events")
def _stream(at: Row) -> Any:
    with at.subscribe(at.channel, transport="sse") as events:
        thread = at.publish_when_live(events, 1, 2)
        found = data_of(take(events, 2))
    thread.join()
    return found


@row("the states")
def _states(at: Row) -> Any:
    at.hub.publish(at.channel, 1)
    states: list[str] = []
    with at.subscribe(at.channel, since="earliest", on_state=states.append) as events:
        states.append(events.state)
        take(events, 1)
        thread = at.publish_when_live(events, 2)
        take(events, 1)
    thread.join()
    return states


@row("a publish, with type and id")
def _publish(at: Row) -> Any:
    receipt = at.hub.publish(at.channel, "x", type="note", id="n-1")
    with at.subscribe(at.channel, since="earliest") as events:
        event = next(events)
    return [receipt.offset, receipt.id, event.type, event.id, event.data]


@row("a publish of another content type")
def _content_type(at: Row) -> Any:
    at.hub.publish(at.channel, "text", content_type="text/plain")
    at.hub.publish(at.channel, b"\x00\xff", content_type="image/png")
    with at.subscribe(at.channel, since="earliest") as events:
        text, image = take(events, 2)
    encoded = base64.b64encode(image.data).decode()
    return [[text.content_type, text.data], [image.content_type, encoded]]


@row("an idempotent publish")
def _idempotent(at: Row) -> Any:
    receipts = [at.hub.publish(at.channel, 1, idempotency_key="k") for _ in range(2)]
    return [[receipt.offset, receipt.duplicate] for receipt in receipts]


@row("a conditional publish")
def _conditional(at: Row) -> Any:
    first = at.hub.publish(at.channel, 1)
    second = at.hub.publish(at.channel, 2, if_match=first.cursor)
    with pytest.raises(Problem) as caught:
        at.hub.publish(at.channel, 3, if_match=first.cursor)
    return [second.offset, caught.value.status]


@row("a token by a function, asked for again after a 401")
def _token(at: Row) -> Any:
    tokens, calls = ["worn", at.token], []

    def next_token() -> str:
        calls.append(1)
        return tokens[min(len(calls), 2) - 1]

    with at.kind.client(at.url, token=next_token) as hub:
        hub.publish(at.channel, 1)
        with hub.subscribe(at.channel, since="earliest") as events:
            return [data_of(take(events, 1)), len(calls)]


@row("a value, polled")
def _value(at: Row) -> Any:
    at.hub.publish(at.channel, 1)
    with at.kind.poll(f"{at.url}/v1/channels/{at.channel}", token=at.token) as value:
        found = take(value, 1)
        with Client(at.url, token=at.token) as publisher:
            timer = threading.Timer(0.5, publisher.publish, (at.channel, 2))
            timer.start()
            found += take(value, 1)
            timer.join()
        return [data_of(found), value.waits]


@row("a poller of another API, that does not wait")
def _poller(at: Row) -> Any:
    with at.kind.poll(f"{at.other}/counter", 0.2) as value:
        return [data_of(take(value, 3)), value.waits]


@row("a poller, after an error")
def _poller_error(at: Row) -> Any:
    errors: list[Any] = []
    with at.kind.poll(f"{at.other}/failing", 0.1, on_error=errors.append) as value:
        return [data_of(take(value, 1)), [error.status for error in errors]]


@row("Retry-After")
def _retry_after(at: Row) -> Any:
    begun = time.monotonic()
    with at.kind.client(at.other) as hub, hub.subscribe("a", since="earliest") as events:
        return [data_of(take(events, 1)), time.monotonic() - begun >= 1]


@row("reconnecting after an outage")
def _reconnecting(at: Row) -> Any:
    url = f"{at.other}/broken"
    with at.kind.client(url) as hub, hub.subscribe("a", since="earliest") as events:
        return data_of(take(events, 1))


@row("closing")
def _closing(at: Row) -> Any:
    if at.kind.name == "sync":
        with at.subscribe(at.channel) as events:
            threading.Timer(0.5, events.close).start()
            return [not list(events), events.state]

    async def close() -> list[Any]:
        async with AsyncClient(at.url, token=at.token) as hub:
            events = hub.subscribe(at.channel)
            asyncio.get_running_loop().call_later(
                0.5, lambda: closing.append(asyncio.ensure_future(events.close()))
            )
            closing: list[Any] = []
            found = [message async for message in events]
            await closing[0]
            return [not found, events.state]

    return at.kind._runner.run(close())


# -- the table ---------------------------------------------------------------------


def table() -> dict[str, tuple[str, str]]:
    """Row → what it is in JavaScript, and in Python."""
    section = README.partition("\n## Parity")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    return {
        name: (js, python) for name, js, python in rows if set(name) != {"-"} and name != "what"
    }


def lacking(cells: tuple[str, str]) -> bool:
    """Whether one of the clients lacks it."""
    return any(cell.startswith("–") for cell in cells)


def test_the_table_has_every_row_that_both_have() -> None:
    both = {name for name, cells in table().items() if not lacking(cells)}
    assert both == set(ROWS)


def test_what_one_client_lacks_has_a_reason() -> None:
    alone = [cells for cells in table().values() if lacking(cells)]
    assert alone
    for cells in alone:
        assert max(map(len, cells)) > 20, cells


def test_the_driver_has_the_same_rows() -> None:
    assert set(javascript("-", "-", "-", "-", "")) == set(ROWS)


def javascript(*arguments: str) -> Any:
    """What the client for JavaScript does."""
    command = [outside.require("node"), str(DRIVER), str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@functools.cache
def theirs(name: str, hub: str, token: str) -> Any:
    """What the client for JavaScript does in a row."""
    with counting() as other:
        return javascript(hub, other, token, fresh("open:js"), name)


@pytest.mark.parametrize("name", ROWS)
def test_both_clients_do_the_same(name: str, hub: str, token: str, kind: Kind) -> None:
    channel = fresh("open:")
    with counting() as other:
        at = Row(hub, other, token, f"{channel}-py", kind)
        with at.hub:
            ours = ROWS[name](at)
    assert json.loads(json.dumps(ours)) == theirs(name, hub, token)
