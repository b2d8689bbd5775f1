"""A log that loses its end, as in a failover: offsets of lost messages name others later."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.store.epoch import draw_epoch
from pushhub.store.memory import MemoryStore
from pushhub.xmpp.storage.archive import archive_channel
from tests.xmpp.routing.test_vanished import gone_dark, got
from tests.xmpp.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.xmpp.world import Client


class LossyStore(MemoryStore):
    """A store whose replica lacked the last events of an archive when it was promoted."""

    def lose(self, bare: str, count: int) -> None:
        assert self._listener is not None
        channel = self._channels[archive_channel(bare)]
        for _ in range(count):
            channel.events.pop()
            channel.top -= 1
        self._listener.lost()
        self._epoch = draw_epoch()
        self._listener.restored()


@pytest.fixture
async def store() -> LossyStore:
    return LossyStore()


@pytest.fixture
async def world(store: LossyStore) -> AsyncIterator[World]:
    async with World.of_couple(store) as world:
        yield world


@pytest.fixture
async def romeo(world: World) -> Client:
    return await (await world.user("romeo", "orchard")).available()


async def test_messages_after_a_loss_reach_an_account_that_was_offline(
    world: World, store: LossyStore, romeo: Client
) -> None:
    juliet = await (await world.user("juliet", "balcony")).available()
    for text in ("one", "two", "three", "four"):
        romeo.chat("juliet@localhost", text)
        await juliet.message(text)
    juliet.leave()
    await world.server.settle()
    store.lose("juliet@localhost", 2)
    for text in ("five", "six", "seven"):
        romeo.chat("juliet@localhost", text)
    await romeo.settled()
    juliet = await (await world.user("juliet", "balcony")).available()
    assert (await got(juliet))[-3:] == ["five", "six", "seven"]


async def test_a_message_of_the_own_account_is_not_delivered_in_place_of_a_lost_one(
    world: World, store: LossyStore, romeo: Client
) -> None:
    await gone_dark(world, romeo, "one", "two")
    store.lose("juliet@localhost", 2)
    desk = await (await world.user("juliet", "desk")).available()
    desk.chat("romeo@localhost", "mine")
    await romeo.message("mine")
    romeo.chat("juliet@localhost", "three")
    await desk.message("three")
    # It ends the session that never received them.
    balcony = await (await world.user("juliet", "balcony")).available()
    assert "mine" not in await got(balcony)
    assert await got(desk) == []


async def test_a_connected_client_gets_neither_a_sent_message_nor_one_twice(
    world: World, store: LossyStore, romeo: Client
) -> None:
    desk = await (await world.user("juliet", "desk")).available()
    await gone_dark(world, romeo, "one", "two")
    await desk.message("two")
    store.lose("juliet@localhost", 2)
    desk.chat("romeo@localhost", "mine")
    await romeo.message("mine")
    romeo.chat("juliet@localhost", "three")
    await desk.message("three")
    desk.seen.clear()
    balcony = await (await world.user("juliet", "balcony")).available()
    assert "mine" not in await got(balcony)
    assert await got(desk) == []


async def test_an_epoch_without_a_loss_delivers_nothing_again(
    world: World, store: LossyStore, romeo: Client
) -> None:
    """A restart of Redis that kept everything."""
    for text in ("one", "two"):
        romeo.chat("juliet@localhost", text)
    await romeo.settled()
    juliet = await (await world.user("juliet", "balcony")).available()
    assert await got(juliet) == ["one", "two"]
    juliet.leave()
    await world.server.settle()
    romeo.chat("juliet@localhost", "three")
    await romeo.settled()
    store.lose("juliet@localhost", 0)
    romeo.chat("juliet@localhost", "four")
    await romeo.settled()
    juliet = await (await world.user("juliet", "balcony")).available()
    assert await got(juliet) == ["three", "four"]


async def test_the_lost_end_is_found_however_long_the_archive_is(
    world: World, store: LossyStore, romeo: Client
) -> None:
    juliet = await (await world.user("juliet", "balcony")).available()
    for number in range(50):
        romeo.chat("juliet@localhost", f"old {number}")
        await juliet.message(f"old {number}")
    juliet.leave()
    await world.server.settle()
    store.lose("juliet@localhost", 20)
    new = [f"new {number}" for number in range(19)]
    for text in new:
        romeo.chat("juliet@localhost", text)
        await romeo.settled()
    juliet = await (await world.user("juliet", "balcony")).available()
    assert await got(juliet) == new


async def test_a_message_before_a_new_epoch_is_redelivered(
    world: World, store: LossyStore, romeo: Client
) -> None:
    """A restart that kept everything, and a client that vanishes with an older message."""
    juliet = await (await world.user("juliet", "balcony")).available()
    romeo.chat("juliet@localhost", "one")
    await juliet.message("one")
    juliet.leave()
    await world.server.settle()
    romeo.chat("juliet@localhost", "two")
    await romeo.settled()
    store.lose("juliet@localhost", 0)
    juliet = await (await world.user("juliet", "balcony")).available()
    two = await juliet.message("two")
    juliet.stream.closed([two], [])
    await world.server.settle()
    juliet = await (await world.user("juliet", "balcony")).available()
    assert await got(juliet) == ["two"]
