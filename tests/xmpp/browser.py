"""A client of BOSH, as far as HTTP: its requests go to the sessions of a node directly."""

from __future__ import annotations

import asyncio
import base64
import itertools
from typing import TYPE_CHECKING

from pushhub import xml
from pushhub.bosh.body import parse
from pushhub.xmpp.model import namespaces as ns
from tests.xmpp.world import DOMAIN, PASSWORD, SECONDS

if TYPE_CHECKING:
    from pushhub.xml import Element
    from pushhub.xmpp.transport.bosh_sessions import BoshSessions
    from tests.xmpp.world import World

HTTPBIND = "http://jabber.org/protocol/httpbind"


class Call:
    """A pending request, as the HTTP endpoint would pass it."""

    secure = True
    client = "127.0.0.1"

    def __init__(self) -> None:
        self.done: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    def respond(self, body: bytes, status: int, content: str) -> None:
        assert not self.done.done(), "answered twice"
        self.done.set_result((status, body))


class Browser:
    """One session; it can send each request to any node."""

    def __init__(self, world: World, node: int) -> None:
        self.world = world
        self.node = node
        self.rids = itertools.count(1000)
        self.sid = ""
        self.jid = ""

    @classmethod
    async def login(
        cls, world: World, user: str, node: int = 0, wait: int = 10, resource: str = "balcony"
    ) -> Browser:
        browser = cls(world, node)
        features = await browser._send(
            f"to='{DOMAIN}' wait='{wait}' hold='1' ver='1.6' xml:lang='en' xmpp:version='1.0'"
            " xmlns:xmpp='urn:xmpp:xbosh'"
        )
        browser.sid = features.get("sid") or ""
        if user:
            secret = base64.b64encode(f"\0{user}\0{PASSWORD}".encode()).decode()
            auth = f"<auth xmlns='{ns.SASL}' mechanism='PLAIN'>{secret}</auth>"
        else:
            auth = f"<auth xmlns='{ns.SASL}' mechanism='ANONYMOUS'/>"
        answer = await browser.post(auth)
        assert answer.elements[0].name == "success"
        await browser._send(f"sid='{browser.sid}' xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'")
        answer = await browser.post(
            f"<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='{ns.BIND}'>"
            f"<resource>{resource}</resource></bind></iq>"
        )
        jid = answer.elements[0].elements[0].find("jid")
        assert jid is not None
        browser.jid = jid.text
        return browser

    async def post(self, inside: str, node: int | None = None) -> Element:
        """Send a request, and return the body of the response."""
        return await self.hold(inside, node)

    async def ask(self, inside: str, node: int | None = None) -> list[Element]:
        """Send stanzas, one of them an iq, and return all elements up to its result.

        Elements of different turns of the loop are in different responses.
        """
        seen: list[Element] = []
        answer = await self.post(inside, node)
        while True:
            assert answer.get("type") is None, answer
            seen += answer.elements
            if any(e.name == "iq" and e.get("type") in ("result", "error") for e in seen):
                return seen
            answer = await self.hold("", node)

    def hold(self, inside: str = "", node: int | None = None) -> asyncio.Future[Element]:
        """Send a request, which may be held."""
        return asyncio.ensure_future(self._answer(self._begin(f"sid='{self.sid}'", inside, node)))

    async def stranger(self, sid: str, node: int) -> Element:
        """A request with a guessed sid."""
        return await self._send(f"sid='{sid}'", "", node)

    async def _send(self, attributes: str, inside: str = "", node: int | None = None) -> Element:
        return await self._answer(self._begin(attributes, inside, node))

    def _begin(self, attributes: str, inside: str, node: int | None) -> Call:
        rid = next(self.rids)
        raw = f"<body xmlns='{HTTPBIND}' rid='{rid}' {attributes}>{inside}</body>".encode()
        body, call = parse(raw), Call()
        sessions = self.sessions(self.node if node is None else node)
        if body.sid:
            sessions.request(body, raw, call)
        else:
            sessions.create(body, raw, call)
        return call

    async def _answer(self, call: Call) -> Element:
        status, answer = await asyncio.wait_for(call.done, SECONDS)
        assert status == 200, status
        return xml.parse(answer, own=True)

    def sessions(self, node: int) -> BoshSessions:
        return self.world.sessions[node]
