"""Requests for shared resources that are understood without being parsed: they mean what they
meant, and no byte of who asks is passed over.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from pushhub.server.http1.request_cache import MAX_HEADERS_BYTES
from pushhub.settings import Settings
from tests.origin.apis import Api, Asked
from tests.origin.local_front import LocalFront, answer
from tests.origin.scripted import Wire, get
from tests.waiting import until


class Mirror(Api):
    """Says who asked: the cookie, the key and the language."""

    def _answer(self, asked: Asked) -> bytes:
        if asked.target in self.things:
            return super()._answer(asked)
        seen = {name: asked.headers.get(name) for name in ("cookie", "x-api-key", "accept", "host")}
        body = json.dumps(seen).encode()
        return b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body)


@pytest.fixture
async def api() -> AsyncIterator[Mirror]:
    async with Mirror.running() as api:
        yield api


@pytest.fixture
async def front(api: Mirror) -> AsyncIterator[LocalFront]:
    async with LocalFront(origin=api.url, control_hosts=["a", "b", "aa"]) as front:
        yield front


async def known(front: LocalFront, wire: Wire, raw: bytes) -> None:
    """Ask until it is remembered: what was seen once leaves a mark only."""
    for _ in range(3):
        await front.told(wire, raw)
    before = front.parsed
    await front.told(wire, raw)
    assert front.parsed == before


async def test_only_the_tag_may_change(front: LocalFront, api: Mirror) -> None:
    target = "/cached/tag"
    api.set(target, "seven", '"7"')
    async with await Wire.to(front.port) as wire:
        await known(front, wire, get(target, 'If-None-Match: "6"'))
        before = front.parsed
        for tag, status in (('"7"', 304), ('"8"', 200), ('W/"7-gzip"', 304), ("*", 304)):
            assert (await front.told(wire, get(target, f"If-None-Match: {tag}")))[0] == status
        assert front.parsed == before
        assert await front.told(wire, get(target)) == (200, b"seven")
        assert front.parsed == before + 1, "without a tag it is another request"
        assert api.count(target) == 1


@pytest.mark.parametrize("name", ["cookie", "x-api-key", "authorization", "accept", "host"])
async def test_who_asks_is_in_the_bytes(front: LocalFront, api: Mirror, name: str) -> None:
    """Clients take turns on one connection, as behind a proxy."""
    async with await Wire.to(front.port) as wire:
        for _ in range(4):
            for value in ("a", "b", "aa"):
                raw = get("/cached/who", f"{name}: {value}", 'If-None-Match: "0"')
                raw = raw.replace(b"Host: api.localhost\r\n", b"") if name == "host" else raw
                status, body = await front.told(wire, raw)
                assert (status, json.loads(body).get(name, value)) == (200, value)
    assert api.count("/cached/who") == 3


async def test_who_is_no_proxy_of_ours_speaks_for_nobody(api: Mirror) -> None:
    """The origin is not told the host that it claims; so who comes by a proxy must not get what was
    answered to it, be it understood or remembered.
    """
    raw = get("/cached/tenants", "X-Forwarded-Host: tenant.localhost")
    async with LocalFront(origin=api.url, trusted_proxies=["127.0.0.2/32"]) as front:
        for last in (1, 1, 1, 2, 2, 2, 1):
            local = (f"127.0.0.{last}", 0)
            streams = await asyncio.open_connection("127.0.0.1", front.port, local_addr=local)
            async with Wire(*streams) as wire:
                assert (await front.told(wire, raw))[0] == 200
        hosts = [asked.headers["x-forwarded-host"] for asked in api.asked]
        assert hosts == ["api.localhost", "tenant.localhost"]
        assert front.parsed == 4


async def test_waits_are_held_and_answered(front: LocalFront, api: Mirror) -> None:
    target = "/cached/waits"
    api.set(target, "0", '"0"')
    hub = front.app.service.hub
    sharing = front.sharing
    async with await Wire.to(front.port) as wire:
        for number in range(6):
            if number == 4:
                before = front.parsed
            wire.send(get(target, "Prefer: wait=20", f'If-None-Match: "{number}"'))
            await until(lambda: hub.parked == 1)
            api.set(target, str(number + 1), f'"{number + 1}"')
            sharing.notified([target], "")
            assert await answer(wire) == (200, str(number + 1).encode())
        assert front.parsed == before
    assert hub.parked == 0


@pytest.mark.slow
async def test_without_room_a_wait_passes_through(api: Mirror) -> None:
    target = "/cached/full"
    api.set(target, "seven", '"7"')
    raw = get(target, "Prefer: wait=1", 'If-None-Match: "7"')
    async with LocalFront(origin=api.url, max_holds=1) as front, await Wire.to(front.port) as wire:
        for _ in range(2):
            await front.told(wire, raw)
        async with await Wire.to(front.port) as other:
            other.send(raw.replace(b"wait=1", b"wait=30"))
            await until(lambda: front.app.service.hub.parked == 1)
            before = api.count(target)
            assert (await front.told(wire, raw))[0] == 304
            assert api.count(target) == before + 1


@pytest.mark.parametrize(
    "raw",
    [
        get("/cached/x", "Connection: close"),
        get("/cached/x").replace(b"HTTP/1.1", b"HTTP/1.0"),
        get("/cached/x", method="HEAD"),
        get("/cached/x", "X: " + "y" * MAX_HEADERS_BYTES),
        get("http://api.localhost/cached/x"),
        get("/cached/x", 'If-None-Match: "1"', 'If-None-Match: "2"'),
        get("/cached/x", "If-None-Match: ,"),
        get("/cached/x", "Range: bytes=0-1"),
        get("/cached/../x"),
        get("/other"),
        get("/tagged/x", 'If-None-Match: "1"'),
        get("/tagged/x"),
    ],
)
async def test_what_is_parsed_every_time(front: LocalFront, raw: bytes) -> None:
    for _ in range(4):
        async with await Wire.to(front.port) as wire:
            wire.send(raw)
            await wire.head()
    assert front.parsed == 4


async def test_a_name_without_a_value_is_no_tag(front: LocalFront, api: Mirror) -> None:
    target = "/cached/empty"
    api.set(target, "seven", '"7"')
    async with await Wire.to(front.port) as wire:
        await known(front, wire, get(target, 'If-None-Match: "7"'))
        for _ in range(4):
            assert await front.told(wire, get(target, "If-None-Match: ")) == (200, b"seven")
        assert (await front.told(wire, get(target, 'If-None-Match: "7"')))[0] == 304


async def test_in_pieces_and_many_at_once(front: LocalFront, api: Mirror) -> None:
    target = "/cached/pieces"
    api.set(target, "seven", '"7"')
    raw = get(target, 'If-None-Match: "7"')
    async with await Wire.to(front.port) as wire:
        await known(front, wire, raw)
        wire.send(raw * 3 + get(target))
        answers = [await answer(wire) for _ in range(4)]
        assert answers == [(304, b"")] * 3 + [(200, b"seven")]
        for cut in (1, 20, len(raw) - 5, len(raw) - 1):
            wire.send(raw[:cut])
            await asyncio.sleep(0.02)
            assert await front.told(wire, raw[cut:]) == (304, b"")


async def test_other_routes_are_other_meanings(front: LocalFront, api: Mirror) -> None:
    raw = get("/cached/routes", "Cookie: a=1")
    async with await Wire.to(front.port) as wire:
        await known(front, wire, raw)
        passing = [{"path": "/cached/*", "step": "pass"}]
        given = {**front.settings.model_dump(), "routes": passing}
        front.app.reconfigure(Settings.model_validate(given))
        before = api.count("/cached/routes")
        await front.told(wire, raw)
        assert api.count("/cached/routes") == before + 1


async def test_what_turns_out_to_vary_is_understood_anew(front: LocalFront, api: Mirror) -> None:
    """The user agent says nothing of a resource, until an answer says that it does."""
    target = "/public/varies"
    sharing = front.sharing
    async with await Wire.to(front.port) as wire:
        for agent in ("one", "two"):
            await known(front, wire, get(target, f"User-Agent: {agent}"))
        api.set(target, "now", '"2"', headers=[("Vary", "User-Agent")])
        # Who opts in has the origin asked, however fresh what is known may be.
        await front.told(wire, get(target, "Prefer: wait=1", "User-Agent: one"))
        (resource,) = sharing._resources.values()
        resource.passes_until = 0  # a minute later
        before = front.parsed
        for agent in ("one", "two"):
            assert await front.told(wire, get(target, f"User-Agent: {agent}")) == (200, b"now")
        assert front.parsed == before + 2
        assert [asked.headers["user-agent"] for asked in api.asked[-2:]] == ["one", "two"]


@pytest.mark.parametrize(("logs", "cached"), [(False, 1), (True, 0)])
async def test_a_log_of_requests_has_every_one(api: Mirror, logs: bool, cached: int) -> None:
    """A cached request has no head, which the line of the log needs."""
    async with LocalFront(origin=api.url, access_log=logs) as front:
        async with await Wire.to(front.port) as wire:
            for _ in range(3):
                await front.told(wire, get("/public/logged"))
        assert repr(front.context.shared_request_cache) == f"<SharedRequestCache {cached}>"
