"""A client that leaves while the archive is being read for it: its messages are the next one's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pushhub.store.memory import MemoryStore
from pushhub.xmpp.storage.archive import archive_channel
from tests.waiting import until
from tests.xmpp.routing.test_vanished import gone_dark, got
from tests.xmpp.world import World, body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.log.cursor import Since
    from pushhub.log.read import Read
    from tests.xmpp.world import Client

ARCHIVE = archive_channel("juliet@localhost")


class SlowStore(MemoryStore):
    """A store whose reads of Juliet's archive wait while the gate is closed, but for the first
    `skip`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.skip = 0
        self.waiting = 0

    async def read(self, channel: str, since: Since, limit: int) -> Read:
        if channel == ARCHIVE and not self.gate.is_set():
            if self.skip:
                self.skip -= 1
            else:
                self.waiting += 1
                await self.gate.wait()
        return await super().read(channel, since, limit)


@pytest.fixture
async def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
async def world(store: SlowStore) -> AsyncIterator[World]:
    async with World.of_couple(store) as world:
        yield world
        store.gate.set()


@pytest.fixture
async def romeo(world: World) -> Client:
    return await (await world.user("romeo", "orchard")).available()


async def leave_midway(world: World, store: SlowStore, skip: int) -> Client:
    """A client becomes available, and leaves while the store reads for it."""
    juliet = await world.user("juliet", "balcony")
    store.skip, store.waiting = skip, 0
    store.gate.clear()
    juliet.say("<presence xmlns='jabber:client'/>")
    await until(lambda: store.waiting)
    juliet.leave()
    return juliet


def seen(client: Client) -> list[str | None]:
    """The messages of a client that has left."""
    return [body(element) for element in client.seen if element.name == "message"]


@pytest.mark.parametrize("skip", [0, 1], ids=["the end", "a page"])
async def test_a_client_that_leaves_while_it_catches_up(
    world: World, store: SlowStore, romeo: Client, skip: int
) -> None:
    """Whichever read it does not wait for: the archive's end, or its first page."""
    for text in ("one", "two"):
        romeo.chat("juliet@localhost", text)
    await romeo.settled()
    first = await leave_midway(world, store, skip)
    store.gate.set()
    await world.server.settle()
    juliet = await (await world.user("juliet", "phone")).available()
    assert seen(first) + await got(juliet) == ["one", "two"]


async def test_lost_messages_outlive_a_second_client(
    world: World, store: SlowStore, romeo: Client
) -> None:
    """The second one leaves while the messages that the first one lost are read for it."""
    await gone_dark(world, romeo, "one", "two")
    (carrier,) = world.sessions[0].transports.values()
    carrier.session._seen -= 151
    carrier.expire()
    await world.server.settle()
    first = await leave_midway(world, store, 0)
    user = world.server.users._closing["juliet@localhost"]
    await user.save()
    store.gate.set()
    await world.server.settle()
    assert user.state.lost, "the marker has them until somebody received them"
    juliet = await (await world.user("juliet", "phone")).available()
    assert seen(first) == []
    assert await got(juliet) == ["one", "two"]


async def test_a_second_client_gets_what_the_first_did_not_wait_for(
    world: World, store: SlowStore, romeo: Client
) -> None:
    """It has become available meanwhile, and new messages wait behind the old ones."""
    romeo.chat("juliet@localhost", "one")
    await romeo.settled()
    second = await world.user("juliet", "phone")
    await leave_midway(world, store, 0)
    second.say("<presence xmlns='jabber:client'/>")
    romeo.chat("juliet@localhost", "two")
    store.gate.set()
    await second.message("two")
    assert await got(second) == ["one"]
