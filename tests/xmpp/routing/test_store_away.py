"""A store that cannot be reached in the moment in which a client vanishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.store.base import StoreUnavailable
from pushhub.store.memory import MemoryStore
from tests.xmpp.routing.test_vanished import gone_dark, got
from tests.xmpp.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pushhub.log.cursor import Since
    from pushhub.log.read import Read
    from pushhub.store.base import Append, Outcome
    from tests.xmpp.world import Client


class AwayStore(MemoryStore):
    """A store that refuses everything for a while."""

    is_away = False

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        if self.is_away:
            done([StoreUnavailable("away") for _ in appends])
        else:
            super().append(appends, done)

    async def read(self, channel: str, since: Since, limit: int) -> Read:
        if self.is_away:
            raise StoreUnavailable("away")
        return await super().read(channel, since, limit)


@pytest.fixture
async def store() -> AwayStore:
    return AwayStore()


@pytest.fixture
async def world(store: AwayStore) -> AsyncIterator[World]:
    async with World.of_couple(store) as world:
        yield world


@pytest.fixture
async def romeo(world: World) -> Client:
    return await (await world.user("romeo", "orchard")).available()


async def vanish(world: World, store: AwayStore) -> None:
    """End the one session by BOSH while the store is away."""
    (carrier,) = world.sessions[0].transports.values()
    store.is_away = True
    carrier.session._seen -= 151
    carrier.expire()
    await world.server.settle()
    store.is_away = False


async def test_the_last_client_of_an_account_loses_no_message(
    world: World, store: AwayStore, romeo: Client
) -> None:
    """Its marker is written when the store is back, and before a next session begins."""
    await gone_dark(world, romeo, "one", "two")
    await world.server.users.by_jid["juliet@localhost"].save()
    await vanish(world, store)
    juliet = await (await world.user("juliet", "phone")).available()
    assert await got(juliet) == ["one", "two"]


async def test_a_connected_client_gets_the_messages_when_the_store_is_back(
    world: World, store: AwayStore, romeo: Client
) -> None:
    await gone_dark(world, romeo, "one", "two")
    juliet = await (await world.user("juliet", "phone")).available()
    await vanish(world, store)
    await juliet.message("one")
    await juliet.message("two")
    assert await got(juliet) == []
