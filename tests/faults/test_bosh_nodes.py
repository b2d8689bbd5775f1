"""Two processes on one Valkey, and BOSH clients: one process is killed, or drained."""

from __future__ import annotations

import asyncio
import base64
import itertools
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pushhub import xml
from pushhub.bosh.body import HTTPBIND
from pushhub.hub.hub import Hub
from pushhub.store.urls import open_store_url
from pushhub.xml import XBOSH
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.storage.accounts import Accounts
from pushhub.xmpp.storage.key_value import KeyValueStore
from tests.faults.nodes import Node
from tests.redis_servers import KINDS
from tests.wire import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.xml import Element
    from tests.redis_servers import Rack

PASSWORD = "Neither, fair saint"
PING = f"<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='{ns.PING}'/></iq>"
AVAILABLE = f"<presence xmlns='jabber:client'/>{PING}"


class Over(Exception):
    """The session has ended, with a condition."""


class Chatter:
    """A client as Strophe.js is one: a request that fails is sent again, and here to the next node,
    as a balancer would. `failures` are HTTP errors that it had to hide."""

    def __init__(self, nodes: list[Node], first: int = 0) -> None:
        self._nodes = nodes
        self._at = first
        self._rids = itertools.count(1000)
        self.sid = ""
        self.messages: list[Element] = []
        self.retries = 0

    async def login(self, user: str, resource: str) -> Chatter:
        answer = await self.send(
            "", f"to='localhost' ver='1.6' wait='5' hold='1' xmlns:x='{XBOSH}'"
        )
        self.sid = answer.get("sid") or ""
        secret = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
        await self.send(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{secret}</auth>")
        await self.send("", f"xmlns:x='{XBOSH}' x:restart='true'")
        bind = f"<bind xmlns='{ns.BIND}'><resource>{resource}</resource></bind>"
        answer = await self.send(f"<iq xmlns='jabber:client' type='set' id='b'>{bind}</iq>")
        assert b"<jid>" in answer.xml().encode()
        return self

    async def send(self, inside: str = "", attributes: str = "") -> Element:
        """One request, and its answer."""
        sid = f" sid='{self.sid}'" if self.sid else ""
        rid = next(self._rids)
        raw = f"<body xmlns='{HTTPBIND}' rid='{rid}'{sid} {attributes}>{inside}</body>".encode()
        end = time.monotonic() + 50
        while True:
            with suppress(OSError, AssertionError, EOFError, TimeoutError):
                async with await Client.connect(self._nodes[self._at].port) as client:
                    client.send("POST", "/http-bind", {}, raw)
                    answer = await client.receive(40)
                if answer.status == 200:
                    break
                assert answer.status == 503, answer
            assert time.monotonic() < end
            self.retries += 1
            self._at = (self._at + 1) % len(self._nodes)
            await asyncio.sleep(0.05)
        body = xml.parse(answer.body, own=True)
        self.messages += [
            each
            for each in body.elements
            if each.name == "message" and each.find("body") is not None
        ]
        if body.get("type") == "terminate":
            raise Over(body.get("condition") or "")
        return body

    async def say(self, to: str, text: str) -> None:
        await self.send(
            f"<message xmlns='jabber:client' to='{to}' type='chat'><body>{text}</body></message>"
            + PING
        )

    @property
    def texts(self) -> list[str]:
        return [body.text for m in self.messages if (body := m.find("body")) is not None]

    @property
    def ids(self) -> list[str]:
        found = (m.find("stanza-id", ns.STANZA_ID) for m in self.messages)
        return [each.get("id") or "" for each in found if each is not None]


@pytest.fixture
async def hub(rack: Rack) -> AsyncIterator[Hub]:
    """One that looks into the nodes' store."""
    hub = Hub(open_store_url(rack.start(KINDS["valkey9"]).url(), time.time))
    await hub.open()
    accounts = Accounts(KeyValueStore(hub), secrets.token_bytes)
    for name in ("romeo", "juliet"):
        await accounts.add(name, "localhost", PASSWORD)
    yield hub
    await hub.close()


@pytest.fixture
async def nodes(rack: Rack, hub: Hub) -> AsyncIterator[list[Node]]:
    running = [Node(rack._servers[0].url()) for _ in range(2)]
    try:
        for node in running:
            await node.start()
        yield running
    finally:
        for node in running:
            node.close()


async def test_a_process_is_killed(nodes: list[Node], hub: Hub) -> None:
    juliet = await Chatter(nodes, 0).login("juliet", "balcony")
    romeo = await Chatter(nodes[1:]).login("romeo", "orchard")
    await juliet.send(AVAILABLE)
    for number in range(5):
        await romeo.say("juliet@localhost", f"heard {number}")
        while f"heard {number}" not in juliet.texts:
            await juliet.send()
    await juliet.send(PING)
    # She is in a tunnel, and so has no request there.
    for number in range(5):
        await romeo.say("juliet@localhost", f"queued {number}")
    # The marker is written every five seconds.
    async with asyncio.timeout(40):
        while len(await _unconfirmed(hub)) < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await nodes[0].kill()
    for number in range(5):
        await romeo.say("juliet@localhost", f"after {number}")
    with pytest.raises(Over, match="item-not-found"):
        await juliet.send()
    again = await Chatter(nodes[1:]).login("juliet", "balcony")
    await again.send(AVAILABLE)
    while "after 4" not in again.texts:
        await again.send()
    await again.send(PING)
    wanted = [f"{when} {number}" for when in ("queued", "after") for number in range(5)]
    assert again.texts == wanted
    assert len(set(again.ids)) == len(again.ids) == 10
    assert not set(again.ids) & set(juliet.ids)


async def _unconfirmed(hub: Hub) -> list[int]:
    """What the store knows to be on its way to Juliet."""
    marker = await KeyValueStore(hub).json("$xmpp:read:juliet@localhost") or {}
    return [offset for offsets in marker.get("pending", {}).values() for offset in offsets]


async def test_a_process_is_drained(nodes: list[Node]) -> None:
    """Two clients talk without a pause; one of them has its session where the end comes."""
    juliet = await Chatter(nodes, 0).login("juliet", "balcony")
    romeo = await Chatter(nodes, 1).login("romeo", "orchard")
    for client in (juliet, romeo):
        await client.send(AVAILABLE)
    said = 0
    left = asyncio.Event()

    async def talk(one: Chatter, other: str) -> None:
        nonlocal said
        while not left.is_set() or said < 60:
            said += 1
            text = f"{said}"
            sent[one].append(text)
            await one.say(other, text)

    sent: dict[Chatter, list[str]] = {juliet: [], romeo: []}
    talks = [
        asyncio.create_task(talk(juliet, "romeo@localhost")),
        asyncio.create_task(talk(romeo, "juliet@localhost")),
    ]
    while said < 20:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    await nodes[0].leave()
    left.set()
    await asyncio.wait_for(asyncio.gather(*talks), 60)
    for client, other in ((juliet, romeo), (romeo, juliet)):
        async with asyncio.timeout(30):
            while len(client.texts) < len(sent[other]):
                await client.send(PING)
        assert client.texts == sent[other], "each once, in order"
        assert len(set(client.ids)) == len(client.ids)
    assert juliet.retries, "it was not only by luck"
