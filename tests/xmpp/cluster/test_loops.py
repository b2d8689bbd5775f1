"""Every loop of the server has a pause and a bound, and an abandoned loop is logged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
import pytest

from pushhub.store.base import Appended, Expect, Mismatch, StoreUnavailable
from pushhub.xmpp.cluster import forwarding, migration
from pushhub.xmpp.cluster.migration import Migration, migration_key
from pushhub.xmpp.storage import key_value
from pushhub.xmpp.storage.key_value import KeyValueStore
from tests.xmpp.browser import Browser
from tests.xmpp.cluster.test_nodes import pair

__all__ = ["pair"]

if TYPE_CHECKING:
    from tests.xmpp.world import World

NAME = "$xmpp:test:value"


class Pauses:
    """The pauses of a loop, each drawn as its maximum."""

    def __init__(self, registers: KeyValueStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drawn: list[float] = []
        monkeypatch.setattr(registers.hub, "uniform", self._draw)

    def _draw(self, least: float, most: float) -> float:
        self.drawn.append(most)
        return 0.0


async def test_a_deleted_value_is_written_immediately(world: World) -> None:
    key_value = world.server.kv
    pauses: list[float] = []
    key_value.hub.uniform = lambda least, most: pauses.append(most) or 0.0  # type: ignore[func-returns-value]
    for text in (b"one", b"two"):
        assert await key_value.update(NAME, lambda old, text=text: text) == text  # type: ignore[misc]
        await key_value.delete(NAME)
        assert await key_value.stored(NAME) is None
    assert not pauses, "a deleted register keeps its offset, and has no value"


async def test_a_condition_that_never_holds_is_abandoned_and_logged(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = small.server
    pauses = Pauses(server.kv, monkeypatch)
    await server.kv.set(NAME, b"0")
    tried = 0

    async def never(self: KeyValueStore, name: str, data: bytes, expect: Expect) -> Mismatch:
        nonlocal tried
        tried += 1
        return Mismatch(None)

    with monkeypatch.context() as patched:
        patched.setattr(KeyValueStore, "set", never)
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await server.kv.update(NAME, lambda old: b"1")
    assert tried == 6, "twice each: the store has what was expected"
    assert len(pauses.drawn) == 3
    assert server.hub.stats.xmpp_stalls["register"] == 3
    assert len(server.kv.backoff._logged) == 1


async def test_a_value_that_others_keep_changing_is_abandoned_after_pauses(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = small.server
    pauses = Pauses(server.kv, monkeypatch)
    write = KeyValueStore.set

    async def later(
        self: KeyValueStore, name: str, data: bytes, expect: Expect
    ) -> Appended | Mismatch:
        await write(self, name, b"somebody else's")
        return await write(self, name, data, expect)

    with monkeypatch.context() as patched:
        patched.setattr(KeyValueStore, "set", later)
        with pytest.raises(StoreUnavailable):
            await server.kv.update(NAME, lambda old: b"mine")
    assert len(pauses.drawn) == key_value.MAX_TRIES
    assert pauses.drawn == sorted(pauses.drawn), "each is at least as long as the one before it"
    assert server.hub.stats.xmpp_stalls["register"] == 1


@pytest.mark.slow
async def test_all_writers_of_one_value_succeed(world: World) -> None:
    changes = [
        world.server.kv.update_json(NAME, lambda old, n=n: [*(old or ()), n])  # type: ignore[misc]
        for n in range(20)
    ]
    await asyncio.gather(*changes)
    assert sorted(await world.server.kv.stored_json(NAME)) == list(range(20))
    assert world.server.hub.stats.xmpp_stalls["register"] == 0


async def test_a_session_that_migrates_forever_is_abandoned(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = small.server
    pauses = Pauses(server.kv, monkeypatch)
    sessions = Migration(server.kv)
    await sessions.leave("sid", b"0", "k")
    number = 0

    async def moves(self: KeyValueStore, name: str, make: object) -> None:
        nonlocal number
        number += 1
        await self.set(migration_key("sid"), orjson.dumps({"state": number}))

    monkeypatch.setattr(KeyValueStore, "update_json", moves)
    with pytest.raises(StoreUnavailable):
        await sessions.take("sid", "node")
    assert (number, len(pauses.drawn)) == (migration.MAX_TAKES, migration.MAX_TAKES)
    assert server.hub.stats.xmpp_stalls["handover"] == 1


async def test_two_nodes_do_not_forward_a_request_to_each_other_forever(
    pair: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored value names the other node, which has lost the session."""
    browser = await Browser.login(pair, "juliet", node=1)
    owner, asked = pair.servers[1], pair.servers[0]
    (carrier,) = pair.sessions[1].transports.values()
    await asked.kv.set(migration_key(browser.sid), orjson.dumps({"node": owner.membership.id}))
    del pair.sessions[1].transports[browser.sid]
    owner.hub.wheel.clear(carrier)
    pauses = Pauses(asked.kv, monkeypatch)
    answer = await browser.post("", node=0)
    assert answer.get("condition") == "item-not-found"
    assert len(pauses.drawn) == forwarding.MAX_SENT - 1
    assert asked.hub.stats.xmpp_stalls["forwarding"] == 1
