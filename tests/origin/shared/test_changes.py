"""A hub in front of an origin: what ends a wait, and resources for which every response is new."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator

import pytest

from pushhub.origin.shared.poll_interval import ALWAYS_NEW, ALWAYS_NEW_SECONDS
from tests.origin.shared.front import Front, serving
from tests.serving import SOON, Server

INTERVAL = 0.1
ROUTES = [
    {"path": "/seconds", "step": "poll", "interval": INTERVAL, "ignore": ["header:etag"]},
    {"path": "/rows", "step": "poll", "interval": INTERVAL, "ignore": ["ms"]},
    {"path": "/*", "step": "poll", "interval": INTERVAL},
]


@pytest.fixture(scope="module")
def hub() -> Iterator[tuple[Server, int]]:
    with serving("front", ROUTES) as running:
        yield running


async def test_an_ignored_value_ends_no_wait(front: Front) -> None:
    numbers = itertools.count()

    def set_rows(rows: int) -> None:
        number = next(numbers)
        front.api.set("/rows", json.dumps({"rows": rows, "ms": number}), f'"{number}"')

    set_rows(1)
    first = await front.wait("/rows")
    assert first.json() == {"rows": 1, "ms": 0}, "the client gets the whole body"
    async with front.waiting("/rows", first.headers["etag"]) as answer:
        await front.parked(1)
        for _ in range(5):
            set_rows(1)
            await front.api.reached(front.api.count() + 1)
        assert not answer.done()
        set_rows(2)
        second = await answer
    assert second.json()["rows"] == 2
    assert second.headers["preference-applied"] == "wait=20"
    # A client with the tag of the origin, from a response without a wait, has it as well.
    plain = await front.hub.ask("GET", "/rows")
    async with front.waiting("/rows", plain.headers["etag"]) as answer:
        await front.parked(1)
        assert not answer.done()


async def test_a_tag_that_stays_over_a_change_hides_it_from_no_client(front: Front) -> None:
    """The `ETag` of hgweb has whole seconds: of two changes within one, the second keeps the first
    one's tag, and a conditional fetch would get 304 until the next change.
    """
    front.api.set("/seconds", "first", '"1796044341"')
    first = await front.wait("/seconds")
    async with front.waiting("/seconds", first.headers["etag"]) as answer:
        await front.parked(1)
        front.api.set("/seconds", "second", '"1796044341"')
        assert (await answer).body == b"second"
    assert not any("if-none-match" in asked.headers for asked in front.api.asked)


@pytest.mark.slow
async def test_a_resource_that_is_always_new_keeps_the_old_interval(front: Front) -> None:
    target, numbers = "/clock", itertools.count()

    async def tick() -> None:
        while True:
            count = front.api.count(target)
            front.api.set(target, json.dumps({"rows": 1, "at": next(numbers)}))
            await front.api.reached(count + 1, target)

    front.api.set(target, "{}")
    ticking = asyncio.create_task(tick())
    try:
        answer = await front.wait(target)
        for _ in range(ALWAYS_NEW + 2):
            answer = await front.wait(target, answer.headers["etag"])
            if "preference-applied" not in answer.headers:
                break
        assert answer.status == 200
        assert "preference-applied" not in answer.headers, "its clients keep their interval"
        begun, count = time.monotonic(), front.api.count(target)
        answer = await front.wait(target, answer.headers["etag"])
        assert time.monotonic() - begun > ALWAYS_NEW_SECONDS - 2 * INTERVAL
        assert front.api.count(target) - count <= 2
        found = await asyncio.to_thread(
            front.hub.output.find, re.compile(r".*origin\.always_new.*"), 10
        )
        assert "$.at" in found[0]
    finally:
        ticking.cancel()
    # It is quiet again.
    tag = answer.headers["etag"]
    while (quiet := await front.wait(target, tag, prefer="wait=10")).status == 200:
        tag = quiet.headers["etag"]
    assert quiet.status == 304
    async with front.waiting(target, tag) as waiting:
        await front.parked(1)
        front.api.set(target, '{"rows": 2}')
        begun = time.monotonic()
        assert (await waiting).headers["preference-applied"] == "wait=20"
        assert time.monotonic() - begun < INTERVAL + SOON
