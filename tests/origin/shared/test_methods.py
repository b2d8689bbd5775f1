"""Requests that are no GET and wait: the owner of the route says that they only read."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from pydantic import ValidationError

from pushhub.origin.shared.request_body import key_of
from pushhub.settings.route import Route
from tests.origin.shared.front import Front, serving
from tests.serving import Server
from tests.wire import Response

ROUTES = [
    {"path": "/query/*", "step": "notify", "methods": ["GET", "POST"], "share_body_bytes": 64},
    {"path": "/dav/*", "step": "notify", "methods": ["GET", "PROPFIND", "REPORT"]},
    {"path": "/plain/*", "step": "notify"},
]
JSON = "application/json"


@pytest.fixture(scope="module", params=["front", "asgi"])
def hub(request: pytest.FixtureRequest) -> Iterator[tuple[Server, int]]:
    with serving(request.param, ROUTES) as running:
        yield running


@asynccontextmanager
async def sent(
    front: Front, method: str, target: str, body: bytes, tag: str | None = None, **more: str
) -> AsyncIterator[asyncio.Task[Response]]:
    """An opted-in request with a body."""
    fields = {"prefer": "wait=20", "content-type": JSON}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    if tag is not None:
        fields["if-none-match"] = tag
    async with await front.hub.connect() as client:
        client.send(method, target, fields, body)
        task = asyncio.create_task(client.receive(40))
        try:
            yield task
        finally:
            task.cancel()


async def ask(front: Front, method: str, target: str, body: bytes, **more: str) -> Response:
    async with sent(front, method, target, body, **more) as response:
        return await response


async def test_a_query_waits_and_is_shared_by_the_meaning_of_its_body(front: Front) -> None:
    api, target = front.api, "/query/a"
    api.set(target, "1")
    first = await ask(front, "POST", target, b'{"a": 1, "b": [2]}')
    assert first.headers["preference-applied"] == "wait=20"
    tag = first.headers["etag"]
    assert api.asked[-1].method == "POST"
    assert json.loads(api.asked[-1].body) == {"a": 1, "b": [2]}
    async with (
        sent(front, "POST", target, b'{"b":[2],"a":1}', tag) as one,
        sent(front, "POST", target, b'{"a":1,"b":[2]}', tag) as two,
        sent(front, "POST", target, b'{"a":1,"b":[3]}', tag) as other,
    ):
        await front.parked(3, looks=2)
        before = api.count()
        api.set(target, "2")
        await front.notify(target)
        assert [(await task).body for task in (one, two, other)] == [b"2"] * 3
        assert api.count() == before + 2
    # No condition, which would ask for a 412.
    assert not any("if-none-match" in asked.headers for asked in api.asked)


async def test_the_end_of_the_wait_is_a_304(front: Front) -> None:
    front.api.set("/query/b", "1")
    tag = (await ask(front, "POST", "/query/b", b"{}")).headers["etag"]
    async with await front.hub.connect() as client:
        fields = {"prefer": "wait=1", "content-type": JSON, "if-none-match": tag}
        response = await client.ask("POST", "/query/b", fields, b"{}")
    assert (response.status, response.headers["preference-applied"]) == (304, "wait=1")


async def test_a_webdav_query_waits(front: Front) -> None:
    api = front.api
    api.set("/dav/a", "<1/>", status=207)
    xml = {"content_type": "text/xml", "depth": "1"}
    first = await ask(front, "PROPFIND", "/dav/a", b"<propfind/>", **xml)
    assert (first.status, first.headers["preference-applied"]) == (207, "wait=20")
    async with sent(
        front, "PROPFIND", "/dav/a", b"<propfind/>", first.headers["etag"], **xml
    ) as news:
        await front.parked(1)
        api.set("/dav/a", "<2/>", status=207)
        await front.notify("/dav/a")
        assert (await news).body == b"<2/>"
    # Depth, the method and the bytes of the body count.
    for method, body, depth in (
        ("PROPFIND", b"<propfind/>", "0"),
        ("PROPFIND", b"<propfind />", "1"),
        ("REPORT", b"<propfind/>", "1"),
    ):
        before = api.count()
        await ask(front, method, "/dav/a", body, content_type="text/xml", depth=depth)
        assert api.count() == before + 1


@pytest.mark.parametrize(
    ("target", "method", "body", "more"),
    [
        # The route does not say that the method reads.
        ("/plain/a", "POST", b"{}", {}),
        ("/dav/b", "POST", b"{}", {}),
        ("/query/c", "DELETE", b"", {}),
        # Too large.
        ("/query/d", "POST", b'"' + b"x" * 70 + b'"', {}),
        ("/query/e", "POST", b"{}", {"if_match": '"1"'}),
        # Not opted in.
        ("/query/f", "POST", b"{}", {"prefer": "return=minimal"}),
    ],
)
async def test_all_else_passes_through_once_and_as_it_is(
    front: Front, target: str, method: str, body: bytes, more: dict[str, str]
) -> None:
    front.api.set(target, "1", '"1"')
    for _ in range(2):
        before = front.api.count()
        response = await ask(front, method, target, body, **more)
        assert "preference-applied" not in response.headers
        assert front.api.count() == before + 1
        asked = front.api.asked[-1]
        assert (asked.method, asked.body) == (method, body)
    await front.notify(target)
    await asyncio.sleep(0.3)
    assert front.api.count() == before + 1, "nothing was repeated"


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (b'{"a":1,"b":2}', b'{ "b":2, "a":1 }', True),
        (b'"\\u00e9"', '"é"'.encode(), True),
        (b"1", b"1.0", False),
        (b"12345678901234567890123", b"12345678901234567890124", False),
        (b'"1"', b"1", False),
        # Origins differ in which of two members they read.
        (b'{"a":1,"a":2}', b'{"a":2}', False),
        (b'{"a":1,"a":2}', b'{"a":1, "a":2}', False),
        (b"[NaN]", b"[ NaN]", False),
        (b"not JSON", b"not  JSON", False),
        (b"[" * 60_000, b"[" * 60_000 + b" ", False),
        (b'{"a":[1,2]}', b'{"a":[2,1]}', False),
    ],
)
def test_the_part_of_a_body_in_the_key(one: bytes, other: bytes, is_same: bool) -> None:
    assert (key_of(one, JSON) == key_of(other, JSON)) is is_same
    if one != other:
        assert key_of(one, "text/plain") != key_of(other, "text/plain")
    assert key_of(one, JSON) != key_of(one, "application/x+json")
    assert key_of(one, "multipart/form-data; boundary=A") != key_of(
        one, "multipart/form-data; boundary=a"
    )


@pytest.mark.parametrize(
    "route",
    [
        {"step": "grip", "methods": ["POST"]},
        {"step": "poll", "methods": ["DELETE"]},
        {"step": "poll", "methods": ["post"]},
        {"step": "poll", "methods": []},
        {"step": "poll", "share_body_bytes": 65_537},
    ],
)
def test_a_route_that_contradicts_itself_is_refused(route: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Route.model_validate(route)
