"""XMPP clients over BOSH: people who chat, read channels, hide their tabs, reload and vanish."""

from __future__ import annotations

import asyncio
from itertools import count, pairwise
from typing import TYPE_CHECKING

import orjson

from pushhub.testing.simulation import pauses
from pushhub.testing.simulation.actors.actor import RETRY_SECONDS, Actor
from pushhub.testing.simulation.actors.archive import ArchiveReader, copies
from pushhub.testing.simulation.bosh import CHAT_ADDRESS, DOMAIN, BoshClient, SessionEnded
from pushhub.testing.simulation.login import log_in
from pushhub.testing.simulation.messages import Sent
from pushhub.testing.simulation.oracle import DELIVERY_SECONDS
from pushhub.testing.simulation.world import ACCOUNTS, PASSWORD

if TYPE_CHECKING:
    from pushhub.testing.simulation.world import World
    from pushhub.xml import Element

NODE = "news:1"
SERVICE = f"pubsub.{DOMAIN}"
PUBSUB = "http://jabber.org/protocol/pubsub"
DELAY = "urn:xmpp:delay"
ROSTER = "jabber:iq:roster"
# About what is left of a session's time nobody is sure: a tick, the way, a node that answers late.
DOUBT_SECONDS = 10.0


class Chatter(Actor):
    """Somebody with an account, or an anonymous guest."""

    longest = 70.0
    acts = (
        *("login", "guest", "chat", "idle", "sleep", "reload", "pause", "cut", "subscribe"),
        *("notification", "publish", "block", "roster", "look_up"),
        *("terminate", "vanish", "silence", "archive"),
    )

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.user = self.random.choice((*ACCOUNTS, ""))
        self.account = ""
        self._session: BoshClient | None = None
        self._numbers = count(1)
        self._scopes = count(1)
        self._scope = ""
        # Messages that this session has sent, and no answer tells of yet.
        self._unsure: list[str] = []
        self._available = float("inf")
        self._subscribed = float("inf")
        self._notices: list[str] = []
        self._archive = ArchiveReader()
        self._own_presence = False
        # When it fell asleep, and how long the server keeps its session then.
        self._slept = self._idle_seconds = 0.0
        self._allowed = 0.0

    async def run(self) -> None:
        if self.world.plan.has_xmpp:
            await super().run()

    # Sittings

    async def turn(self) -> None:
        session = await self._begin()
        if session is None:
            await asyncio.sleep(RETRY_SECONDS)
            return
        acts = (
            self._chat, self._chat, self._chat, self._idle, self._sleep, self._cut,
            self._subscribe, self._publish, self._block, self._roster, self._look_up,
        )  # fmt: skip
        try:
            for _ in range(self.random.choice((1, 3, 6, 12))):
                if self.world.over or not self.world.working.is_set():
                    break
                act = self.random.choice(acts)
                await act(session)
                if self.user or act not in (self._publish, self._block, self._roster):
                    self.count(act.__name__.removeprefix("_"))
                await asyncio.sleep(pauses.draw(self.random, 20.0))
                if session.condition is not None:
                    break
            if session.condition is None:
                await self._part(session)
        except SessionEnded:
            pass
        if session.condition is not None:
            self._ended(session)

    async def _begin(self) -> BoshClient | None:
        """Go on with the session that there is, or log in."""
        if self._session is not None:
            session = self._session
            try:
                await self._wake(session)
            except SessionEnded:
                self._ended(session)
                return None
            return session
        return await self._login()

    async def _login(self, *, polls: bool | None = None) -> BoshClient | None:
        world, random = self.world, self.random
        begun = world.now()
        session = BoshClient(
            world, self.name, random, CHAT_ADDRESS, self.pick, self._take, asgi=self.is_asgi
        )
        self._session = session
        self._scope = f"{self.name}.{next(self._scopes)}"
        self._available = self._subscribed = float("inf")
        self._own_presence = False
        self._unsure.clear()
        self._notices.clear()
        try:
            polls = random.random() < 0.15 if polls is None else polls
            await session.open(polls=polls, acks=random.random() < 0.5)
            await log_in(session, self.random, self.user, PASSWORD)
            self.account = session.jid.partition("/")[0]
            if random.random() < 0.5:
                await session.iq("set", "<enable xmlns='urn:xmpp:carbons:2'/>")
            await session.iq("get", "<query xmlns='jabber:iq:roster'/>")
            session.send("<presence xmlns='jabber:client'/>")
            await session.ping()
            self._available = world.now()
        except SessionEnded as ended:
            self.tell(f"no session: {ended}")
            if not world.troubled_any(begun, world.now()):
                world.oracle.find("login", self.name, str(ended))
            self._forget(session)
            return None
        self.tell(f"is {session.jid}, session {session.sid[:4]}")
        self.count("login" if self.user else "guest")
        return session

    def _forget(self, session: BoshClient) -> None:
        session.vanish()
        if self._session is session:
            self._session = None

    async def _wake(self, session: BoshClient) -> None:
        """Go on after a sleep; the server keeps a session for its time, and not for longer."""
        self._idle_seconds = idle = self.world.now() - self._slept
        session.wake()
        await session.ping()
        self.count("reload")
        self._idle_seconds = 0.0
        is_kept = idle > self._allowed + DOUBT_SECONDS
        if is_kept and not self.world.troubled_any(self._slept, self.world.now()):
            text = f"a session lived for {idle:.3f} s, {self._allowed} were allowed"
            self.world.oracle.find("session-kept", self.name, text)

    def _ended(self, session: BoshClient) -> None:
        """The session is over; was it time?"""
        condition, idle = session.condition, self._idle_seconds
        self._idle_seconds = 0.0
        self.tell(f"the session {session.sid[:4]} is over: {condition}")
        self._forget(session)
        if condition in ("left", "terminate") or 0 < idle > self._allowed - DOUBT_SECONDS:
            return
        begun = session.heard
        if not self.world.troubled_any(begun, self.world.now(), drains=self.world.is_certain):
            text = f"{session.jid} was lost: {condition}, {idle:.3f} s idle"
            self.world.oracle.find("session-lost", self.name, text)

    async def _part(self, session: BoshClient) -> None:
        """Leave: with a farewell, without, or for some time."""
        way = self.random.choice(("terminate", "vanish", "silence", "sleep", "sleep"))
        self.tell(f"parts: {way}")
        if way != "sleep":
            self.count(way)
        if way == "sleep":
            await self._fall_asleep(session)
            return
        if way == "terminate":
            await self._settle(session)
            await session.terminate()
        else:
            session.vanish(silently=way == "silence")
        self._forget(session)

    async def _fall_asleep(self, session: BoshClient) -> None:
        self._allowed = float(session.inactivity)
        if self.random.random() < 0.5:
            seconds = self.random.choice((session.maxpause, 200, 10))
            if await session.pause(seconds):
                self.count("pause")
                self._allowed = float(seconds)
        else:
            session.sleep()
        self._slept = self.world.now()

    async def _settle(self, session: BoshClient) -> None:
        """Make sure that all has come which must have."""
        await self._confirm(session)
        if not session.polling:
            await asyncio.sleep(2 * DELIVERY_SECONDS)
            await session.ping()
        world = self.world
        if self.user:
            world.messages.check_session(self.name, self._scope, self.account, self._available)
        if not self._own_presence and not world.troubled_any(self._available - 5, world.now()):
            world.oracle.find("presence", self.name, f"{session.jid} was not told of its own")
        self._check_notices()

    def _check_notices(self) -> None:
        world, now = self.world, self.world.now()
        known = set(self._notices)
        for record in world.oracle.acknowledged[NODE]:
            is_due = record.asked > self._subscribed and record.at < now - 2 * DELIVERY_SECONDS
            is_missing = is_due and record.id not in known
            if is_missing and not world.troubled_any(record.asked, now, drains=False):
                world.oracle.find("missed", self.name, f"no notification of {record}")
        offsets = {r.id: (r.epoch, r.offset) for r in world.oracle.acknowledged[NODE]}
        found = [offsets[id] for id in self._notices if id in offsets]
        for before, after in pairwise(found):
            if before[0] == after[0] and after[1] <= before[1]:
                world.oracle.find("order", self.name, f"a notification of {after} after {before}")

    # What it does

    async def _idle(self, session: BoshClient) -> None:
        await asyncio.sleep(pauses.draw(self.random, 100.0))

    async def _cut(self, session: BoshClient) -> None:
        """Connections break, and the same requests are sent again."""
        session.cut()
        await asyncio.sleep(0.01)

    async def _sleep(self, session: BoshClient) -> None:
        """A reload of the page, or a short sleep: the same session goes on."""
        await self._fall_asleep(session)
        await asyncio.sleep(pauses.draw(self.random, 160.0))
        await self._wake(session)

    async def _chat(self, session: BoshClient) -> None:
        to = self.random.choice(ACCOUNTS)
        for _ in range(self.random.choice((1, 1, 2, 5))):
            number = next(self._numbers)
            id = f"{self.name}.{number}"
            account = f"{to}@{DOMAIN}"
            by = self.account
            sent = Sent(id, self._scope, number, by, account, self.world.now())
            self.world.messages.send(sent)
            self._unsure.append(id)
            session.send(
                f"<message xmlns='jabber:client' to='{account}' type='chat' id='{id}'>"
                f"<body>{id}</body></message>"
            )
        if self.random.random() < 0.7:
            await self._confirm(session)

    async def _confirm(self, session: BoshClient) -> None:
        """What was said before a ping is accepted when that is answered."""
        unsure = list(self._unsure)
        await session.ping()
        for id in unsure:
            self.world.messages.accept(id)
        self._unsure = [id for id in self._unsure if id not in unsure]

    async def _subscribe(self, session: BoshClient) -> None:
        if self._subscribed < float("inf"):
            return
        payload = f"<subscribe node='{NODE}' jid='{session.jid}'/>"
        answer = await session.iq("set", f"<pubsub xmlns='{PUBSUB}'>{payload}</pubsub>", SERVICE)
        if answer.get("type") == "result":
            self._subscribed = self.world.now()

    async def _publish(self, session: BoshClient) -> None:
        if not self.user:
            return
        world, asked = self.world, self.world.now()
        id = f"{self.name}.{next(self._numbers)}"
        json = orjson.dumps({"id": id}).decode()
        item = f"<item><json xmlns='urn:xmpp:json:0'>{json}</json></item>"
        answer = await session.iq(
            "set",
            f"<pubsub xmlns='{PUBSUB}'><publish node='{NODE}'>{item}</publish></pubsub>",
            SERVICE,
        )
        if answer.get("type") != "result":
            if not world.troubled_any(asked, world.now()):
                world.oracle.find("refused", self.name, answer.xml())
            return
        cursor = world.log.find(NODE, id)
        if cursor is not None:
            world.oracle.published(NODE, cursor, id, asked)
        elif not world.troubled_any(asked, world.now()):
            world.oracle.find("lost", self.name, f"{id} was published, and is not in the log")

    async def _block(self, session: BoshClient) -> None:
        """Block another account for a while."""
        if not self.user:
            return
        peer = f"{self.random.choice([u for u in ACCOUNTS if u != self.user])}@{DOMAIN}"
        item = f"<item jid='{peer}'/>"
        messages, account = self.world.messages, self.account
        answer = await session.iq("set", f"<block xmlns='urn:xmpp:blocking'>{item}</block>")
        if answer.get("type") == "result":
            messages.block(account, peer)
        try:
            await asyncio.sleep(pauses.draw(self.random, 20.0))
        finally:
            messages.unblock(account, peer)
            await session.iq("set", f"<unblock xmlns='urn:xmpp:blocking'>{item}</unblock>")

    async def _roster(self, session: BoshClient) -> None:
        """Write a contact, and read it again."""
        if not self.user:
            return
        begun, contact = self.world.now(), f"c{self.random.randrange(5)}.{self.name}@{DOMAIN}"
        item = f"<query xmlns='jabber:iq:roster'><item jid='{contact}' name='x'/></query>"
        answer = await session.iq("set", item)
        if answer.get("type") != "result":
            if not self.world.troubled_any(begun, self.world.now()):
                self.world.oracle.find("refused", self.name, answer.xml())
            return
        roster = await session.iq("get", "<query xmlns='jabber:iq:roster'/>")
        query = roster.find("query", ROSTER)
        listed = [item.get("jid") for item in query.elements] if query is not None else []
        if contact not in listed and not self.world.troubled_any(begun, self.world.now()):
            self.world.oracle.find("own-write", self.name, f"{contact} is not in {listed}")

    async def _look_up(self, session: BoshClient) -> None:
        if self.user:
            await self._archive.read(session)

    # What comes

    def _take(self, element: Element) -> None:
        if element.name == "presence":
            session = self._session
            if session is not None and element.get("from") == session.jid:
                self._own_presence = True
            return
        if element.name != "message":
            return
        if self._archive.take(element):
            return
        if element.get("type") == "error":
            self.world.messages.refuse(element.get("id") or "")
        elif element.get("type") == "headline":
            self._take_notice(element)
        elif element.find("body") is not None:
            is_late = element.find("delay", DELAY) is not None
            id = element.get("id") or ""
            self.world.messages.receive(self.name, self._scope, self.account, id, late=is_late)
        else:
            for which, id, is_late in copies(element):
                messages, scope = self.world.messages, self._scope
                messages.copy(self.name, scope, self.account, id, which, late=is_late)

    def _take_notice(self, element: Element) -> None:
        event = element.find("event", f"{PUBSUB}#event")
        items = event.find("items") if event is not None else None
        if items is None or element.find("delay", DELAY) is not None:
            return
        for item in items.every("item"):
            json = item.find("json", "urn:xmpp:json:0")
            data = orjson.loads(json.text) if json is not None else {}
            id = data.get("id", "")
            if id in self._notices and not self.world.troubled_any(0, self.world.now()):
                self.world.oracle.find("twice", self.name, f"two notifications of {id}")
            self._notices.append(id)
            self.count("notification")

    # The end

    async def finish(self) -> None:
        """Whatever was said to the account has come, or comes now."""
        if not self.world.plan.has_xmpp:
            return
        if self._session is not None:
            self._forget(self._session)
        if not self.user:
            return
        await self.abandoned()
        session = await self._login(polls=False)
        if session is None:
            return
        try:
            await self._settle(session)
            archive = await self._archive.read(session)
            self.count("archive")
            self.world.messages.check_account(self.name, self.account, archive)
            await session.terminate()
        except SessionEnded as ended:
            self.world.oracle.find("login", self.name, f"at the end: {ended}")
        self._forget(session)
