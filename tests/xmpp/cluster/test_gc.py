"""Live nodes delete the data that other nodes left in the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from annotated_types import Le

from pushhub.bosh.body import HTTPBIND, parse
from pushhub.bosh.negotiation import BoshPolicy, negotiate
from pushhub.settings import Settings
from pushhub.store.redis.store import RedisStore
from pushhub.xmpp.cluster import gc
from pushhub.xmpp.cluster.membership import HEARTBEAT_SECONDS, NODES
from tests.waiting import NEWS_SECONDS
from tests.xmpp.browser import Browser
from tests.xmpp.cluster.test_delivered_once import on_virtual_time
from tests.xmpp.routing.test_vanished import AVAILABLE, gone_dark, got, pair

__all__ = ["pair"]

if TYPE_CHECKING:
    import pytest

    from tests.xmpp.world import World


async def kept(world: World, *names: str) -> list[str]:
    """The keys of these that have a value in the store."""
    kv = world.servers[1].kv
    return [name for name in names if await kv.stored(name) is not None]


async def test_a_node_that_has_left(pair: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the node's sessions is resumed, one never; the messages of that one are not lost."""
    assert isinstance(pair.server.hub.store, RedisStore)
    romeo = await pair.user("romeo", "orchard", 1)
    dark = await gone_dark(pair, romeo, "one", "two")
    other = await Browser.login(pair, "", node=0)
    node = pair.server.membership.id
    await pair.leave(0)
    await other.ask(AVAILABLE, node=1)
    mine = [f"$xmpp:{kind}:{node}" for kind in ("sign", "left")]
    moved = [f"$xmpp:moved:{browser.sid}" for browser in (dark, other)]
    clear = pair.servers[1].gc
    await clear.run()
    assert await kept(pair, *mine, *moved) == [*mine, *moved], "it may still be asked for"
    monkeypatch.setattr(gc, "FORGET_SECONDS", 0.0)
    await clear.run()
    assert await kept(pair, *mine, *moved) == [*mine, moved[1]], "the other lives here"
    await other.ask("<presence xmlns='jabber:client' type='unavailable'/>" + AVAILABLE, node=1)
    juliet = await (await pair.user("juliet", "phone", 1)).available()
    assert await got(juliet) == ["one", "two"]
    (carrier,) = pair.sessions[1].transports.values()
    carrier.session._seen -= 151
    carrier.expire()
    await pair.servers[1].settle()
    assert not await kept(pair, moved[1])
    # The decision uses the messages this node received, and some were just written.
    async with asyncio.timeout(NEWS_SECONDS):
        while await kept(pair, *mine, *moved):
            await clear.run()
            await asyncio.sleep(0.01)
    listed = await pair.servers[1].kv.json(NODES)
    assert listed == [pair.servers[1].membership.id]


@on_virtual_time
async def test_data_is_deleted_soon_after_it_may_be(world: World, feeds: list[float]) -> None:
    """The node that collects has started at the same time as the node that left."""
    node = world.server.membership.id
    await world.leave(0)
    await asyncio.sleep(gc.FORGET_SECONDS - 10.0)
    assert await kept(world, f"$xmpp:sign:{node}")
    await asyncio.sleep(10.0 + gc.COLLECT_SECONDS + 2 * HEARTBEAT_SECONDS)
    assert not await kept(world, f"$xmpp:sign:{node}")
    assert await world.servers[1].kv.json(NODES) == [world.servers[1].membership.id]


async def test_locations_of_a_dead_nodes_sessions_are_deleted(pair: World) -> None:
    await pair.user("juliet", "balcony", 0)
    await pair.server.kv.set(f"$xmpp:sign:{pair.server.membership.id}", b"left")
    other = pair.servers[1]

    async def missed() -> None:
        while await other.membership.is_alive(pair.server.membership.id):  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    await asyncio.wait_for(missed(), NEWS_SECONDS)
    await pair.user("juliet", "phone", 1)
    where = await other.kv.json("$xmpp:where:juliet@localhost")
    assert where == {"phone": other.membership.id}


def test_clients_that_may_return_are_not_forgotten() -> None:
    """The longest silence that settings allow is shorter than the life of a migrated session."""

    def most(name: str) -> int:
        (bound,) = [m.le for m in Settings.model_fields[name].metadata if isinstance(m, Le)]
        assert isinstance(bound, int)
        return bound

    policy = BoshPolicy(inactivity=most("bosh_inactivity"), polling=most("bosh_polling"))
    polls = parse(f"<body xmlns='{HTTPBIND}' rid='1' to='localhost' wait='0'/>".encode())
    assert negotiate(polls, policy).inactivity < gc.FORGET_SECONDS
    assert most("bosh_maxpause") < gc.FORGET_SECONDS
