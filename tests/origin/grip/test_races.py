"""Nothing that is published while an origin is being asked is missed, and nothing comes twice.

The test is the publisher, and the origin is its own: it decides what is written and published
at which moment of the request.
"""

import asyncio
import random

import pytest

from tests.origin.grip.publish_race import HOLD, race_publishes
from tests.peers.gate import Gate, chunk, fresh, pushhub_before, response
from tests.peers.origin import script, scripted_origin

ROUNDS = 60


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    url = "memory://"
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('grip') / 'hub.db'}"
    with scripted_origin() as origin, pushhub_before(origin, store=url) as gate:
        yield gate


async def test_a_publish_at_any_moment_of_the_request_reaches_the_hold(gate: Gate) -> None:
    """The origin looks at its data when it is asked, and takes 20 ms to answer."""
    await race_publishes(ROUNDS // 10, gate, gate, random.Random(5))


async def test_what_was_published_before_the_request_does_not_come_again(gate: Gate) -> None:
    """The origin had it when it was asked, for a publisher writes before it publishes."""
    channel = fresh()
    await gate.publish(response(channel, "old"))
    await asyncio.sleep(0.05)
    lines = (HOLD, f"Grip-Channel: {channel}", "Grip-Timeout: 5")
    told = await gate.ask(script("/" + fresh("p"), *lines, body="nothing"))
    assert told.body == b"nothing"


async def test_a_stream_misses_nothing_and_repeats_nothing(gate: Gate) -> None:
    channel, where = fresh(), "/" + fresh("p")
    expected = b"".join(b"%d," % n for n in range(200))

    async def publish() -> None:
        for n in range(200):
            await gate.publish(chunk(channel, f"{n},"))

    client_body = asyncio.Event()
    target = ("Grip-Hold: stream", f"Grip-Channel: {channel}")
    publishing: asyncio.Task[None] | None = None

    async def start() -> None:
        await asyncio.to_thread(gate.origin.wait, where)
        client_body.set()
        await publish()

    publishing = asyncio.create_task(start())
    async with gate.stream(where, *target, delay=0.05) as stream:
        await client_body.wait()
        found = await stream.read(len(expected))
    await publishing
    assert found == expected


async def test_a_hold_with_a_prev_id_gets_what_follows_it(gate: Gate) -> None:
    channel = fresh()
    for n in range(1, 4):
        await gate.publish(response(channel, f"item {n}", id_=str(n), prev_id_=str(n - 1)))
    await asyncio.sleep(0.05)
    for known in (1, 2):
        lines = (HOLD, f"Grip-Channel: {channel}; prev-id={known}")
        where = "/" + fresh("p")
        told = await gate.ask(script(where, *lines))
        assert told.body == f"item {known + 1}".encode()
        assert told.seconds < 10
        assert len(gate.origin.at(where)) == 1
