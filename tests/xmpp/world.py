"""A real hub on a real store, a server on it, and clients whose transport is a list."""

from __future__ import annotations

import asyncio
import base64
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest

from pushhub.hub.hub import Hub
from pushhub.settings import Settings
from pushhub.xml import STREAMS, Element, parse
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.server import XmppServer
from tests.store.labs import Clock, lab_for, lab_params, make_lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from pushhub.store.base import Store
    from pushhub.xmpp.transport.bosh_sessions import BoshSessions
    from pushhub.xmpp.transport.stream import XmppStream

# The longest wait for an expected element, on a busy machine.
SECONDS = 15.0
DOMAIN = "localhost"
PASSWORD = "Neither, fair saint"

# One store of each kind: the contract tests of stores cover all.
STORES = ("memory", "sqlite", "valkey9")


class Client:
    """A client, as the transport of its stream: received elements, and the end of the stream."""

    def __init__(self, world: World, server: XmppServer, domain: str = DOMAIN) -> None:
        self.world = world
        self.server = server
        self.seen: list[Element] = []
        self.over = False
        self.error: Element | None = None
        self.jid = ""
        self.ids = itertools.count(1)
        self._news = asyncio.Event()
        stream = server.stream(domain, self)
        assert stream is not None
        self.stream: XmppStream = stream

    # The transport

    def send(self, payload: bytes) -> None:
        self.seen.append(parse(payload, own=True))
        self._news.set()

    def pending(self) -> list[Element]:
        return []

    client = ""
    secure = True

    def reclaim(self) -> tuple[list[Element], list[Element]]:
        return [], []

    def end(self, error: Element | None) -> None:
        self.over, self.error = True, error
        self._news.set()

    # The client

    def say(self, element: Element | str) -> None:
        self.stream.receive(parse(element.encode()) if isinstance(element, str) else element)

    async def next(self, matches: Callable[[Element], object] = lambda _: True) -> Element:
        """Take the first element that matches; earlier elements stay."""
        async with asyncio.timeout(SECONDS):
            while True:
                for index, element in enumerate(self.seen):
                    if matches(element):
                        return self.seen.pop(index)
                assert not self.over, f"the stream has ended: {self.error}"
                self._news.clear()
                await self._news.wait()

    async def stanza(self, name: str, **attributes: str) -> Element:
        """The next stanza of a name and with these attributes; `sender` is its `from`."""
        wanted = {"from" if key == "sender" else key: v for key, v in attributes.items()}
        return await self.next(
            lambda e: e.name == name and all(e.get(k) == v for k, v in wanted.items())
        )

    async def ended(self) -> str:
        """The condition of the stream error that ends the stream."""
        async with asyncio.timeout(SECONDS):
            while not self.over:
                self._news.clear()
                await self._news.wait()
        return self.error.elements[0].name if self.error is not None else ""

    async def iq(self, kind: str, payload: Element | str, to: str = "") -> Element:
        """Send an iq, and return its result or error."""
        id = f"q{next(self.ids)}"
        inside = parse(payload.encode()) if isinstance(payload, str) else payload
        attributes = {"type": kind, "id": id} | ({"to": to} if to else {})
        self.say(Element("iq", ns.CLIENT, attributes, (inside,)))
        return await self.next(lambda e: e.name == "iq" and e.get("id") == id)

    async def ask(self, kind: str, payload: Element | str, to: str = "") -> Element:
        """Send an iq, and return its result."""
        answer = await self.iq(kind, payload, to)
        assert answer.get("type") == "result", answer
        return answer

    async def refused(self, kind: str, payload: Element | str, to: str = "") -> str:
        """Send an iq, and return the condition of its error."""
        return condition(await self.iq(kind, payload, to))

    async def settled(self) -> None:
        """Wait until the server has handled all sent elements."""
        await self.ask("get", "<ping xmlns='urn:xmpp:ping'/>", self.stream.domain)

    async def login(self, user: str = "", password: str = PASSWORD) -> Client:
        """ANONYMOUS without a user, else PLAIN."""
        self.stream.open()
        await self.next(lambda e: e.name == "features")
        if user:
            secret = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
            self.say(f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{secret}</auth>")
        else:
            self.say(f"<auth xmlns='{ns.SASL}' mechanism='ANONYMOUS'/>")
        answer = await self.next()
        assert answer.name == "success", answer
        self.stream.restart()
        features = await self.next()
        assert features.namespace == STREAMS
        assert features.find("bind", ns.BIND) is not None
        return self

    async def bind(self, resource: str = "") -> Client:
        wanted = f"<resource>{resource}</resource>" if resource else ""
        answer = await self.ask("set", f"<bind xmlns='{ns.BIND}'>{wanted}</bind>")
        jid = answer.elements[0].find("jid")
        assert jid is not None
        self.jid = jid.text
        return self

    @property
    def bare(self) -> str:
        return self.jid.partition("/")[0]

    async def available(self, more: str = "") -> Client:
        self.say(f"<presence xmlns='{ns.CLIENT}'>{more}</presence>")
        await self.own_presence()
        await self.settled()
        return self

    async def own_presence(self, kind: str | None = None) -> Element:
        """The next presence of the client itself."""
        return await self.next(
            lambda e: e.name == "presence" and e.get("from") == self.jid and e.get("type") == kind
        )

    def chat(self, to: str, text: str, kind: str = "chat", more: str = "") -> None:
        self.say(
            f"<message xmlns='{ns.CLIENT}' to='{to}' type='{kind}'>"
            f"<body>{text}</body>{more}</message>"
        )

    async def message(self, text: str) -> Element:
        """The next message with that body."""
        return await self.next(lambda e: e.name == "message" and body(e) == text)

    def leave(self) -> None:
        self.stream.closed()

    def __repr__(self) -> str:
        return f"<Client {self.jid}>"


class World:
    """A store and its servers: several where processes can share the store."""

    def __init__(self, make: Callable[[], Store], shared: bool, **settings: Any) -> None:
        self._make = make
        self.shared = shared
        self.settings = Settings(**{"dev": True, **settings})
        self.clock = Clock()
        """The clock of the store, in a small world."""
        self.servers: list[XmppServer] = []
        self.sessions: list[BoshSessions] = []

    @classmethod
    @asynccontextmanager
    async def of_couple(cls, store: Store) -> AsyncIterator[Self]:
        """One server on a store, with accounts for romeo and juliet."""
        world = cls(lambda: store, shared=False)
        await world.node()
        for name in ("romeo", "juliet"):
            await world.account(name)
        yield world
        await world.close()

    async def node(self) -> XmppServer:
        hub = Hub(self._make())
        await hub.open()
        server = XmppServer(hub, self.settings)
        await server.open()
        self.servers.append(server)
        self.sessions.append(server.bosh)
        return server

    @property
    def server(self) -> XmppServer:
        return self.servers[0]

    async def account(self, name: str, password: str = PASSWORD) -> str:
        return await self.server.accounts.add(name, DOMAIN, password)

    def client(self, node: int = 0) -> Client:
        return Client(self, self.servers[node])

    async def user(self, name: str = "", resource: str = "", node: int = 0) -> Client:
        """A client that has logged in and bound a resource; without a name it is anonymous."""
        return await (await self.client(node).login(name)).bind(resource)

    async def leave(self, node: int) -> None:
        """Drain and stop a node."""
        await self.servers[node].close()

    async def close(self) -> None:
        for server in self.servers:
            await server.close()
            await server.hub.close()


def body(message: Element) -> str | None:
    """A message's body; None without one."""
    element = message.find("body")
    return None if element is None else element.text


def condition(answer: Element) -> str:
    """The condition of an error."""
    assert answer.get("type") == "error", answer
    error = answer.find("error")
    assert error is not None
    return error.elements[0].name


@pytest.fixture(params=lab_params(STORES, fast=["memory"]))
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A server on a store of each kind."""
    lab = lab_for(request, request.param, tmp_path, Clock())
    world = World(lab.make, request.param not in ("memory", "sqlite"))
    await world.node()
    yield world
    await world.close()


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[World]:
    """A server in memory, for tests that do not depend on the store."""
    clock = Clock()
    world = World(make_lab("memory", tmp_path, clock).make, shared=False)
    world.clock = clock
    await world.node()
    yield world
    await world.close()
