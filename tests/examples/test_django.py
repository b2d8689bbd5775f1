"""The shop on Django and Django REST framework, run as its README says."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie

import pytest

from tests.examples.conftest import Example, running
from tests.serving import until_held
from tests.wire import Client, Response

# A wait of 25 s ends a fifth earlier at most.
SOONEST_END = 20.0
FORM = {"content_type": "application/x-www-form-urlencoded"}


@pytest.fixture
def shop() -> Iterator[Example]:
    with running("django", "") as example:
        example.says(r"^curl -b cookies")
        yield example


async def enter(shop: Example, name: str) -> str:
    """The cookie of a user who has logged in."""
    body = f"user={name}&password={name}".encode()
    response = await shop.ask("PORT", "POST", "/login", body, **FORM)
    assert response.status == 200, response.body
    session = SimpleCookie(response.headers["set-cookie"])["sessionid"]
    return f"sessionid={session.value}"


async def change(shop: Example, state: str, cookie: str) -> Response:
    body = f"state={state}".encode()
    return await shop.ask("PORT", "POST", "/orders/1/state", body, cookie=cookie, **FORM)


@asynccontextmanager
async def waiting(shop: Example, target: str, cookie: str) -> AsyncIterator[asyncio.Task[Response]]:
    """A request that the hub holds."""
    first = await shop.ask("PORT", "GET", target, prefer="wait=25", cookie=cookie)
    assert (first.status, first.headers["preference-applied"]) == (200, "wait=25"), first.body
    fields = {"prefer": "wait=25", "if_none_match": first.headers["etag"], "cookie": cookie}
    task = asyncio.create_task(shop.ask("PORT", "GET", target, b"", **fields))
    async with await Client.connect(shop.ports["CONTROL_PORT"]) as client:
        await until_held(client, 1)
    yield task
    assert task.done()


@pytest.mark.parametrize("target", ["/orders/1", "/api/orders/1"])
async def test_a_view_waits_for_a_commit(target: str, shop: Example) -> None:
    cookie = await enter(shop, "ann")
    async with waiting(shop, target, cookie) as task:
        assert (await change(shop, "sent", cookie)).status == 200
        assert (await task).json() == {"id": 1, "state": "sent"}


async def test_a_transaction_that_is_rolled_back_publishes_nothing(shop: Example) -> None:
    cookie = await enter(shop, "ann")
    async with waiting(shop, "/orders/1", cookie) as task:
        assert (await change(shop, "", cookie)).status == 400
        assert (await change(shop, "sent", cookie)).status == 200
        assert (await task).json() == {"id": 1, "state": "sent"}
    feed = await shop.ask("CONTROL_PORT", "GET", "/v1/channels/orders:1/events?since=earliest")
    assert [event["data"] for event in feed.json()["events"]] == [{"state": "sent"}]


async def test_a_change_by_the_rest_framework_is_published(shop: Example) -> None:
    cookie = await enter(shop, "ann")
    # The session of a REST client needs no token against forgery when it logs in by Basic.
    basic = {"authorization": "Basic YW5uOmFubg==", "content_type": "application/json"}
    async with waiting(shop, "/orders/1", cookie) as task:
        body = b'{"state": "packed"}'
        assert (await shop.ask("PORT", "PATCH", "/api/orders/1", body, **basic)).status == 200
        assert (await task).json() == {"id": 1, "state": "packed"}


async def test_rights_are_checked_again_when_an_event_arrives(shop: Example) -> None:
    cookie, other = await enter(shop, "ann"), await enter(shop, "ann")
    async with waiting(shop, "/orders/1", cookie) as task:
        assert (await shop.ask("PORT", "POST", "/logout", cookie=cookie)).status == 200
        assert (await change(shop, "sent", other)).status == 200
        # Django deletes the cookie with its response, which is so for this client alone: the wait
        # ends immediately, and the next request passes through.
        begun = time.monotonic()
        assert (await task).status == 304
        assert time.monotonic() - begun < SOONEST_END
    again = {"prefer": "wait=25", "if_none_match": 'W/"any"', "cookie": cookie}
    assert (await shop.ask("PORT", "GET", "/orders/1", b"", **again)).status == 403


async def test_the_session_decides_who_may_read(shop: Example) -> None:
    ann, ben = await enter(shop, "ann"), await enter(shop, "ben")
    assert (await shop.ask("PORT", "GET", "/orders/1", prefer="wait=5", cookie=ben)).status == 403
    assert (await shop.ask("PORT", "GET", "/push/token", cookie=ben)).status == 403
    token = (await shop.ask("PORT", "GET", "/push/token", cookie=ann)).body.decode()
    await change(shop, "sent", ann)
    for channel, status in (("orders:1", 200), ("orders:2", 403)):
        target = f"/_pushhub/v1/channels/{channel}"
        answer = await shop.ask("PORT", "GET", target, authorization=f"Bearer {token}")
        assert answer.status == status
    assert (await shop.ask("PORT", "GET", "/_pushhub/v1/channels/orders:1")).status == 401
