"""`PushHub` in an application: the public names, publish, subscribe, and the mounted hub."""

import asyncio
import contextlib
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import pushhub
from pushhub import Cursor, Event, Gap, Problem, PushHub, Settings
from pushhub.settings import Namespace
from tests.embedding.hosted import Hosted, hosted, hub
from tests.waiting import until
from tests.wire import Client

NAMES = ["Cursor", "Event", "Gap", "Problem", "PushHub", "Receipt", "Settings", "__version__"]
SIGNATURES = {
    "lifespan": "(self, app: 'Any' = None) -> 'AsyncIterator[None]'",
    "notify": "(self, channel: 'str') -> 'None'",
    "publish": (
        "(self, channel: 'str', data: 'Any', *, type: 'str' = '', id: 'str' = '',"
        " content_type: 'str | None' = None, idempotency_key: 'str' = '',"
        " if_match: 'Cursor | str | None' = None, if_none_match: 'str | None' = None)"
        " -> 'Receipt'"
    ),
    "subscribe": (
        "(self, channel: 'str', since: 'Cursor | str' = 'now') -> 'AsyncIterator[Event | Gap]'"
    ),
    "waits": (
        "(self, channel: 'str | Callable[[Request], str]', *, concurrency: 'int' = 40)"
        " -> 'Callable[[T], T]'"
    ),
}


def test_the_public_names() -> None:
    assert sorted(pushhub.__all__) == NAMES
    assert dir(pushhub) == NAMES
    for name in NAMES:
        assert getattr(pushhub, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Hub'"):
        _ = pushhub.Hub


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_public_signatures(name: str) -> None:
    method = getattr(PushHub, name)
    signature = str(inspect.signature(method))
    assert signature == SIGNATURES[name]
    assert method.__doc__


def test_the_import_of_the_package_is_cheap() -> None:
    code = "import pushhub, sys; print(sorted(n for n in sys.modules if n.startswith('pushhub')))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['pushhub']"


@pytest.fixture
async def push() -> AsyncIterator[PushHub]:
    push = hub()
    async with push.lifespan():
        yield push


async def test_values_of_python_are_published_as_json_and_bytes_as_they_are(push: PushHub) -> None:
    for data in ({"total": 3}, "text", None, b"\x00\xff"):
        await push.publish("a", data)
    await push.publish("a", "plain", content_type="text/plain", type="note", id="n1")
    events = [event async for event in _first(push, "a", 5)]
    assert [event.data for event in events] == [
        b'{"total":3}',
        b'"text"',
        b"null",
        b"\x00\xff",
        b"plain",
    ]
    assert [event.payload for event in events] == [{"total": 3}, "text", None, b"\x00\xff", "plain"]
    assert (events[4].type, events[4].id) == ("note", "n1")


async def _first(push: PushHub, channel: str, count: int) -> AsyncIterator[Event]:
    async with contextlib.aclosing(push.subscribe(channel, "earliest")) as events:  # type: ignore[type-var]
        async for event in events:
            assert isinstance(event, Event)
            yield event
            count -= 1
            if not count:
                return


async def test_a_receipt_names_the_event(push: PushHub) -> None:
    first = await push.publish("a", 1, idempotency_key="k")
    again = await push.publish("a", 1, idempotency_key="k")
    assert isinstance(first.cursor, Cursor)
    assert (first.duplicate, again.duplicate) == (False, True)
    assert (again.cursor, again.id) == (first.cursor, first.id)


async def test_a_conditional_publish(push: PushHub) -> None:
    first = await push.publish("value", 1, if_none_match="*")
    second = await push.publish("value", 2, if_match=first.cursor)
    assert second.cursor.offset == first.cursor.offset + 1
    with pytest.raises(Problem) as refused:
        await push.publish("value", 3, if_match=first.cursor)
    assert refused.value.slug == "precondition-failed"
    assert refused.value.members["etag"] == second.cursor.etag
    await push.publish("value", 3, if_match=second.cursor.etag)


@pytest.mark.parametrize(
    ("channel", "arguments", "slug"),
    [
        ("$own", {"data": 1}, "bad-channel"),
        ("", {"data": 1}, "bad-channel"),
        ("a", {"data": object()}, "bad-body"),
        ("a", {"data": b"x" * 300_000}, "bad-body"),
        ("a", {"data": 1, "type": "gap"}, "bad-body"),
        ("a", {"data": 1, "idempotency_key": "\n"}, "bad-body"),
        ("a", {"data": "{", "content_type": "application/json"}, "bad-body"),
        ("a", {"data": 1, "if_match": "never a cursor"}, "bad-request"),
        ("a", {"data": 1, "if_none_match": "x"}, "bad-request"),
    ],
)
async def test_what_cannot_be_published(
    push: PushHub, channel: str, arguments: dict[str, object], slug: str
) -> None:
    with pytest.raises(Problem) as refused:
        await push.publish(channel, **arguments)  # type: ignore[arg-type]
    assert refused.value.slug == slug


async def test_a_subscription_goes_on_from_a_cursor_and_ends_with_the_hub(push: PushHub) -> None:
    first = await push.publish("a", 1)
    await push.publish("a", 2)
    seen: list[object] = []

    async def read() -> None:
        async for event in push.subscribe("a", since=first.cursor):
            assert isinstance(event, Event)
            seen.append(event.payload)

    reading = asyncio.create_task(read())
    await until(lambda: seen == [2])
    await push.publish("a", 3)
    await until(lambda: seen == [2, 3])
    await push.service.hub.drain(0)
    await asyncio.wait_for(reading, 10)


async def test_a_gap_is_yielded_and_the_oldest_event_follows() -> None:
    push = hub(retention_events=2)
    async with push.lifespan():
        first = await push.publish("a", 0)
        for number in range(1, 5):
            await push.publish("a", number)
        events = push.subscribe("a", first.cursor)
        gap = await anext(events)
        assert isinstance(gap, Gap)
        oldest = await anext(events)
        assert isinstance(oldest, Event)
        assert oldest.payload == 3


@pytest.mark.parametrize(
    ("channel", "since", "slug"), [("$", "now", "bad-channel"), ("a", "?", "bad-cursor")]
)
async def test_what_cannot_be_subscribed_to(
    push: PushHub, channel: str, since: str, slug: str
) -> None:
    with pytest.raises(Problem) as refused:
        push.subscribe(channel, since)
    assert refused.value.slug == slug


async def test_a_subscriber_that_leaves_holds_nothing(push: PushHub) -> None:
    async def read() -> None:
        async for _ in push.subscribe("a"):
            pass

    reading = asyncio.create_task(read())
    await until(lambda: push.service.hub.parked == 1)
    reading.cancel()
    await until(lambda: push.service.hub.parked == 0)


async def test_a_hub_that_is_not_open_says_what_to_do() -> None:
    push = hub()
    with pytest.raises(RuntimeError, match=r"lifespan=push\.lifespan"):
        await push.publish("a", 1)
    with pytest.raises(RuntimeError, match=r"lifespan=push\.lifespan"):
        push.subscribe("a")


@pytest.fixture
async def mounted() -> AsyncIterator[Hosted]:
    push = PushHub(
        Settings(
            store="memory://",
            namespaces={"news": Namespace(public=True)},
            xmpp_domains=["localhost"],
        )
    )
    app = Starlette(routes=[Mount("/push", push)], lifespan=push.lifespan)
    async with hosted(app, push) as running:
        yield running


async def test_without_keys_only_python_publishes(mounted: Hosted) -> None:
    receipt = await mounted.push.publish("news:1", {"n": 1})
    feed = await mounted.ask("/push/v1/channels/news:1/events?since=earliest")
    assert [event["cursor"] for event in feed.json()["events"]] == [str(receipt.cursor)]
    assert (await mounted.ask("/push/v1/channels/other/events")).status == 401
    async with await Client.connect(mounted.port) as client:
        refused = await client.ask("POST", "/push/v1/channels/news:1/events", None, b"1")
    assert refused.status == 401


@pytest.mark.parametrize("page", ["openapi.json", "docs", "client.js", "livez", "readyz"])
async def test_the_pages_of_a_mounted_hub(mounted: Hosted, page: str) -> None:
    assert (await mounted.ask(f"/push/{page}")).status == 200


async def test_the_addresses_of_a_mounted_hub_are_those_of_its_mount(mounted: Hosted) -> None:
    moved = await mounted.ask("/push/docs/")
    assert (moved.status, moved.headers["location"]) == (307, "../docs")
    missing = await mounted.ask("/push/nothing")
    assert missing.problem == "not-found"
    assert "/push/docs" in missing.json()["detail"]
    document = (await mounted.ask("/push/openapi.json")).json()
    assert document["servers"][0]["url"] == "."
    links = (await mounted.ask("/push/.well-known/host-meta.json")).json()["links"]
    assert any(link["href"].endswith("/push/http-bind") for link in links)
    bosh = await mounted.ask("/push/http-bind")
    assert bosh.status == 200
