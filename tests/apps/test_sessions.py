"""Django's sessions behind pushhub, with the lines of docs/apps.md: users get their own state, and
neither the CSRF cookie nor those of analytics prevent sharing.
"""

import asyncio
import json
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.apps.application import Poll
from tests.apps.catalogue import APPLICATIONS
from tests.apps.sessions import Session
from tests.apps.stage import Stage, staged
from tests.apps.waiter import Waiter
from tests.cli.running import pushhub
from tests.wire import Response

TABS = 6
WATCHED_SECONDS = 3.0
SECONDS = 30.0
MINE = "/mine/?format=json"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with (
        tempfile.TemporaryDirectory(prefix="pushhub-app-") as folder,
        staged(APPLICATIONS["django_rest"], Path(folder)) as stage,
    ):
        yield stage


@pytest.fixture(scope="module")
def users(stage: Stage) -> tuple[Session, Session]:
    """Both log in through the hub."""
    url = f"http://127.0.0.1:{stage.hub.port}"
    return Session(url, "ann"), Session(url, "bob")


def texts(response: Response) -> list[str]:
    return [order["text"] for order in json.loads(response.body)["results"]]


async def test_tabs_of_a_user_share_and_users_do_not(
    stage: Stage, users: tuple[Session, Session]
) -> None:
    """Each tab has an analytics cookie and a CSRF cookie of its own, as on several devices."""
    ann, bob = users
    async with AsyncExitStack() as stack:

        async def tab(user: Session, number: int) -> Waiter:
            cookie = user.cookie(csrftoken=f"{number:032}", _ga=f"GA1.1.{number}")
            client = await stack.enter_async_context(stage.client())
            return Waiter(client, Poll(MINE, lambda _: None, headers={"Cookie": cookie}))

        tabs = [await tab(ann, number) for number in range(TABS)]
        other = await tab(bob, TABS)
        for waiter in tabs:
            response = await waiter.open()
            assert texts(response) == ["the first order of ann"]
            assert "set-cookie" not in response.headers, "the CSRF cookie of another tab"
        assert texts(await other.open()) == ["the first order of bob"]

        for waiter in (*tabs, other):
            waiter.send()
        await stage.held(TABS + 1)
        began = time.monotonic()
        await asyncio.sleep(WATCHED_SECONDS)
        fetches = len(stage.relay.since(began))
        # A resource for each user; with one for each tab there would be seven times three.
        assert fetches <= 2 * (WATCHED_SECONDS / stage.interval + 1), fetches

        news = [asyncio.create_task(waiter.news()) for waiter in tabs]
        of_bob = asyncio.create_task(other.news())
        await asyncio.to_thread(ann.create, "a secret of ann")
        async with asyncio.timeout(SECONDS):
            for response in await asyncio.gather(*news):
                assert texts(response) == ["a secret of ann", "the first order of ann"]
                assert "set-cookie" not in response.headers
        assert not of_bob.done(), "a change of ann is no news for bob"
        await asyncio.to_thread(bob.create, "a secret of bob")
        async with asyncio.timeout(SECONDS):
            assert texts(await of_bob) == ["a secret of bob", "the first order of bob"]


async def test_requests_that_do_not_wait_still_get_the_renewed_cookie(
    stage: Stage, users: tuple[Session, Session]
) -> None:
    async with stage.client() as client:
        response = await client.ask("GET", MINE, {"cookie": users[0].cookie()})
    assert response.headers["set-cookie"].startswith("csrftoken=")


async def test_a_session_that_is_unknown_or_absent_gets_nothing_of_a_user(
    stage: Stage, users: tuple[Session, Session]
) -> None:
    async with stage.client() as waiting, stage.client() as client:
        tab = Waiter(waiting, Poll(MINE, lambda _: None, headers={"Cookie": users[0].cookie()}))
        assert "the first order of ann" in texts(await tab.open())
        tab.send()
        await stage.held(1)
        for cookie in ({"cookie": "sessionid=unknown; _ga=1"}, {}):
            response = await client.ask("GET", MINE, {"prefer": "wait=25", **cookie})
            assert response.status == 403
            assert b"order" not in response.body


def test_suggest_proposes_the_lines(stage: Stage, users: tuple[Session, Session]) -> None:
    """From responses of the application itself, without a hub."""
    header = f"Cookie: {users[0].cookie(_ga='GA1.1.7')}"
    quick = ("--looks", "3", "--pause", "0.15")
    done = pushhub("routes", "suggest", *quick, stage.place.url + MINE, "-H", header)
    assert done.exit_code == 0, done
    suggested = tomllib.loads(done.stdout)["routes"]
    ours = [one for one in stage.application.route_tables if one["path"] == "/mine/"]
    assert suggested == ours, done.stdout
