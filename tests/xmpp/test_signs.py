"""A node judges by its own monotonic clock whether another one lives: steps of wall clocks change
nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pushhub.protocol.cursor import Cursor
from pushhub.store.base import StoreUnavailable
from pushhub.xmpp import sweep
from pushhub.xmpp.nodes import DEAD_SECONDS, NODES, SIGN_SECONDS, letters_name, sign_name
from pushhub.xmpp.registers import Registers
from pushhub.xmpp.signs import Signs
from tests.redis_servers import rack, redis_shelf
from tests.store.conftest import LABS, NEWS_SECONDS, Clock
from tests.xmpp.browser import Browser
from tests.xmpp.conftest import World
from tests.xmpp.test_vanished import AVAILABLE

__all__ = ["rack", "redis_shelf"]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import Any

    from pushhub.xmpp.server import Server
    from tests import redis_servers

HOUR = 3600.0


def test_silence_counts_from_a_change() -> None:
    signs = Signs()
    assert signs.silent("one") is None
    signs.watched(100)
    signs.see("one", Cursor("e", 7), is_last=False)
    assert signs.silent("one") == 0, "how old a sign is that was there before, is not known"
    signs.watched(5)
    signs.see("one", Cursor("e", 7), is_last=False)
    assert signs.silent("one") == 5
    signs.see("one", Cursor("e", 8), is_last=False)
    assert signs.silent("one") == 0
    signs.watched(5)
    signs.see("one", Cursor("e", 7), is_last=False)
    assert signs.silent("one") == 5, "the news of the eighth is late"
    signs.see("one", Cursor("f", 8), is_last=True)
    assert (signs.silent("one"), signs.has_left("one")) == (0, True)
    assert not signs.has_left("other")
    assert signs.nodes() == {"one"}
    signs.forget("one")
    assert len(signs) == 0
    assert not signs.has_left("one")


@pytest.fixture
async def pair(tmp_path: Path, redis_shelf: redis_servers.Shelf) -> AsyncIterator[World]:
    """Two nodes whose rounds are done by the test. The store's clock is `world.clock`."""
    clock = Clock()
    world = World(LABS["valkey9"](tmp_path, clock, redis_shelf).make, shared=True)
    world.clock = clock
    for _ in range(2):
        server = await world.node()
        assert server.nodes._timer is not None
        server.nodes._timer.cancel()
    for name in ("romeo", "juliet"):
        await world.account(name)
    # Each knows the other.
    await rounds(world, world.servers)
    yield world
    await world.close()


async def rounds(
    world: World, servers: list[Server], times: int = 1, seconds: float = SIGN_SECONDS
) -> None:
    """Time passes, and these nodes do their rounds; `seconds` lie between."""
    for _ in range(times):
        world.clock.advance(seconds)
        for server in servers:
            now = server.hub.now() + seconds
            server.hub.now = lambda now=now: now  # type: ignore[misc]
            await server.nodes._watch()


async def come(server: Server, other: Server) -> None:
    """Wait until a node's last sign is known at another one."""
    name = sign_name(other.nodes.id)
    stored = await server.registers.stored(name)
    assert stored is not None
    async with asyncio.timeout(NEWS_SECONDS):
        while await server.registers.event(name) != stored:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
async def test_a_living_node_lives_through_a_step_of_the_clock(pair: World, step: float) -> None:
    browser = await Browser.login(pair, "juliet", node=0)
    first, second = pair.servers
    pair.clock.advance(step)
    # The first node has not yet said that it is there since.
    await second.registers.set(sign_name(second.nodes.id), b"here")
    assert await second.nodes.alive(first.nodes.id)
    answers = await browser.ask(AVAILABLE, node=1)
    assert "iq" in [element.name for element in answers], "its session is found"
    for _ in range(6):
        await rounds(pair, pair.servers)
        await come(second, first)
        assert await second.nodes.alive(first.nodes.id)


@pytest.mark.parametrize("step", [0.0, HOUR, -HOUR], ids=["none", "forward", "back"])
async def test_a_dead_node_is_dead_after_a_step_of_the_clock(
    pair: World, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its session is over in time, and what it has left behind is cleared away."""
    first, second = pair.servers
    browser = await Browser.login(pair, "juliet", node=0)
    await first.nodes.post(first.nodes.id, "of a newer version", {})
    pair.clock.advance(step)
    await come(second, first)
    await rounds(pair, [second], 3)
    assert await second.nodes.alive(first.nodes.id), "three signs may get lost"
    await rounds(pair, [second], 2)
    assert not await second.nodes.alive(first.nodes.id)
    answer = await browser.post("", node=1)
    assert answer.get("condition") == "item-not-found"
    clear, forget = pair.sessions[1].sweep, int(sweep.FORGET_SECONDS / SIGN_SECONDS)
    left = [name(first.nodes.id) for name in (sign_name, letters_name)]
    await clear.run()
    kept = [await second.registers.stored(name) is not None for name in left]
    assert kept == [True, step <= 0], "letters age by the store's clock, signs do not"
    await rounds(pair, [second], forget - 5)
    await clear.run()
    assert [await second.registers.stored(name) for name in left] == [None, None]
    assert await second.registers.stored_json(NODES) == [second.nodes.id]
    # The sign that is gone is no sign of life, and is forgotten here, too.
    async with asyncio.timeout(NEWS_SECONDS):
        while len(second.nodes._signs):
            await rounds(pair, [second])
            assert not await second.nodes.alive(first.nodes.id)


async def test_a_node_that_stood_still_does_not_take_others_for_dead(pair: World) -> None:
    first, second = pair.servers
    await rounds(pair, [second], 3)
    await rounds(pair, [second], seconds=HOUR)
    assert not await second.nodes.alive(first.nodes.id, 4 * SIGN_SECONDS)
    assert await second.nodes.alive(first.nodes.id, 5 * SIGN_SECONDS), "an hour counts as a round"


async def test_an_outage_of_the_store_proves_nothing(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair.servers

    async def fails(self: Registers, *args: Any) -> Any:
        raise StoreUnavailable("The store has just gone.")

    with monkeypatch.context() as outage:
        outage.setattr(Registers, "set", fails)
        for _ in range(10):
            with pytest.raises(StoreUnavailable):
                await rounds(pair, [second])
    await rounds(pair, [second])
    assert await second.nodes.alive(first.nodes.id)


async def test_a_store_that_has_lost_the_signs(pair: World) -> None:
    """Nodes that were there are trusted, and list themselves again."""
    first, second = pair.servers
    for name in (NODES, sign_name(first.nodes.id), sign_name(second.nodes.id)):
        await second.registers.delete(name)
    async with asyncio.timeout(NEWS_SECONDS):
        while await second.registers.event(sign_name(first.nodes.id)) is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await second.nodes.alive(first.nodes.id)
    await rounds(pair, pair.servers)
    assert await second.registers.stored_json(NODES) == [first.nodes.id, second.nodes.id]


async def test_rounds_do_not_pile_up(pair: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store is slow, one round waits for it."""
    nodes, may = pair.server.nodes, asyncio.Event()
    begun: list[str] = []
    setting = Registers.set

    async def slow(self: Registers, name: str, *args: Any) -> Any:
        begun.append(name)
        await may.wait()
        return await setting(self, name, *args)

    monkeypatch.setattr(Registers, "set", slow)
    for _ in range(3):
        nodes._sign_again()
        assert nodes._timer is not None
        nodes._timer.cancel()
        await asyncio.sleep(0)
    may.set()
    await pair.server.settle()
    assert begun == [sign_name(nodes.id)]


async def test_nodes_that_strangers_name_are_not_remembered(pair: World) -> None:
    nodes = pair.server.nodes
    known = len(nodes._signs)
    for number in range(10):
        assert not await nodes.alive(f"aaaaaaa{'abcdefghij'[number]}")
    assert len(nodes._signs) == known


def test_a_node_is_missed_after_some_rounds() -> None:
    assert DEAD_SECONDS >= 4 * SIGN_SECONDS
