"""Two people with two devices each: presence, messages to one device, and copies to the other.

Nobody else has their accounts, so what each device must be told is known.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from pushhub.testing.simulation import pauses
from pushhub.testing.simulation.actors.actor import GONE_SECONDS, RETRY_SECONDS, Actor
from pushhub.testing.simulation.actors.archive import CARBONS, DELAY, ArchiveReader, copies
from pushhub.testing.simulation.bosh import CHAT_ADDRESS, DOMAIN, BoshClient, SessionEnded
from pushhub.testing.simulation.login import log_in
from pushhub.testing.simulation.messages import Sent
from pushhub.testing.simulation.oracle import DELIVERY_SECONDS
from pushhub.testing.simulation.world import COUPLE, PASSWORD

if TYPE_CHECKING:
    from pushhub.testing.simulation.world import World
    from pushhub.xml import Element

ROSTER = "jabber:iq:roster"


class Device:
    """One session of an account, and what it was told."""

    def __init__(self, couple: Couple, user: str, number: int) -> None:
        self.bare = f"{user}@{DOMAIN}"
        self.session: BoshClient | None = None
        self.scope = ""
        self.archive = ArchiveReader()
        self.presences: list[tuple[str, str]] = []
        """Sender and type of each presence, since it was last cleared."""
        self.available = float("inf")
        self._couple = couple
        self._user = user
        self._name = f"{couple.name}.{user}{number}"
        self._scopes = count(1)

    @property
    def up(self) -> BoshClient:
        """The session.

        Raises:
            Ended: there is none.
        """
        if self.session is None or self.session.condition is not None:
            raise SessionEnded("no session")
        return self.session

    async def begin(self) -> None:
        """Log in, ask for copies, and be available.

        Raises:
            Ended: there is no session.
        """
        couple = self._couple
        world, random = couple.world, couple.random
        address, pick = CHAT_ADDRESS, couple.pick
        session = BoshClient(
            world, self._name, random, address, pick, self._take, asgi=couple.is_asgi
        )
        self.session, self.scope = session, f"{self._name}.{next(self._scopes)}"
        await session.open(polls=False, acks=random.random() < 0.5)
        await log_in(session, random, self._user, PASSWORD)
        await session.iq("set", f"<enable xmlns='{CARBONS}'/>")
        await session.iq("get", f"<query xmlns='{ROSTER}'/>")
        session.send("<presence xmlns='jabber:client'/>")
        await session.ping()
        self.available = world.now()

    def vanish(self) -> None:
        """Leave without a word."""
        if self.session is not None:
            self.session.vanish()
            self.session = None

    def _take(self, element: Element) -> None:
        messages, name = self._couple.world.messages, self._name
        if element.name == "presence":
            self.presences.append((element.get("from") or "", element.get("type") or "available"))
        elif element.name != "message" or self.archive.take(element):
            return
        elif element.get("type") == "error":
            messages.refuse(element.get("id") or "")
        elif element.find("body") is not None:
            id, is_late = element.get("id") or "", element.find("delay", DELAY) is not None
            messages.receive(name, self.scope, self.bare, id, late=is_late)
        else:
            for which, id, is_late in copies(element):
                messages.copy(name, self.scope, self.bare, id, which, late=is_late)


class Couple(Actor):
    """Two people with two devices each. The first asks for the other's presence."""

    longest = 300.0
    acts = (
        *("message to a full address", "message to an account", "cut"),
        *("subscribe and approve", "unsubscribe", "away and back", "probe"),
    )

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        one, other = COUPLE
        self.ones = [Device(self, one, number) for number in range(2)]
        self.others = [Device(self, other, number) for number in range(2)]
        self.devices = [*self.ones, *self.others]
        # Whether the first is told of the other's presence; None if trouble has left that open.
        self._sees: bool | None = None
        # Addresses of sessions that left without a word, and when: they are shown for some time.
        self._ghosts: dict[str, float] = {}
        self._numbers = count(1)

    async def run(self) -> None:
        if self.world.plan.has_xmpp:
            await super().run()

    async def turn(self) -> None:
        begun = self.world.now()
        try:
            for device in self.devices:
                await device.begin()
            # Those that came later are shown to those that came before.
            await self._settle()
            self._clear()
            await self._act()
            await self._part()
        except SessionEnded as ended:
            self.tell(f"a session is over: {ended}")
            self._sees = None
            if not self._troubled(begun):
                self.world.oracle.find("session-lost", self.name, str(ended))
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            for device in self.devices:
                if device.session is not None and device.session.jid:
                    self._ghosts[device.session.jid] = self.world.now()
                device.vanish()

    async def _act(self) -> None:
        acts = (self._chat, self._chat, self._subscription, self._subscription, self._away)
        for _ in range(self.random.choice((1, 2, 4))):
            if self.world.over or not self.world.working.is_set():
                break
            await self.random.choice((*acts, self._return, self._cut))()
            self._check_ghosts()
            await asyncio.sleep(pauses.draw(self.random, 10.0))

    def _troubled(self, begun: float, *, drains: bool = True) -> bool:
        world = self.world
        # A killed node's sessions, and what it knew of others, are lost for longer.
        crashed = world.messages.has_crashed(begun - GONE_SECONDS, world.now())
        return crashed or world.troubled_any(begun, world.now(), drains=drains)

    # Messages

    async def _chat(self) -> None:
        """Send messages to a person, or to one device of theirs."""
        sender = self.random.choice(self.devices)
        sides = self.others if sender in self.ones else self.ones
        receiver, world = self.random.choice(sides), self.world
        is_full = self.random.random() < 0.6
        self.count("message to a full address" if is_full else "message to an account")
        sent: list[Sent] = []
        for _ in range(self.random.choice((1, 1, 3))):
            number = next(self._numbers)
            id = f"{self.name}.{number}"
            to = receiver.up.jid if is_full else receiver.bare
            resource = to.partition("/")[2]
            message = Sent(
                id, sender.scope, number, sender.bare, receiver.bare, world.now(), resource=resource
            )
            world.messages.send(message)
            sent.append(message)
            sender.up.send(
                f"<message xmlns='jabber:client' to='{to}' type='chat' id='{id}'>"
                f"<body>{id}</body></message>"
            )
        await sender.up.ping()
        for message in sent:
            world.messages.accept(message.id)

    async def _part(self) -> None:
        """Leave, once all that was said has come."""
        await self._settle()
        messages = self.world.messages
        for device in self.devices:
            _, _, resource = device.up.jid.partition("/")
            since, name = device.available, self.name
            messages.check_session(name, device.scope, device.bare, since, resource)
            messages.check_copies(name, device.scope, device.bare, since)
        for device in self.devices:
            if self.random.random() < 0.7:
                await device.up.terminate()

    async def _settle(self) -> None:
        """Wait until all that was said has come."""
        for device in self.devices:
            await device.up.ping()
        await asyncio.sleep(2 * DELIVERY_SECONDS)
        for device in self.devices:
            await device.up.ping()

    async def _cut(self) -> None:
        """Connections break; the same requests are sent again."""
        self.random.choice(self.devices).up.cut()
        self.count("cut")
        await asyncio.sleep(0.01)

    # Presence

    async def _subscription(self) -> None:
        """Ask for the other's presence and get it, or give it up."""
        if self._sees is None:
            await self._forget()
        elif self._sees:
            await self._unsubscribe()
        else:
            await self._subscribe()

    async def _forget(self) -> None:
        """Begin anew: remove each other from the roster."""
        begun = self.world.now()
        for own, other in ((self.ones[0], self.others[0]), (self.others[0], self.ones[0])):
            item = f"<item jid='{other.bare}' subscription='remove'/>"
            await own.up.iq("set", f"<query xmlns='{ROSTER}'>{item}</query>")
        await self._settle()
        self._sees = None if self._troubled(begun) else False

    async def _subscribe(self) -> None:
        self.count("subscribe and approve")
        one, other, begun = self.ones[0], self.others[0], self._begin()
        self._say(self.random.choice(self.ones), "subscribe", other.bare)
        await self._settle()
        self._expect(self.others, [(one.bare, "subscribe")], begun)
        self._clear()
        self._say(self.random.choice(self.others), "subscribed", one.bare)
        await self._settle()
        seen = [(device.up.jid, "available") for device in self.others]
        self._expect(self.ones, [(other.bare, "subscribed"), *seen], begun)
        self._sees = None if self._troubled(begun) else True

    async def _unsubscribe(self) -> None:
        self.count("unsubscribe")
        one, other, begun = self.ones[0], self.others[0], self._begin()
        self._say(self.random.choice(self.ones), "unsubscribe", other.bare)
        await self._settle()
        self._expect(self.others, [(one.bare, "unsubscribe")], begun)
        self._expect(self.ones, [(d.up.jid, "unavailable") for d in self.others], begun)
        self._sees = None if self._troubled(begun) else False

    async def _away(self) -> None:
        """A device is not available for a while; whoever may know of it is told."""
        if self._sees is not None:
            self.count("away and back")
            device, begun = self.random.choice(self.others), self._begin()
            for kind in ("unavailable", "available"):
                self._clear()
                self._say(device, kind)
                await self._settle()
                expected = [(device.up.jid, kind)] if self._sees else []
                self._expect(self.ones, expected, begun)
            device.available = self.world.now()

    async def _return(self) -> None:
        """A device that comes back asks who is there (a probe, RFC 6121 §4.3)."""
        if self._sees is not None:
            self.count("probe")
            device, begun = self.random.choice(self.ones), self._begin()
            self._say(device, "unavailable")
            await self._settle()
            self._clear()
            self._say(device, "available")
            await self._settle()
            seen = [(d.up.jid, "available") for d in self.others] if self._sees else []
            self._expect([device], seen, begun)
            device.available = self.world.now()

    def _begin(self) -> float:
        self._clear()
        return self.world.now()

    def _clear(self) -> None:
        for device in self.devices:
            device.presences.clear()

    def _say(self, device: Device, kind: str, to: str = "") -> None:
        attributes = f" to='{to}'" if to else ""
        attributes += f" type='{kind}'" if kind != "available" else ""
        device.up.send(f"<presence xmlns='jabber:client'{attributes}/>")

    def _expect(self, devices: list[Device], expected: list[tuple[str, str]], begun: float) -> None:
        """Each of a person's devices was told this of the other person, once."""
        if self._troubled(begun):
            self._sees = None
            return
        for device in devices:
            own, ghosts = device.bare, self._ghosts
            told = [
                (by, kind)
                for by, kind in device.presences
                if by.partition("/")[0] != own and by not in ghosts
            ]
            if sorted(told) != sorted(expected):
                text = f"{device.up.jid} was told {told}, not {expected}"
                self.world.oracle.find("presence", self.name, text)

    def _check_ghosts(self) -> None:
        """No session is shown for longer than its time."""
        for device in self.devices:
            for by, kind in device.presences:
                left = self._ghosts.get(by, float("inf"))
                is_over = self.world.now() - left > GONE_SECONDS
                if kind == "available" and is_over and not self._troubled(left):
                    text = f"{by} left at {left:.3f} s, and is shown"
                    self.world.oracle.find("presence", self.name, text)

    # The end

    async def finish(self) -> None:
        """What was said to each of them has come, and is in the archive."""
        if not self.world.plan.has_xmpp:
            return
        await self.abandoned()
        for device in (self.ones[0], self.others[0]):
            try:
                await device.begin()
                await asyncio.sleep(2 * DELIVERY_SECONDS)
                await device.up.ping()
                archive = await device.archive.read(device.up)
                self.world.messages.check_account(self.name, device.bare, archive)
                await device.up.terminate()
            except SessionEnded as ended:
                self.world.oracle.find("login", self.name, f"at the end: {ended}")
            device.vanish()
