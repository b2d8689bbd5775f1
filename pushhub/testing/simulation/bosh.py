"""A BOSH client (XEP-0124, XEP-0206), as Strophe.js is one: one request is held, and a second goes
out when there is something to say.

Rule 1: a request whose response was lost is sent again, with the same rid and the same bytes.

Rule 2: responses are taken in rid order, each once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.testing.simulation.oracle import DELIVERY_SECONDS
from pushhub.xml import Element, XmlError, parse, quote

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from pushhub.testing.simulation.asgi import AsgiClient
    from pushhub.testing.simulation.http import SimulatedClient, SimulatedResponse
    from pushhub.testing.simulation.node import Node
    from pushhub.testing.simulation.world import World

PATH = "/_pushhub/http-bind"
DOMAIN = "example.com"
HTTPBIND = "http://jabber.org/protocol/httpbind"
XBOSH = "urn:xmpp:xbosh"
# What a client does after a request failed.
RETRY_SECONDS = 1.0
# What a forwarded request takes on top: the feeds of two nodes, and their registers.
FORWARD_SECONDS = 2.0
# After that a node that was killed is taken for dead, and its sessions for lost.
DEAD_SECONDS = 30.0
# A stanza that has no result by then will never have one.
PATIENCE_SECONDS = 120.0


# Chat clients are on the node's machine: without TLS no other may send a password (PLAIN).
CHAT_ADDRESS = "127.0.0.1"


class SessionEnded(Exception):
    """The session is over; the text is the condition."""


class BoshClient:
    """One session. `take` is called with every stanza, `pick` names the node of a request."""

    def __init__(
        self,
        world: World,
        name: str,
        random: Random,
        address: str,
        pick: Callable[[], Node | None],
        take: Callable[[Element], None],
        *,
        asgi: bool = False,
    ) -> None:
        self.world = world
        self.name = name
        self.jid = ""
        self.sid = ""
        self.wait = self.inactivity = self.polling = self.maxpause = 0
        self.condition: str | None = None
        """Why the session is over, None while it is not."""
        self.heard = world.now()
        """When its last response came."""
        self.asleep = False
        self._random = random
        self._address = address
        self._asgi = asgi
        self._pick = pick
        self._take = take
        self._rid = random.randrange(1, 2**31)
        self._taken = self._rid
        self._outgoing: list[str] = []
        # Rid → the request's bytes, until its response is taken.
        self._open: dict[int, bytes] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._responses: dict[int, Element] = {}
        self._clients: list[SimulatedClient | AsgiClient] = []
        self._idle: dict[str, list[SimulatedClient | AsgiClient]] = {}
        self._steps: list[Element] = []
        self._news = asyncio.Event()
        self._polled = 0.0
        # Whether it says which responses it has.
        self._acks = False
        self._pump: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[Element]] = {}

    # A session's life

    async def open(self, *, polls: bool, acks: bool) -> None:
        """Create a session, and read the features.

        Raises:
            Ended: there is none.
        """
        hold, wait = (0, 0) if polls else (1, 55)
        more = " ack='1'" if acks else ""
        self._acks = acks
        self._post(
            f"to='{DOMAIN}' wait='{wait}' hold='{hold}' ver='1.11' xml:lang='en'"
            f" xmpp:version='1.0'{more}",
            [],
        )
        features = await self.step()
        if features.name != "features":
            raise SessionEnded(f"{features.name} in place of features")
        self._pump = asyncio.ensure_future(self._keep())

    def restart(self) -> None:
        """Begin the stream again, after a login (XEP-0206 §5)."""
        self._post(f"to='{DOMAIN}' xml:lang='en' xmpp:restart='true'", [])

    async def step(self) -> Element:
        """The next element that is no stanza.

        Raises:
            Ended: the session is over.
        """
        until = self.world.now() + PATIENCE_SECONDS
        while not self._steps:
            if self.condition is not None:
                raise SessionEnded(self.condition)
            await self._wait(until)
        return self._steps.pop(0)

    async def _wait(self, until: float) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._news.wait()
        except TimeoutError:
            raise SessionEnded("no element came") from None

    # What it says

    def send(self, xml: str) -> None:
        """Send a stanza, or what stands for one before there is a session."""
        self._outgoing.append(xml)
        if self._pump is None and self.condition is None:
            self._flush()
        self._news.set()

    async def iq(self, kind: str, payload: str, to: str = "") -> Element:
        """Ask, and return the result or the error.

        Raises:
            Ended: the session is over before it came.
        """
        id = f"i{self._random.getrandbits(40):010x}"
        address = f" to='{quote(to)}'" if to else ""
        future: asyncio.Future[Element] = asyncio.get_running_loop().create_future()
        self._waiting[id] = future
        self.send(f"<iq xmlns='jabber:client' type='{kind}' id='{id}'{address}>{payload}</iq>")
        begun = self.world.now()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await future
        except TimeoutError:
            if self.condition is None and not self.world.troubled_any(begun, self.world.now()):
                self.world.oracle.find("silent", self.name, f"no result of {payload}")
            raise SessionEnded("no result came") from None
        finally:
            self._waiting.pop(id, None)

    async def ping(self) -> None:
        """Wait until all that was said is handled."""
        await self.iq("get", "<ping xmlns='urn:xmpp:ping'/>", DOMAIN)

    # Its ways to go

    async def terminate(self) -> None:
        """Leave, and say so."""
        if self.condition is None:
            self._post("type='terminate'", self._drain())
            try:
                until = self.world.now() + PATIENCE_SECONDS
                while self.condition is None:
                    await self._wait(until)
            except SessionEnded:
                pass
        self.vanish()

    def vanish(self, *, silently: bool = False) -> None:
        """Go without a word. `silently`: the server is not even told that connections are gone."""
        self._end("left")
        self._stop(silently=silently)

    async def pause(self, seconds: int) -> bool:
        """Ask for a pause, and go to sleep; whether it was granted."""
        if not self.maxpause or self._outgoing or self._random.random() < 0.1:
            self.sleep()
            return False
        self.asleep = True
        self._post(f"pause='{seconds}'", [])
        try:
            until = self.world.now() + PATIENCE_SECONDS
            while self._open and self.condition is None:
                await self._wait(until)
        except SessionEnded:
            self.sleep()
            return False
        self.sleep()
        return self.condition is None

    def sleep(self) -> None:
        """A page is hidden, or closed: its connections go, and it may come back."""
        self.asleep = True
        self._stop()

    def wake(self) -> None:
        """Go on: what was not answered is sent again."""
        if self.condition is None:
            self.asleep = False
            for rid, raw in sorted(self._open.items()):
                self._tasks[rid] = asyncio.ensure_future(self._exchange(rid, raw))
            self._pump = asyncio.ensure_future(self._keep())

    def cut(self) -> None:
        """Break all connections; requests are repeated by themselves."""
        for client in self._clients:
            client.close()

    def _stop(self, *, silently: bool = False) -> None:
        for task in (*self._tasks.values(), *([self._pump] if self._pump is not None else [])):
            task.cancel()
        self._tasks.clear()
        self._pump = None
        for client in self._clients:
            if silently and client.end is not None:
                client.end.silence()
            client.close()
        self._clients.clear()
        self._idle.clear()

    def _end(self, condition: str) -> None:
        if self.condition is None:
            self.condition = condition
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(SessionEnded(condition))
            self._news.set()

    # Requests

    async def _keep(self) -> None:
        """Keep one request open."""
        while self.condition is None:
            now, most = self.world.now(), 1 if self.polling else 2
            pause: float | None = None
            if not self.asleep:
                if self._outgoing and len(self._open) < most:
                    self._flush()
                elif not self._open:
                    pause = self._polled + self.polling - now if self.polling else 0.0
                    if pause <= 0:
                        self._post("", [])
                        pause = None
            self._news.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                pass

    def _drain(self) -> list[str]:
        said, self._outgoing = self._outgoing, []
        return said

    def _flush(self) -> None:
        self._post("", self._drain())

    def _post(self, attributes: str, said: list[str]) -> None:
        self._rid += 1
        sid = f" sid='{self.sid}'" if self.sid else ""
        if self._acks and self.sid and self._taken < self._rid - 1:
            sid += f" ack='{self._taken}'"
        raw = (
            f"<body xmlns='{HTTPBIND}' xmlns:xmpp='{XBOSH}' rid='{self._rid}'{sid} {attributes}>"
            f"{''.join(said)}</body>"
        ).encode()
        self._open[self._rid] = raw
        self._tasks[self._rid] = asyncio.ensure_future(self._exchange(self._rid, raw))

    async def _exchange(self, rid: int, raw: bytes) -> None:
        """A request, until it has a response."""
        begun, tries = self.world.now(), 0
        while self.condition is None:
            if self.world.now() - begun > 2 * PATIENCE_SECONDS + self.inactivity:
                self._end("no response")
                return
            tries += 1
            response = await self._ask(rid, raw)
            if response is None or response.status >= 500:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            try:
                body = parse(response.body)
            except XmlError:
                self.world.oracle.find("body", self.name, f"rid {rid}: {response}")
                self._end("no body")
                return
            self._answered(rid, body, self.world.now() - begun)
            return

    async def _ask(self, rid: int, raw: bytes) -> SimulatedResponse | None:
        world, node = self.world, self._pick()
        if node is None:
            return None
        idle = self._idle.setdefault(node.name, [])
        client = idle.pop() if idle else world.client(node.name, self._address, asgi=self._asgi)
        if client not in self._clients:
            self._clients.append(client)
        # A repeat counts, too: the server may not have seen the first one.
        asked = self._polled = world.now()
        world.requests += 1
        try:
            response = await client.ask("POST", PATH, {"content-type": "text/xml"}, raw)
        except TimeoutError:
            client.close()
            if not world.troubled_any(asked, world.now()):
                world.oracle.find("silent", self.name, f"no response to rid {rid}")
            return None
        except OSError:
            self._drop(client)
            return None
        now = world.now()
        if client.end is not None:
            idle.append(client)
        else:
            self._drop(client)
        head, _, said = raw.decode().partition(">")
        attributes = head.partition(f"rid='{rid}'")[2]
        shown = f"{attributes} {said.removesuffix('</body>')}"
        body = f"{response.status} {response.body[:3000]!r}"
        world.tell(self.name, f"{node.name} {self.sid[:4]} rid {rid}{shown} -> {body}")
        is_late = now - asked > self.wait + FORWARD_SECONDS + DELIVERY_SECONDS
        dead = world.messages.has_crashed(asked - DEAD_SECONDS, now)
        if self.sid and is_late and not dead and not world.troubled_any(asked, now):
            text = f"rid {rid} was answered after {now - asked:.3f} s"
            world.oracle.find("late", self.name, text)
        if response.status >= 500 and not world.troubled_any(asked, now):
            world.oracle.find("refused", self.name, f"rid {rid}: {response}")
        owners = [node.name for node in world.nodes if node.is_up and node.owns(self.sid)]
        if len(owners) > 1:
            world.oracle.find("two-nodes", self.name, f"{self.sid[:4]} lives on {owners}")
        return response

    def _drop(self, client: SimulatedClient | AsgiClient) -> None:
        if client in self._clients:  # Else the session has ended meanwhile, and all are closed.
            self._clients.remove(client)

    def _answered(self, rid: int, body: Element, seconds: float) -> None:
        if body.get("type") != "terminate":
            self.heard = self.world.now()
        self._tasks.pop(rid, None)
        self._responses[rid] = body
        while self.condition is None and (taken := self._responses.pop(self._taken + 1, None)):
            self._taken += 1
            self._open.pop(self._taken, None)
            self._read(taken)
        if self.condition is None and body.get("type") == "terminate":
            # It need not be the next one: all of them are over.
            self._end(body.get("condition") or "terminate")
        self._news.set()

    def _read(self, body: Element) -> None:
        if not self.sid and body.get("sid"):
            self.sid = body.get("sid") or ""
            self.wait, self.inactivity = _number(body, "wait"), _number(body, "inactivity")
            self.polling, self.maxpause = _number(body, "polling"), _number(body, "maxpause")
        for element in body.elements:
            if element.name not in ("message", "presence", "iq"):
                self._steps.append(element)
                continue
            waiting = self._waiting.get(element.get("id") or "")
            if element.name == "iq" and waiting is not None and not waiting.done():
                waiting.set_result(element)
            else:
                self._take(element)
        if body.get("type") == "terminate":
            self._end(body.get("condition") or "terminate")

    def __repr__(self) -> str:
        return f"<BoshClient {self.jid} {self.sid[:4]} {self.condition or 'open'}>"


def _number(body: Element, name: str) -> int:
    return int(body.get(name) or 0)
