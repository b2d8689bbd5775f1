"""Pages: how much one request looks through, and how a client goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pushhub.log.channel import Patterns
from pushhub.log.event import Draft
from pushhub.log.grant import Grant
from pushhub.log.read import Page
from pushhub.store.base import Append, append
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.storage.archive import ArchivedMessage, archive_channel
from pushhub.xmpp.xep import mam
from pushhub.xmpp.xep.pubsub import discovery, rights
from pushhub.xmpp.xep.pubsub import items as items_of_node
from tests.store.labs import Clock, make_lab
from tests.xmpp.world import World, condition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pushhub.log.read import Read
    from pushhub.xml import Element
    from tests.xmpp.world import Client

CHANNELS = 3000


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[World]:
    """A world with many channels, of which Juliet may read the last one."""
    lab = make_lab("memory", tmp_path, Clock())
    world = World(lab.make, shared=False, dev=False, xmpp_domains=["localhost"])
    await world.node()
    grant = Grant(Patterns(["z"]))
    await world.server.accounts.add("juliet", "localhost", "Neither, fair saint", grant)
    store = world.server.hub.store
    for number in range(CHANNELS):
        await append(store, Append(f"secret:{number:05d}", Draft(b"1")))
    await append(store, Append("z", Draft(b"1")))
    yield world
    await world.close()


async def page(client: Client, after: str = "") -> tuple[list[str | None], str]:
    """The nodes of a page, and its last id."""
    rsm = f"<set xmlns='{ns.RSM}'><max>10</max>{f'<after>{after}</after>' if after else ''}</set>"
    query = f"<query xmlns='{ns.DISCO_ITEMS}'>{rsm}</query>"
    result = await client.ask("get", query, "pubsub.localhost")
    (content,) = result.elements
    ends = content.find("set", ns.RSM)
    assert ends is not None
    last = ends.find("last")
    return [e.get("node") for e in content.every("item")], "" if last is None else last.text


async def test_a_list_looks_through_so_many_channels(
    strict: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    juliet = await strict.user("juliet")
    looked: list[str] = []
    allowed = rights.may

    def may(*args: object) -> bool:
        looked.append(str(args[3]))
        return allowed(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(discovery, "may", may)
    nodes, last = await page(juliet)
    assert nodes == []
    assert len(looked) <= discovery.MAX_LOOKED + 250
    assert "secret" not in last
    nodes, end = await page(juliet, last)
    assert nodes == ["z"]
    assert end == "z"
    assert len(looked) == CHANNELS + 1
    assert (await page(juliet, "z"))[0] == []


async def test_a_mark_is_of_one_session(strict: World) -> None:
    juliet, other = await strict.user("juliet"), await strict.user("juliet")
    _, last = await page(juliet)
    query = f"<set xmlns='{ns.RSM}'><after>{last}</after></set>"
    asked = f"<query xmlns='{ns.DISCO_ITEMS}'>{query}</query>"
    answer = await other.iq("get", asked, "pubsub.localhost")
    assert condition(answer) == "item-not-found"


# -- archives ------------------------------------------------------------------


async def filled(world: World, count: int, size: int = 1) -> Client:
    await world.account("juliet")
    for number in range(count):
        peer = "romeo@localhost" if number in (0, count - 1) else "nurse@localhost"
        inside = f"<body>{'x' * size}</body>"
        stanza = f"<message xmlns='jabber:client' from='{peer}/a'>{inside}</message>"
        draft = ArchivedMessage(stanza.encode(), False, True, "chat", peer, "").draft()
        await append(world.server.hub.store, Append(archive_channel("juliet@localhost"), draft))
    return await world.user("juliet")


async def search(client: Client, fields: str, rsm: str) -> tuple[int, Element]:
    """The number of messages of a page, and its description."""
    form = f"<x xmlns='{ns.DATA}' type='submit'>{fields}</x>" if fields else ""
    query = f"<query xmlns='{ns.MAM}'>{form}<set xmlns='{ns.RSM}'>{rsm}</set></query>"
    fin = (await client.ask("set", query)).elements[0]
    found = [e for e in client.seen if e.name == "message"]
    client.seen.clear()
    return len(found), fin


WITH_ROMEO = "<field var='with'><value>romeo@localhost</value></field>"


@pytest.mark.parametrize("backward", [False, True])
async def test_a_search_looks_through_so_many_messages(
    small: World, monkeypatch: pytest.MonkeyPatch, backward: bool
) -> None:
    monkeypatch.setattr(mam, "MAX_LOOKED", 40)
    juliet = await filled(small, 100)
    found, pages, rsm = 0, 0, "<before/>" if backward else ""
    while True:
        count, fin = await search(juliet, WITH_ROMEO, rsm)
        found, pages = found + count, pages + 1
        if fin.get("complete"):
            break
        ends = fin.find("set", ns.RSM)
        assert ends is not None
        at = ends.find("first" if backward else "last")
        assert at is not None
        rsm = f"<before>{at.text}</before>" if backward else f"<after>{at.text}</after>"
    assert (found, pages) == (2, 3)


async def test_a_page_of_large_messages_is_bounded_in_bytes(small: World) -> None:
    juliet = await filled(small, 10, 100_000)
    found, fin = await search(juliet, "", "<max>10</max>")
    assert found == 2
    assert fin.get("complete") is None
    ends = fin.find("set", ns.RSM)
    assert ends is not None
    last = ends.find("last")
    assert last is not None
    assert (await search(juliet, "", f"<max>10</max><after>{last.text}</after>"))[0] == 2


async def test_a_list_of_large_messages_is_refused(small: World) -> None:
    juliet = await filled(small, 5, 100_000)
    count, fin = await search(juliet, "", "<max>1</max>")
    ends = fin.find("set", ns.RSM)
    assert count == 1
    assert ends is not None
    first = ends.find("first")
    assert first is not None
    epoch = first.text.rpartition("-")[0]
    ids = "".join(f"<value>{epoch}-{n}</value>" for n in range(1, 6))
    form = f"<x xmlns='{ns.DATA}' type='submit'><field var='ids'>{ids}</field></x>"
    assert await juliet.refused("set", f"<query xmlns='{ns.MAM}'>{form}</query>") == (
        "resource-constraint"
    )


async def test_a_search_for_items_is_bounded_in_bytes(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a request for one item read a thousand events of 256 KiB into memory."""
    romeo = await small.user()
    store = small.server.hub.store
    for number in range(60):
        data = b'"' + b"x" * 200_000 + b'"'
        draft = Draft(data, "application/json", "", f"i{number}")
        await append(store, Append("news", draft))
    read_bytes = 0
    read_store = store.read

    async def read(*args: Any) -> Read:
        nonlocal read_bytes
        found = await read_store(*args)
        read_bytes += sum(event.size for event in found.events) if isinstance(found, Page) else 0
        return found

    monkeypatch.setattr(store, "read", read)
    monkeypatch.setattr(items_of_node, "MAX_SEARCHED_BYTES", 1_000_000)
    monkeypatch.setattr(items_of_node, "SEARCH_WINDOW", 5)
    asked = f"<pubsub xmlns='{ns.PUBSUB}'><items node='news' max_items='1'/></pubsub>"
    result = await romeo.ask("get", asked, "pubsub.localhost")
    (items,) = [e for e in result.elements[0].elements if e.name == "items"]
    assert [e.get("id") for e in items.elements] == ["i59"]
    assert read_bytes < 3_000_000
