"""Both clients against a real hub: publish, subscribe, values, cursors, tokens, cancellation."""

from __future__ import annotations

import asyncio
import http.server
import json
import subprocess
import sys
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx2
import jwt
import pytest

from pushhub.auth.api_keys import secret_hash
from pushhub_client import (
    AsyncClient,
    Client,
    CursorFileError,
    Event,
    Gap,
    HubUnreachable,
    InvalidResponse,
    Item,
    Problem,
    Receipt,
    Refusal,
    TokenError,
    Value,
)
from tests.clients.python.both import Kind, take
from tests.ports import free_port
from tests.serving import SOON, fresh, serve
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.serving import Server

SECRET = "k" * 32
API_KEY = "phk_" + "A" * 43
Later = Any


@pytest.fixture
def later() -> Iterator[Later]:
    """Calls something some seconds later, in a thread; the test ends after it."""
    timers: list[threading.Timer] = []

    def start(seconds: float, call: Callable[..., object], *args: object) -> None:
        timers.append(threading.Timer(seconds, call, args))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join()


@pytest.fixture
def other(url: str) -> Iterator[Client]:
    """Another client of the shared hub."""
    with Client(url) as client:
        yield client


def data_of(messages: list[Any]) -> list[Any]:
    return [message.data for message in messages]


# -- publishing --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "content_type", "comes"),
    [
        ({"a": [1, None, "ü"]}, None, "application/json"),
        ("text as JSON", None, "application/json"),
        ("text", "text/plain", "text/plain"),
        (b"\x00\xff", None, "application/octet-stream"),
        (b"<a/>", "application/xml", "application/xml"),
        (12345678901234567890123, None, "application/json"),
    ],
)
def test_data_comes_back_as_it_was_published(
    kind: Kind, url: str, data: Any, content_type: str | None, comes: str
) -> None:
    one, many = fresh("one/ü"), fresh("many")
    with kind.client(url) as hub:
        hub.publish(one, data, content_type=content_type, type="note", id="n-1")
        item = Item(many, data, content_type=content_type, type="note", id="n-1")
        (receipt,) = hub.publish_many([item])
        assert isinstance(receipt, Receipt)
        for channel in (one, many):
            found = hub.value(channel)
            assert isinstance(found, Value)
            assert found.data == (b"<a/>" if content_type == "application/xml" else data)
            assert (found.content_type, found.type, found.id) == (comes, "note", "n-1")
            with hub.subscribe(channel, since="earliest") as events:
                event = next(events)
            # A feed has what is UTF-8 as text.
            assert event.data == ("<a/>" if content_type == "application/xml" else data)
            assert (event.type, event.id, event.content_type) == ("note", "n-1", comes)


def test_a_key_makes_a_publish_happen_once(kind: Kind, url: str) -> None:
    with kind.client(url) as hub:
        channel = fresh()
        first = hub.publish(channel, 1, idempotency_key="k")
        second = hub.publish(channel, 1, idempotency_key="k")
        assert (first.duplicate, second.duplicate) == (False, True)
        assert first.cursor == second.cursor
        with pytest.raises(Problem) as caught:
            hub.publish(channel, 2, idempotency_key="k")
        assert caught.value.name == "key-reused"


def test_conditions(kind: Kind, url: str) -> None:
    with kind.client(url) as hub:
        channel = fresh()
        with pytest.raises(Problem):
            hub.publish(channel, 0, if_match="*")
        first = hub.publish(channel, 1, if_none_match=True)
        with pytest.raises(Problem) as caught:
            hub.publish(channel, 1, if_none_match=True)
        assert (caught.value.name, caught.value.status) == ("precondition-failed", 412)
        assert caught.value.etag == f'"{first.cursor}"'
        value = hub.value(channel)
        second = hub.publish(channel, 2, if_match=value.etag)
        third = hub.publish(channel, 3, if_match=second.cursor)
        assert third.offset == 3


def test_a_batch_has_a_result_for_each_event(kind: Kind, url: str) -> None:
    with kind.client(url) as hub:
        one, two = fresh(), fresh()
        items = [Item(one, 1), Item([one, two], 2), Item(one, 3, if_match=f"{'x' * 12}-9")]
        results = hub.publish_many(items)
        receipts = [found for found in results if isinstance(found, Receipt)]
        assert [(r.channel, r.offset) for r in receipts] == [(one, 1), (one, 2), (two, 1)]
        assert isinstance(results[3], Problem)
        assert results[3].status == 412
        with pytest.raises(Problem) as caught:
            hub.publish_many([Item(one, 1), Item("", 1)])
        assert caught.value.fields["item"] == 1


def test_what_is_no_json_is_not_sent(kind: Kind, url: str) -> None:
    with kind.client(url) as hub:
        for data in (float("nan"), object()):
            with pytest.raises((ValueError, TypeError)):
                hub.publish(fresh(), data)


def test_other_urls_say_what_is_wrong(kind: Kind) -> None:
    for wrong in ("", "push.example.com", "ftp://push.example.com", "http://"):
        with pytest.raises(ValueError, match="is not a URL such as"):
            kind.client(wrong)
    with (
        kind.client(f"http://127.0.0.1:{free_port()}") as hub,
        pytest.raises(HubUnreachable, match="No response from http"),
    ):
        hub.publish("a", 1)


def test_a_header_that_cannot_be_sent(kind: Kind, url: str) -> None:
    with kind.client(url) as hub, pytest.raises(ValueError, match="cannot be sent as a header"):
        hub.publish(fresh(), 1, type="a\nb")
    with (
        kind.client(url, token="a\nb") as hub,
        hub.subscribe(fresh()) as events,
        pytest.raises(ValueError, match="cannot be sent as a header"),
    ):
        next(events)


def test_delete_and_list_of_problems(kind: Kind, url: str) -> None:
    with kind.client(url) as hub:
        channel = fresh()
        hub.publish(channel, 1)
        hub.delete(channel)
        assert hub.value(channel) is None
        with pytest.raises(Problem) as caught:
            hub.delete(channel)
        assert caught.value.name == "not-found"
        with pytest.raises(Problem):
            hub.notify("/orders/7")


# -- reading -----------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["poll", "sse"])
def test_a_subscription_reads_on(
    kind: Kind, url: str, transport: str, other: Client, later: Later
) -> None:
    one, two = fresh(), fresh()
    states: list[str] = []
    with kind.client(url) as hub:
        hub.publish_many([Item(one, 1), Item(one, 2), Item(two, b"3")])
        options: dict[str, Any] = {"transport": transport, "on_state": states.append}
        with hub.subscribe({one: "earliest", two: "earliest"}, **options) as events:
            assert {repr(data) for data in data_of(take(events, 3))} == {"1", "2", "b'3'"}
            for number in (4, 5):
                later(0.1, other.publish, one, number)
                begun = time.monotonic()
                assert data_of(take(events, 1)) == [number]
                assert time.monotonic() - begun < SOON
            assert events.state == "live"
        assert events.state == "closed"
    assert states[:2] == ["catching-up", "live"]
    assert states[-1] == "closed"


def test_since(kind: Kind, url: str, other: Client, later: Later) -> None:
    with kind.client(url) as hub:
        channel = fresh()
        first = hub.publish(channel, 1)
        hub.publish(channel, 2)
        for since, expected in (("earliest", 1), (first.cursor, 2)):
            with hub.subscribe([channel], since=since) as events:
                assert next(events).data == expected
        with hub.subscribe(channel) as events:
            later(0.5, other.publish, channel, 3)
            assert next(events).data == 3


@pytest.mark.parametrize("transport", ["poll", "sse"])
def test_gaps(kind: Kind, url: str, transport: str) -> None:
    with kind.client(url) as hub:
        trimmed, epoch = fresh("small:"), fresh()
        for number in range(6):
            first = hub.publish(trimmed, number)
            if not number:
                start = first.cursor
        hub.publish(epoch, 7)
        channels = {trimmed: start, epoch: "another-3"}
        with hub.subscribe(channels, transport=transport) as events:
            found = take(events, 6)
    gaps = {m.channel: m.reason for m in found if isinstance(m, Gap)}
    assert gaps == {trimmed: "trimmed", epoch: "epoch"}
    assert [m.data for m in found if m.channel == trimmed and isinstance(m, Event)] == [3, 4, 5]


def test_channels_come_and_go(kind: Kind, url: str, other: Client, later: Later) -> None:
    one, two = fresh(), fresh()
    with kind.client(url) as hub:
        other.publish(two, "before")
        with hub.subscribe(one, since="earliest") as events:
            later(0.2, other.publish, one, 1)
            assert next(events).data == 1
            events.add(two, "earliest")
            assert next(events).data == "before"
            events.remove(one)
            later(0.2, other.publish, one, "unread")
            later(0.4, other.publish, two, 2)
            assert next(events).data == 2
            assert set(events.cursors) == {two}


def test_a_channel_comes_while_a_request_is_held(url: str, shared: Server, later: Later) -> None:
    one, two = fresh(), fresh()
    with Client(url) as hub, hub.subscribe(one) as events:
        hub.publish(two, "there")
        later(0.5, events.add, two, "earliest")
        begun = time.monotonic()
        found = next(events)
        assert isinstance(found, Event)
        assert found.data == "there"
        assert time.monotonic() - begun < SOON


def test_numbers_are_read_as_the_caller_wants(kind: Kind, url: str) -> None:
    def exact(body: bytes) -> Any:
        return json.loads(body, parse_float=Decimal)

    with kind.client(url) as hub:
        channel = fresh()
        hub.publish(channel, b"0.10", content_type="application/json")
        with hub.subscribe(channel, since="earliest", decode=exact) as events:
            assert next(events).data == Decimal("0.10")
        assert str(hub.value(channel, decode=exact).data) == "0.10"


def test_values(kind: Kind, url: str, other: Client, later: Later) -> None:
    channel = fresh()
    with kind.client(url) as hub:
        with hub.values(channel, wait=1) as values:
            # It waits for the first, over the end of a wait.
            later(1.5, other.publish, channel, 1)
            first = next(values)
            assert first.data == 1
            later(0.2, other.publish, channel, 2)
            assert next(values).data == 2
            assert values.waits
        with hub.values(channel, etag=first.etag) as values:
            assert next(values).data == 2


# -- cursors -----------------------------------------------------------------------


def test_cursors_in_a_file(kind: Kind, url: str, tmp_path: Path) -> None:
    channel, path = fresh(), tmp_path / "cursors.json"
    with kind.client(url) as hub:
        hub.publish_many([Item(channel, number) for number in range(4)])
        with hub.subscribe(channel, since="earliest", cursors=path) as events:
            assert data_of(take(events, 2)) == [0, 1]
        # The second one was given, and not read to its end.
        with hub.subscribe(channel, since="now", cursors=path) as events:
            assert data_of(take(events, 2)) == [1, 2]
            events.commit()
        with hub.subscribe(channel, since="now", cursors=str(path)) as events:
            assert data_of(take(events, 1)) == [3]
        assert [one.name for one in tmp_path.iterdir()] == [path.name]
        path.write_text('{"a": 1}')
        with pytest.raises(CursorFileError, match="Delete it"):
            hub.subscribe(channel, cursors=path)


def test_cursors_by_a_callback(kind: Kind, url: str) -> None:
    channel = fresh()
    kept: list[dict[str, str]] = []
    with kind.client(url) as hub:
        receipts = hub.publish_many([Item(channel, number) for number in range(3)])
        with hub.subscribe(channel, since="earliest", cursors=kept.append) as events:
            take(events, 3)
    assert kept == [{channel: receipt.cursor} for receipt in receipts[:2]]


# -- tokens and refusals -----------------------------------------------------------


@pytest.fixture(scope="module")
def closed() -> Iterator[str]:
    """A hub whose channels need a token."""
    tokens = [{"algorithm": "HS256", "key": SECRET}]
    # A hub starts only with a key that may publish.
    keys = [{"name": "k", "sha256": secret_hash(API_KEY), "publish": ["*"]}]
    with serve(dev=False, public=False, token_keys=tokens, api_keys=keys) as server:
        yield f"http://127.0.0.1:{server.port}"


def token(*channels: str, seconds: float = 60.0, **grants: Any) -> str:
    rights = {"read": list(channels), "publish": list(channels), **grants}
    return jwt.encode({"exp": time.time() + seconds, "pushhub": rights}, SECRET, "HS256")


def test_a_token_by_a_callable_is_asked_for_again(kind: Kind, closed: str) -> None:
    channel, tokens = fresh(), [token("x", seconds=-10), token("*")]

    def next_token() -> str:
        return tokens.pop(0) if len(tokens) > 1 else tokens[0]

    with kind.client(closed, token=next_token) as hub:
        assert hub.publish(channel, 1).offset == 1
        tokens.insert(0, token("*", seconds=-10))
        with (
            kind.client(closed, token=next_token) as other,
            other.subscribe(channel, since="earliest") as events,
        ):
            assert next(events).data == 1


def test_a_token_that_ends_during_a_wait_is_renewed(kind: Kind, closed: str, later: Later) -> None:
    channel, made = fresh(), []

    def next_token() -> str:
        made.append(1)
        return token(channel, seconds=2.0 if len(made) == 1 else 60.0)

    with (
        Client(closed, token=token("*")) as publisher,
        kind.client(closed, token=next_token) as hub,
        hub.subscribe(channel) as events,
    ):
        timer = threading.Timer(4.0, publisher.publish, (channel, "after its end"))
        timer.start()
        assert next(events).data == "after its end"
        timer.join()
    assert len(made) == 2


async def test_a_token_by_a_coroutine(closed: str) -> None:
    channel = fresh()

    async def next_token() -> str:
        await asyncio.sleep(0)
        return token(channel)

    async with AsyncClient(closed, token=next_token) as hub:
        assert (await hub.publish(channel, 1)).offset == 1


def test_a_callable_that_fails(kind: Kind, closed: str, later: Later) -> None:
    channel, broken = fresh(), [True]

    def next_token() -> str:
        if broken:
            raise RuntimeError("no session")
        return token(channel)

    with kind.client(closed, token=next_token) as hub:
        with pytest.raises(TokenError, match="no session"):
            hub.publish(channel, 1)
        with hub.subscribe(channel, since="earliest") as events:

            def mend() -> None:
                assert isinstance(events.error, TokenError)
                broken.clear()
                with Client(closed, token=token(channel)) as other:
                    other.publish(channel, 2)

            later(0.5, mend)
            assert next(events).data == 2


def test_a_refusal_is_raised(kind: Kind, closed: str) -> None:
    mine, other = fresh(), fresh()
    with kind.client(closed) as hub:
        for call in (hub.publish, lambda channel, _: next(hub.subscribe(channel))):
            with pytest.raises(Problem) as caught:
                call(mine, 1)
            assert caught.value.status == 401
    with kind.client(closed, token=token(mine)) as hub:
        hub.publish(mine, 1)
        with pytest.raises(Problem) as caught:
            next(hub.subscribe(other))
        assert (caught.value.status, caught.value.channel) == (403, other)
        with hub.subscribe([mine, other], since="earliest") as events:
            refused, event = take(events, 2)
            assert isinstance(refused, Refusal)
            assert refused.channel == other
            assert event.data == 1


# -- cancellation ------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["poll", "sse"])
def test_close_ends_a_held_request_of_another_thread(
    url: str, transport: Any, later: Later
) -> None:
    channel = fresh()
    with Client(url) as hub:
        subscription = hub.subscribe(channel, transport=transport)
        later(1.0, subscription.close)
        begun = time.monotonic()
        assert list(subscription) == []
        assert time.monotonic() - begun < SOON
        values = hub.values(channel)
        later(1.0, values.close)
        begun = time.monotonic()
        assert list(values) == []
        assert time.monotonic() - begun < SOON


@pytest.mark.parametrize("transport", ["poll", "sse"])
async def test_a_cancelled_task_loses_nothing(shared: Server, url: str, transport: Any) -> None:
    channel = fresh()
    async with AsyncClient(url) as hub:
        async with hub.subscribe(channel, transport=transport) as events:
            for number in range(5):
                waiting = asyncio.create_task(anext(events))
                if number:
                    await shared.held(1)
                else:
                    await until(lambda: events.state == "live")
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await hub.publish(channel, number)
                message = await anext(events)
                assert isinstance(message, Event)
                assert message.data == number
        await shared.held(0)


async def test_close_ends_the_iteration_of_another_task(url: str) -> None:
    async with AsyncClient(url) as hub:
        events = hub.subscribe(fresh())

        async def read() -> int:
            return len([message async for message in events])

        reading = asyncio.create_task(read())
        await until(lambda: events.state == "live")
        await events.close()
        assert await asyncio.wait_for(reading, SOON) == 0


# -- beside it ---------------------------------------------------------------------


def test_an_httpx_client_of_ones_own(url: str) -> None:
    seen: list[str] = []

    def make() -> httpx2.Client:
        return httpx2.Client(event_hooks={"request": [lambda r: seen.append(r.url.path)]})

    with Client(url, http=make) as hub:
        channel = fresh()
        hub.publish(channel, 1)
        with hub.subscribe(channel, since="earliest") as events:
            next(events)
    assert seen == [f"/v1/channels/{channel}/events", "/v1/poll"]


FORK = """
import os, sys
from pushhub_client import Client

with Client(sys.argv[1]) as hub:
    hub.publish(sys.argv[2], "before")
    child = os.fork()
    for number in range(50):
        data = [os.getpid(), number]
        receipt = hub.publish(sys.argv[2], data)
        assert receipt.offset
    if child:
        assert os.waitpid(child, 0)[1] == 0
    else:
        os._exit(0)
"""


def test_a_child_process_has_connections_of_its_own(url: str) -> None:
    """As the workers of Celery and gunicorn do it. A shared connection would mix up receipts."""
    channel = fresh()
    subprocess.run([sys.executable, "-c", FORK, url, channel], check=True, timeout=60)
    with Client(url) as hub, hub.subscribe(channel, since="earliest") as events:
        assert len({str(event.data) for event in take(events, 101)}) == 101


def test_a_page_that_is_no_hubs(kind: Kind, url: str) -> None:
    with kind.client(f"{url}/docs") as hub, pytest.raises((InvalidResponse, Problem)):
        hub.publish("a", 1)


# -- in front of an API ------------------------------------------------------------


class Api(http.server.BaseHTTPRequestHandler):
    """An API without ETag, without waiting, and with one number."""

    def do_GET(self) -> None:
        body = json.dumps(self.server.number).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_poller_of_an_api_behind_a_hub_waits(kind: Kind) -> None:
    """The same two lines: directly it polls, through the hub it waits."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as api:
        api.number = 1  # type: ignore[attr-defined]
        thread = threading.Thread(target=api.serve_forever, args=(0.05,))
        thread.start()
        try:
            origin = f"http://127.0.0.1:{api.server_port}"
            with kind.poll(f"{origin}/number", 0.2) as numbers:
                assert data_of(take(numbers, 2)) == [1, 1]
                assert not numbers.waits
            routes = [{"path": "/number", "step": "poll", "interval": 0.2}]
            with (
                serve(origin=origin, routes=routes) as hub,
                kind.poll(f"http://127.0.0.1:{hub.port}/number") as numbers,
            ):
                assert next(numbers).data == 1
                api.number = 2  # type: ignore[attr-defined]
                assert next(numbers).data == 2
                assert numbers.waits
        finally:
            api.shutdown()
            thread.join()
