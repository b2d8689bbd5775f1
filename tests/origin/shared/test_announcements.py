"""The origin's own responses notify: by `X-Pushhub-Notify`, and as writes that pass through."""

import asyncio
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from pushhub.origin.client.response import UpstreamResponse
from pushhub.origin.shared.notifications import CHANNEL, SETTLE_SECONDS
from pushhub.store.base import Append, Outcome, StoreError
from pushhub.store.memory import MemoryStore
from tests.origin.apis import Api
from tests.origin.shared.front import Front, serving
from tests.origin.shared.test_resource import opened, virtually
from tests.ports import free_port
from tests.redis_servers import KINDS, Rack, RedisServer
from tests.serving import Server, serve
from tests.wire import Response

ROUTES = [
    {"path": "/notify/*", "step": "notify"},
    {"path": "/cached/*", "step": "notify", "max_age": 60},
    {"path": "/written/*", "step": "notify", "notify_writes": True},
    {"path": "/always/*", "step": "notify"},
    {"path": "/queried/*", "step": "poll", "methods": ["GET", "POST"], "notify_writes": True},
]
NAME = "X-Pushhub-Notify"


@pytest.fixture(scope="module", params=["front", "asgi"])
def hub(request: pytest.FixtureRequest) -> Iterator[tuple[Server, int]]:
    with serving(request.param, ROUTES) as running:
        yield running


async def notices(front: Front) -> int:
    """The notifications that the hub has received."""
    text = (await front.hub.get("/_pushhub/metrics")).body.decode()
    (line,) = re.findall(r"(?m)^pushhub_origin_notices_total (\S+)$", text)
    return int(line)


async def tells(
    front: Front,
    resource: str,
    method: str,
    target: str,
    *headers: tuple[str, str],
    status: int = 200,
    held: int = 0,
) -> Response:
    """The response to a request completes a wait on a resource; `held` others wait already."""
    front.api.set(resource, "1", '"one"')
    await front.wait(resource)
    async with front.waiting(resource, '"one"') as answer:
        await front.parked(held + 1)
        front.api.set(target, "{}", None, status, list(headers))
        front.api.set(resource, "2", '"two"')
        response = await front.hub.ask(method, target, body=b"x" if method != "DELETE" else b"")
        assert (await answer).headers["etag"] == '"two"'
    return response


async def silent(front: Front, method: str, target: str, status: int = 200) -> None:
    """A request notifies of nothing."""
    before = await notices(front)
    front.api.set(target, "{}", None, status)
    await front.hub.ask(method, target, body=b"x")
    assert await notices(front) == before


# -- the header ------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["{}", "/other, {}", "{},", "/notify/*", "/notify/{{id}}"])
@pytest.mark.parametrize("name", [NAME, NAME.lower()])
async def test_the_header_notifies_and_is_taken_off(front: Front, value: str, name: str) -> None:
    value = value.format(front.notified)
    response = await tells(front, front.notified, "POST", "/writes", (name, value), ("X-Own", "1"))
    assert response.headers["x-own"] == "1"
    assert NAME.lower() not in {header.lower() for header in response.headers}


async def test_two_headers_and_a_path_in_utf_8(front: Front) -> None:
    resource = f"{front.notified}/caf%C3%A9"
    named = f"{front.notified}/café".encode().decode("latin-1")
    await tells(front, resource, "PUT", "/writes", (NAME, "/other"), (NAME, named))


@pytest.mark.parametrize("status", [201, 204, 303, 404, 500])
async def test_the_status_makes_no_difference(front: Front, status: int) -> None:
    headers = (NAME, front.notified)
    response = await tells(front, front.notified, "DELETE", "/writes", headers, status=status)
    assert response.status == status
    assert NAME.lower() not in response.headers


async def test_a_shared_fetch_notifies_of_nothing(front: Front) -> None:
    """An origin that names a resource in the response to its GET would be fetched in a loop."""
    target = f"/always/{front.notified.rpartition('/')[2]}"
    headers = [(NAME, target), ("X-Own", "1")]
    front.api.set(target, "1", '"one"', headers=headers)
    before = await notices(front)
    first = await front.wait(target)
    assert (first.headers["x-own"], NAME.lower() in first.headers) == ("1", False)
    async with front.waiting(target, '"one"') as answer:
        await front.parked(1)
        looks = front.api.count(target)
        await front.notify(target)
        await front.api.reached(looks + 1, target)
        front.api.set(target, "2", '"two"', headers=headers)
        await front.notify(target)
        told = await answer
    assert (told.headers["etag"], NAME.lower() in told.headers) == ('"two"', False)
    assert await notices(front) == before + 2
    # A 304 of the origin passes, and is without the header, too.
    same = await front.hub.ask("GET", target, {"if-none-match": '"two"'})
    assert (same.status, NAME.lower() in same.headers) == (304, False)


@pytest.mark.parametrize(
    "value", ["", ",", "orders", "/a*b", "/a/{", "http://h/orders", "/" + "x" * 9000]
)
async def test_a_bad_value_notifies_of_nothing(front: Front, value: str) -> None:
    before = await notices(front)
    front.api.set("/writes", "ok", headers=[(NAME, value)])
    response = await front.hub.ask("POST", "/writes")
    assert (response.status, response.body, await notices(front)) == (200, b"ok", before)


async def test_too_many_names_count_for_all(front: Front) -> None:
    names = ", ".join(f"/{number}" for number in range(101))
    await tells(front, front.notified, "POST", "/writes", (NAME, names))


async def test_a_client_cannot_notify(front: Front) -> None:
    before = await notices(front)
    await front.hub.ask("POST", "/writes", {NAME: "/*"})
    assert await notices(front) == before


@pytest.mark.parametrize("status", [b"103 Early Hints", b"101 Switching Protocols", b"200 OK"])
def test_no_response_has_the_header_as_it_is_passed_on(status: bytes) -> None:
    head = (
        b"HTTP/1.1 %b\r\nx-PUSHHUB-notify: /a\r\nX-Own: 1\r\nX-Pushhub-Notify:/b\r\n\r\n" % status
    )
    response = UpstreamResponse(head, "GET")
    assert response.raw == b"HTTP/1.1 %b\r\nX-Own: 1\r\n\r\n" % status
    assert response.notified == (b" /a", b"/b")
    assert response.opening() == b"HTTP/1.1 %b\r\nX-Own: 1\r\n" % status
    other = b"HTTP/1.1 200 OK\r\nX: \r\n x-pushhub-notify: /a\r\nX-Pushhub-Notify2: /a\r\n\r\n"
    assert UpstreamResponse(other, "GET").notified == ()


# -- writes that pass through ------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_write_notifies_of_its_resource_and_its_collection(
    front: Front, method: str
) -> None:
    item = f"/written{front.notified}/7"
    collection = item.removesuffix("/7")
    await tells(front, item, method, item)
    await tells(front, f"{item}?view=short", method, item)
    await tells(front, collection, method, item)
    await tells(front, f"{collection}?page=2", method, f"{item}?force=1")
    await tells(front, f"{collection}/", method, f"{item}/")
    await tells(front, item, method, item, status=204)


@pytest.mark.parametrize("location", ["{}", "http://127.0.0.1{}", "9", "//127.0.0.1{}?x=1#y"])
async def test_a_created_resource_is_notified(front: Front, location: str) -> None:
    collection = f"/written{front.notified}/"
    created = (("Location", location.format(collection + "9")),)
    await tells(front, collection + "9", "POST", collection, *created, status=201)


async def test_what_is_no_write_that_succeeded_notifies_of_nothing(front: Front) -> None:
    item = f"/written{front.notified}/7"
    await silent(front, "GET", item)
    await silent(front, "REPORT", item)
    for status in (302, 400, 404, 500):
        await silent(front, "POST", item, status)
    # Without the setting, too, and with a method that only reads.
    await silent(front, "POST", front.notified)
    await silent(front, "POST", "/queried/7")


@pytest.mark.parametrize("path", ["*", "{id}", "{", "a*b"])
async def test_a_client_notifies_of_no_pattern(front: Front, path: str) -> None:
    """`DELETE /written/*` concerns the resource of this name, and not all below `/written/`."""
    other = f"/written{front.notified}/other"
    front.api.set(other, "1", '"one"')
    await front.wait(other)
    async with front.waiting(other, '"one"'):
        await front.parked(1)
        looks = front.api.count(other)
        front.api.set(f"/written{front.notified}/{path}", "{}")
        response = await front.hub.ask("DELETE", f"/written{front.notified}/{path}")
        assert response.status in (200, 400)
        collection = f"/written{front.notified}"
        await tells(front, collection, "POST", f"{collection}/7", held=1)
        assert front.api.count(other) == looks


# -- without a response, and on several nodes ---------------------------------------------


async def test_a_write_without_a_response_notifies(front: Front, hub: tuple[Server, int]) -> None:
    """The origin may have done it before the connection broke, or the client disconnected."""
    item = f"/written{front.notified}/7"
    front.api.set(item, "1", '"one"')
    await front.wait(item)
    async with front.waiting(item, '"one"') as answer:
        await front.parked(1)
        front.api.gate.clear()
        async with await front.hub.connect() as client:
            client.send("DELETE", item)
            await front.api.reached(front.api.count(item) + 1, item)
        front.api.set(item, "2", '"two"')
        front.api.gate.set()
        assert (await answer).headers["etag"] == '"two"'


async def test_a_write_that_no_origin_has_received_notifies_of_nothing(
    hub: tuple[Server, int],
) -> None:
    """Each one would fetch from an origin that is down, past the pause after a failure."""
    server, port = hub
    async with Api.running(port) as api:
        before = await notices(Front(server, api))
    assert (await server.ask("POST", "/written/down", body=b"x")).status == 502
    async with Api.running(port) as api:
        # A notification of this node, after which the other one would have been received.
        await Front(server, api).notify("/notify/other")
        assert await notices(Front(server, api)) == before + 1


@pytest.fixture(scope="module")
def valkey() -> Iterator[RedisServer]:
    rack = Rack()
    yield rack.start(KINDS["valkey9"])
    rack.close()


async def test_all_nodes_receive_it(valkey: RedisServer) -> None:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with (
        serve(store=valkey.url(), origin=origin, routes=ROUTES) as near,
        serve(store=valkey.url(), origin=origin, routes=ROUTES) as far,
    ):
        async with Api.running(port) as api:
            front, other = Front(near, api), Front(far, api)
            api.set(front.notified, "1", '"one"')
            await other.wait(front.notified)
            async with other.waiting(front.notified, '"one"') as answer:
                await other.parked(1)
                api.set(front.notified, "2", '"two"')
                api.set("/writes", "", headers=[(NAME, front.notified)])
                await near.ask("POST", "/writes")
                assert (await answer).headers["etag"] == '"two"'


async def test_without_the_store_this_node_is_notified(valkey: RedisServer) -> None:
    """The response to the write comes all the same, and the log says why others may be late."""
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with serve(store=valkey.url(), origin=origin, routes=ROUTES) as server:
        async with Api.running(port) as api:
            front = Front(server, api)
            api.set(front.cached, "1", '"one"')
            assert (await server.get(front.cached)).body == b"1"
            valkey.signal(signal.SIGSTOP)
            try:
                api.set(front.cached, "2", '"two"')
                api.set("/writes", "done", headers=[(NAME, front.cached)])
                assert (await server.ask("POST", "/writes")).body == b"done"
                server.output.find(re.compile("origin.notified_here_only"), 10)
            finally:
                valkey.signal(signal.SIGCONT)


async def test_a_write_is_followed_by_its_read(valkey: RedisServer) -> None:
    """With `max_age` plain reads come from memory. The response to a write comes when they do no
    more: it waits for the store, which is stopped here for a moment.
    """
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with serve(store=valkey.url(), origin=origin, routes=ROUTES) as server:
        async with Api.running(port) as api:
            api.set("/cached/a", "1", '"one"')
            assert (await server.get("/cached/a")).body == b"1"
            api.set("/cached/a", "2", '"two"')
            api.set("/writes", "done", headers=[(NAME, "/cached/a")])
            valkey.signal(signal.SIGSTOP)
            try:
                began = time.monotonic()
                write = asyncio.create_task(server.ask("POST", "/writes"))
                await api.settled(2)
                for _ in range(5):
                    await server.get("/_pushhub/livez")
                # A machine that takes longer for five requests shows nothing.
                assert not write.done() or time.monotonic() - began > SETTLE_SECONDS
            finally:
                valkey.signal(signal.SIGCONT)
            assert (await write).body == b"done"
            assert (await server.get("/cached/a")).body == b"2"


class FailingStore(MemoryStore):
    """A store that refuses each notification after half a second."""

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        if appends[0].channel != CHANNEL:
            super().append(appends, done)
            return
        outcomes: list[Outcome] = [StoreError("It is read-only.") for _ in appends]
        asyncio.get_running_loop().call_later(0.5, done, outcomes)


@virtually
async def test_a_client_that_leaves_does_not_take_a_notification_along() -> None:
    async with opened(FailingStore(lambda: 1e9), step="notify", max_age=3600) as front:
        assert (await front.answer(wait=None)).body == b"0"
        front.client.state = 1
        assert (await front.answer(wait=None)).body == b"0"
        write = asyncio.create_task(front.origin.announce(["/orders"]))
        await asyncio.sleep(0.1)
        write.cancel()
        await asyncio.sleep(1)
        assert (await front.answer(wait=None)).body == b"1"
