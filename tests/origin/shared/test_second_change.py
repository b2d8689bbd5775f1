"""A shared resource changes, is left alone until the hub forgets it, and changes again."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.origin.apis import Api
from tests.origin.shared.front import Front
from tests.ports import free_port
from tests.redis_servers import KINDS, Rack
from tests.serving import Server, serve

# The default of a route's `linger`.
LINGER_SECONDS = 10.0
# What the tests give a route instead, so that a quiet spell is over soon.
SHORT_SECONDS = 0.3
INTERVAL = 0.2
# Each deadline of the hub is up to a tick late, and a machine that does much else adds to it.
WHEEL_SECONDS = 1.0

STORES = ("memory", "sqlite", "redis")


def routes(**more: Any) -> list[dict[str, Any]]:
    return [
        {"path": "/poll/*", "step": "poll", "interval": INTERVAL, **more},
        {"path": "/notify/*", "step": "notify", **more},
    ]


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A store of each kind."""
    with ExitStack() as stack:
        rack = Rack()
        stack.callback(rack.close)
        file = tmp_path_factory.mktemp("second") / "hub.db"
        yield {
            "memory": "memory://",
            "sqlite": f"sqlite:///{file}",
            "redis": rack.start(KINDS["valkey9"]).url(),
        }


async def change_twice(hub: Server, port: int, linger: float) -> None:
    """Wait and be given a change, be away for longer than `linger`, and the same again; of a polled
    resource and of a notified one.
    """
    async with Api.running(port) as api:
        front = Front(hub, api)
        targets = (front.polled, front.notified)
        for target in targets:
            api.set(target, "0", '"0"')
        for number in range(2):
            async with (
                front.waiting(front.polled, f'"{number}"') as polled,
                front.waiting(front.notified, f'"{number}"') as notified,
            ):
                await front.parked(2)
                await api.settled(api.count())
                for target in targets:
                    api.set(target, str(number + 1), f'"{number + 1}"')
                await front.notify(front.notified)
                for answer in (await polled, await notified):
                    assert (answer.status, answer.body) == (200, b"%d" % (number + 1))
                    assert answer.headers["preference-applied"] == "wait=20"
            if number == 0:
                # A fetch that was under way when the clients left may still come; none does later.
                # A notified resource notices within a linger that no client waits, and is forgotten
                # after another.
                await asyncio.sleep(linger / 2)
                seen = api.count()
                await asyncio.sleep(1.5 * linger + WHEEL_SECONDS)
                assert api.count() == seen, "the API was asked while no request waited"
        for target in targets:
            await answered_at_its_pace(front, target)
        metrics = (await hub.get("/_pushhub/metrics")).body.decode()
        assert "\npushhub_origin_stalled_total 0\n" in metrics
        assert "stalled" not in str(hub.output)


async def answered_at_its_pace(front: Front, target: str) -> None:
    """Requests that need a fetch are answered, and the API is asked at its pace."""
    before = front.api.count(target)
    begun = asyncio.get_running_loop().time()
    assert (await front.wait(target)).body == b"2"
    assert (await front.wait(target, '"0"')).body == b"2"
    end = await front.wait(target, '"2"', prefer="wait=1")
    assert (end.status, end.headers["etag"]) == (304, '"2"')
    passed = asyncio.get_running_loop().time() - begun
    polls = passed / INTERVAL if target == front.polled else 0
    assert front.api.count(target) - before <= 3 + polls


@pytest.mark.parametrize("store", STORES)
async def test_a_second_change_after_a_quiet_spell(urls: dict[str, str], store: str) -> None:
    port = free_port()
    given = routes(linger=SHORT_SECONDS)
    with serve(store=urls[store], origin=f"http://127.0.0.1:{port}", routes=given) as hub:
        await change_twice(hub, port, SHORT_SECONDS)


async def test_the_same_with_the_default_linger(urls: dict[str, str]) -> None:
    """Real seconds, one quiet spell for all stores at the same time."""
    with ExitStack() as stack:
        hubs = []
        for store in STORES:
            port = free_port()
            origin = f"http://127.0.0.1:{port}"
            hub = stack.enter_context(serve(store=urls[store], origin=origin, routes=routes()))
            hubs.append((hub, port))
        await asyncio.gather(*(change_twice(hub, port, LINGER_SECONDS) for hub, port in hubs))
