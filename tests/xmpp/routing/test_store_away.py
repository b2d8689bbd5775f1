"""A store that cannot be reached in the moment in which a client vanishes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.store.base import StoreUnavailable
from pushhub.store.memory import MemoryStore
from pushhub.xmpp.transport import binding
from tests.store.labs import Clock, make_lab
from tests.waiting import until
from tests.xmpp.routing.test_vanished import gone_dark, got
from tests.xmpp.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from pushhub.log.cursor import Since
    from pushhub.log.read import Read
    from pushhub.store.base import Append, Outcome
    from tests import redis_servers
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


@pytest.fixture
async def pair(tmp_path: Path, redis_shelf: redis_servers.Shelf) -> AsyncIterator[World]:
    make = make_lab("valkey9", tmp_path, Clock(), redis_shelf.url).make
    world = World(make, shared=True)
    await world.node()
    await world.node()
    for name in ("romeo", "juliet"):
        await world.account(name)
    yield world
    await world.close()


async def test_a_session_that_ended_is_forgotten_when_the_store_is_back(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its messages are left to its node, which has no session of that address, and which
    nobody asks again; and its contacts see it for ever."""
    monkeypatch.setattr(binding, "FIRST_PAUSE", 0.01)
    romeo = await pair.user("romeo", "orchard", 1)
    phone = await (await pair.user("juliet", "phone", 1)).available()
    balcony = await (await pair.user("juliet", "balcony", 0)).available()
    address = balcony.jid
    first = pair.servers[0]

    def away(appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        done([StoreUnavailable("away") for _ in appends])

    with monkeypatch.context() as patch:
        patch.setattr(first.hub.store, "append", away)
        balcony.leave()
        await until(lambda: first.tasks)
    await phone.next(lambda e: e.name == "presence" and e.get("type") == "unavailable")
    await first.settle()
    assert await first.kv.stored_json("$xmpp:where:juliet@localhost") == {
        "phone": pair.servers[1].membership.id
    }
    romeo.chat(address, "for the balcony")
    await phone.message("for the balcony")
