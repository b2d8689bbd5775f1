"""Shared polls on several nodes: one of them looks, all hear."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from tests.origin.apis import Api
from tests.origin.shared.front import Front
from tests.origin.shared.test_sharing import ROUTES, race
from tests.ports import free_port
from tests.redis_servers import KINDS, Rack, RedisServer
from tests.serving import Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    rack = Rack()
    yield rack.start(KINDS["valkey9"])
    rack.close()


@pytest.fixture(scope="module")
def nodes(server: RedisServer) -> Iterator[tuple[Server, Server, int]]:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    with (
        serve(store=server.url(), origin=origin, routes=ROUTES) as near,
        serve(store=server.url(), origin=origin, routes=ROUTES) as far,
    ):
        yield near, far, port


@pytest.fixture
async def fronts(nodes: tuple[Server, Server, int]) -> AsyncIterator[tuple[Front, Front]]:
    near, far, port = nodes
    async with Api.running(port) as api:
        one, two = Front(near, api), Front(far, api)
        two.notified, two.polled = one.notified, one.polled
        yield one, two
        await one.parked(0)
        await two.parked(0)


async def test_a_notification_reaches_all_nodes_and_costs_one_fetch(
    fronts: tuple[Front, Front],
) -> None:
    near, far = fronts
    api = near.api
    api.set(near.notified, "1", '"one"')
    async with (
        near.waiting(near.notified, '"one"') as here,
        far.waiting(near.notified, '"one"') as there,
    ):
        # Each node looks for itself, once.
        await near.parked(1, looks=2)
        await far.parked(1)
        api.set(near.notified, "2", '"two"')
        await near.notify(near.notified)
        assert [(await here).body, (await there).body] == [b"2", b"2"]
    assert api.count() == 3


async def test_one_node_polls_for_all(fronts: tuple[Front, Front]) -> None:
    near, far = fronts
    api = near.api
    api.set(near.polled, "1", '"one"')
    async with AsyncExitStack() as stack:
        here = [
            await stack.enter_async_context(near.waiting(near.polled, '"one"')) for _ in range(3)
        ]
        there = [
            await stack.enter_async_context(far.waiting(near.polled, '"one"')) for _ in range(3)
        ]
        await near.parked(3)
        await far.parked(3)
        await api.reached(4)
        seen, loop = api.count(), asyncio.get_running_loop()
        begun = loop.time()
        await api.reached(seen + 8)
        # One look in 0.2 s, and not two: eight take at least seven such pauses. (With two lookers
        # they would take half of it.)
        assert loop.time() - begun > 7 * 0.2 * 0.75
        api.set(near.polled, "2", '"two"')
        answers = [(await waiting).body for waiting in (*here, *there)]
    assert answers == [b"2"] * 6


async def test_the_other_node_goes_on_when_nobody_waits_on_the_first(
    fronts: tuple[Front, Front],
) -> None:
    near, far = fronts
    api = near.api
    api.set(near.polled, "1", '"one"')
    async with far.waiting(near.polled, '"one"') as there:
        async with near.waiting(near.polled, '"one"'):
            await near.parked(1)
            await far.parked(1)
            await api.reached(3)
        await near.parked(0)
        api.set(near.polled, "2", '"two"')
        assert (await there).body == b"2"


async def test_notifications_survive_an_outage_of_the_feed(
    fronts: tuple[Front, Front], server: RedisServer
) -> None:
    near, far = fronts
    api = near.api
    api.set(near.notified, "1", '"one"')
    async with far.waiting(near.notified, '"one"', prefer="wait=10") as there:
        await far.parked(1, looks=1)
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        api.set(near.notified, "2", '"two"')
        await near.notify(near.notified)
        assert (await there).body == b"2"


async def test_what_can_be_shared_no_more_is_let_go_of_without_the_store() -> None:
    rack, port = Rack(), free_port()
    store = rack.start(KINDS["valkey9"])
    origin = f"http://127.0.0.1:{port}"
    async with Api.running(port) as api:
        # On its end the server is found to have said no error.
        with serve(store=store.url(), origin=origin, routes=ROUTES) as hub:
            front = Front(hub, api)
            api.set(front.polled, "1", '"one"')
            async with front.waiting(front.polled, '"one"') as answer:
                await front.parked(1)
                api.set(front.polled, "2", '"two"')
                assert (await answer).body == b"2"
            # Now there is something of it in the store.
            async with front.waiting(front.polled, '"two"', prefer="wait=30") as answer:
                await front.parked(1)
                # Between two fetches: a claim under way would wait for the store until its end, and
                # by then the node's share of the budget has ended.
                await api.settled(api.count() + 1)
                store.kill()
                await asyncio.to_thread(hub.output.find, re.compile(r"commands.*redis\.lost"), 10)
                api.set(front.polled, "3", '"three"', headers=[("Set-Cookie", "a=b")])
                assert (await answer).status == 304
                await asyncio.to_thread(hub.output.find, re.compile(r"origin\.not-shared"), 10)
    rack.close()


async def test_a_change_that_races_with_a_poll_is_never_missed(
    fronts: tuple[Front, Front],
) -> None:
    """Notified on one node, polled on both in turn."""
    near, far = fronts
    targets = [f"{near.notified}-{index}" for index in range(8)]
    await asyncio.gather(*(race(near.api, [near.hub, far.hub], t, 20) for t in targets))
