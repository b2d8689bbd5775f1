"""Asking for a wait: what is honoured, what is clamped, what is ignored."""

import time

import pytest

from tests.serving import SOON, Server, events_of, fresh, value_of


async def granted(hub: Server, query: str = "", **headers: str) -> str | None:
    """What the answer to a poll that has an event says of its wait."""
    channel = fresh()
    await hub.publish(channel, 1)
    answer = await hub.get(events_of(channel) + query, **headers)
    assert answer.status == 200
    return answer.headers.get("preference-applied")


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=10", "wait=10"),
        ("wait=55", "wait=55"),
        ("wait=56", "wait=55"),
        ("wait=1e9", "wait=55"),
        ("wait=999999999999999999999999999", "wait=55"),
        ("wait=5, return=minimal", "wait=5"),
        ("return=minimal, wait=5", "wait=5"),
        ("respond-async; x=1, wait=7; y=2", "wait=7"),
        ('wait="10"', "wait=10"),
        ("WAIT=10", "wait=10"),
        ("wait=0", None),
        ("wait=abc", None),
        ("wait=-1", None),
        ("wait", None),
        ("wait=", None),
        ("return=minimal", None),
        ('x="a, wait=10"', None),
        ("wait=5, wait=10", "wait=5"),
    ],
)
async def test_prefer(hub: Server, prefer: str, applied: str | None) -> None:
    assert await granted(hub, prefer=prefer) == applied


@pytest.mark.parametrize(
    "prefer", ["wait=0", "wait=abc", "wait=-1"], ids=["zero", "word", "negative"]
)
async def test_an_unusable_wait_is_ignored(hub: Server, prefer: str) -> None:
    begun = time.monotonic()
    answer = await hub.get(events_of(fresh()) + "?since=now", prefer=prefer)
    assert answer.status == 200
    assert time.monotonic() - begun < SOON


async def test_of_two_prefer_headers_the_first_wait_counts(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    head = "Host: localhost\r\nPrefer: wait=3\r\nPrefer: wait=9\r\n"
    async with await hub.connect() as client:
        client.writer.write(f"GET {events_of(channel)} HTTP/1.1\r\n{head}\r\n".encode())
        raw = await client.reader.readuntil(b"\r\n\r\n")
    assert b"preference-applied: wait=3\r\n" in raw.lower()


@pytest.mark.parametrize(
    ("query", "headers", "applied"),
    [
        ("?wait=10", {}, "wait=10"),
        ("?wait=30s", {}, "wait=30"),
        ("", {"wait": "10"}, "wait=10"),
        ("?wait=10", {"prefer": "wait=20"}, "wait=20"),
        ("", {"wait": "10", "prefer": "wait=20"}, "wait=20"),
        ("?wait=10", {"wait": "20"}, "wait=20"),
        ("?wait=10", {"prefer": "return=minimal"}, "wait=10"),
        ("?wait=-1", {}, None),
        ("?wait=abc", {}, None),
        ("?wait=1e9", {}, "wait=55"),
        ("", {"wait": "x"}, None),
    ],
)
async def test_aliases(
    hub: Server, query: str, headers: dict[str, str], applied: str | None
) -> None:
    assert await granted(hub, query, **headers) == applied


async def test_an_event_ends_a_wait_by_an_alias(hub: Server) -> None:
    channel = fresh()
    async with hub.holding("GET", events_of(channel), wait="20") as answer:
        await hub.publish(channel, 1)
        assert (await answer).headers["preference-applied"] == "wait=20"


@pytest.mark.parametrize("path", [events_of, value_of], ids=["feed", "value"])
async def test_head_never_waits_and_has_no_body(hub: Server, path: object) -> None:
    assert callable(path)
    channel = fresh()
    await hub.publish(channel, 1)
    plain = await hub.get(path(channel))
    async with await hub.connect() as client:
        begun = time.monotonic()
        tag = f'"{await cursor(hub, channel)}"'
        for headers in ({"prefer": "wait=20"}, {"prefer": "wait=20", "if-none-match": tag}):
            answer = await client.ask("HEAD", path(channel), headers)
            assert answer.status in (200, 304)
            assert answer.body == b""
            assert "preference-applied" not in answer.headers
            if answer.status == 200:
                assert answer.headers["content-length"] == str(len(plain.body))
        assert time.monotonic() - begun < SOON


async def cursor(hub: Server, channel: str) -> str:
    return str((await hub.get(events_of(channel))).json()["cursor"])
