"""The sessions of one account on this node, and how its messages come to them: a home follows the
account's archive like any other reader of the hub. A register keeps the position up to which
messages were delivered; later ones are offline messages.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from pushhub.hub.follow import Follow
from pushhub.protocol.cursor import Cursor, Start
from pushhub.protocol.page import Gap
from pushhub.store.base import StoreError
from pushhub.xmpp.archive import Kept, Late, archive_name, archived_as, events_at, kept, marker_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.protocol.event import Event
    from pushhub.protocol.xml import Element
    from pushhub.xmpp.jid import Jid
    from pushhub.xmpp.server import Server
    from pushhub.xmpp.session import Session

log = structlog.get_logger(__name__)

PAGE_EVENTS = 100

# Messages that were written to a client which then vanished, remembered one by one.
MAX_AGAIN = 1000


class Home:
    """An account with sessions here. `jid` is its bare address."""

    __slots__ = (
        "_again",
        "_dirty",
        "_flushed",
        "_foreign",
        "_known",
        "_late",
        "_remembering",
        "_taken",
        "anonymous",
        "caught_up",
        "delivered",
        "direct",
        "follow",
        "jid",
        "server",
        "sessions",
    )

    def __init__(self, server: Server, jid: Jid, *, anonymous: bool) -> None:
        self.server = server
        self.jid = jid
        self.anonymous = anonymous
        self.sessions: dict[str, Session] = {}
        self.delivered: Cursor | None = None
        """Every message up to here was brought to somebody. Its epoch is the store's of then."""
        self.caught_up = False
        """Whether there is nothing after `delivered` but what is on its way to us."""
        self._again: list[int] = []
        self.direct: set[int] = set()
        """Delivered to the one resource that they were for, before anybody was there for others."""
        self._late: list[Event] | None = None
        # Who was brought last what nobody had got, and up to where.
        self._flushed: tuple[Session, Cursor] | None = None
        self._dirty = False
        # What other nodes have written to sessions of theirs, and those may not have.
        self._foreign: dict[str, list[int]] = {}
        self._known: frozenset[str] = frozenset()
        # What is written down as to be brought again, and known here.
        self._taken: set[int] = set()
        self._remembering = asyncio.Lock()
        self.follow: Follow | None = None
        """Of the archive; an anonymous account has none."""

    async def open(self) -> None:
        """Begin to follow the archive.

        Raises:
            StoreError: the store cannot be read now.
        """
        if self.anonymous:
            return
        bare = self.jid.bare
        # What its last sessions have not got is about to be written down.
        await self.server.remembered(bare)
        marker = await self.server.registers.json(marker_name(bare))
        if self.follow is not None:
            return
        if marker is not None:
            self.delivered = Cursor(marker["epoch"], marker["offset"])
            self._again += marker.get("again", ())
            self._taken = set(self._again)
            self._foreign = dict(marker.get("pending", {}))
            self._known = frozenset(self._foreign)
            await self.inherit()
        self.follow = Follow(self.server.hub, archive_name(bare), self.take)
        try:
            await self.follow.begin()
        except StoreError:
            self.follow = None
            raise

    # Messages

    def take(self, event: Event) -> None:
        """A message has come into the archive."""
        if self._late is not None:
            self._late.append(event)
            return
        if self._was_flushed(event):
            return
        if event.type.startswith("out"):
            brought = True  # Who sent it has it.
            if any(session.carbons for session in self.sessions.values()):
                message = kept(event)
                if message.copied:
                    self.copy("sent", message.payload(self.jid.bare), message)
        else:
            message = kept(event)
            brought = self.deliver(message, message.payload(self.jid.bare))
        if not self.caught_up:
            if brought:
                self.direct.add(event.offset)
        elif brought:
            self.delivered = event.cursor
            self._dirty = True
        else:
            self.caught_up = False

    def _was_flushed(self, event: Event) -> bool:
        """Whether a message was found in the archive before this news of it came, which a store
        with a feed of its own allows: then nobody but a session that it is for may lack it."""
        if self._flushed is None or event.type.startswith("out"):
            return False
        session, upto = self._flushed
        if event.epoch != upto.epoch or event.offset > upto.offset:
            return False
        message = kept(event)
        one = self.sessions.get(message.resource) if message.resource else None
        if one is not None and one is not session:
            one.write(message.payload(self.jid.bare))
        return True

    def deliver(self, message: Kept, payload: bytes) -> bool:
        """Bring a message to whom it is for (RFC 6121 §8.5), and copies to the others (XEP-0280);
        whether there was anybody."""
        one = self.sessions.get(message.resource) if message.resource else None
        if one is not None:
            one.write(payload)
            if len(self.sessions) > 1 and message.copied:
                self.copy("received", payload, message, {one})
            return True
        if message.kind in ("groupchat", "error") or (
            message.resource and message.kind == "headline"
        ):
            return False  # RFC 6121 §8.5.2.1.1, §8.5.3.2.1: for nobody else.
        targets = [session for session in self.sessions.values() if session.takes_messages]
        for session in targets:
            session.write(payload)
        if len(self.sessions) > len(targets) and message.copied and targets:
            self.copy("received", payload, message, targets)
        return bool(targets)

    def copy(self, which: str, payload: bytes, message: Kept, but: Iterable[Session] = ()) -> None:
        """Bring carbon copies to the sessions that want them: `sent` ones not to the sender."""
        for session in self.sessions.values():
            if not session.carbons or session in but:
                continue
            if which == "sent" and session.jid.resource == message.resource:
                continue
            session.write(message.carbon(which, payload, self.jid.bare, session.jid.text))

    def pause(self) -> bool:
        """Let messages wait until `catch_up` or `go_on`, so that none overtakes those before it;
        whether they did not already, and need not."""
        if self.caught_up or self._late is not None or self.anonymous:
            return False
        self._late = []
        return True

    def go_on(self) -> None:
        """Take the messages that have waited."""
        late, self._late = self._late, None
        for event in late or ():
            self.take(event)

    async def catch_up(self, session: Session, *, paused: bool = False) -> None:
        """Bring a session, the first that takes messages, what nobody has got yet. It was `paused`
        for this.

        Raises:
            StoreError: the store cannot be read now.
        """
        if not (paused or self.pause()):
            return
        late = self._late
        assert late is not None
        last = 0
        try:
            last = await self._flush(session)
            self.caught_up = not self._again
        finally:
            self._late = None
            self.direct.clear()
        for event in late:
            if event.offset > last:
                self.take(event)
        self._dirty = True
        await self.remember()

    async def bring(self, session: Session, since: int, upto: int) -> None:
        """Bring a session what came after the offset `since`, up to `upto`.

        Raises:
            StoreError: the store cannot be read now.
        """
        store, name = self.server.hub.store, archive_name(self.jid.bare)
        late = Late(store, self.jid.bare)
        while since < upto:
            read = await store.read(name, Cursor(store.epoch, since), PAGE_EVENTS)
            if isinstance(read, Gap) or not read.events:
                return
            for event in read.events:
                message = kept(event)
                mine = message.resource in ("", session.jid.resource)
                if event.offset <= upto and mine and not message.outgoing:
                    session.write(await late.payload(event))
            since = read.cursor.offset

    async def _flush(self, session: Session) -> int:
        """Send what is in the archive after `delivered`; return the last offset."""
        store, name = self.server.hub.store, archive_name(self.jid.bare)
        late = Late(store, self.jid.bare)
        for event, payload in await self._lost():
            if session.lacks(event.offset, kept(event)):
                session.bring(event.offset, payload)
        flushed: list[int] = []
        latest = (await store.read(name, Start.LAST, 1)).cursor  # type: ignore[union-attr]
        # What is older than the last so many is not sent, but stays in the archive.
        since = max(
            self.delivered.offset if self.delivered is not None else 0,
            latest.offset - self.server.settings.xmpp_offline,
        )
        at = Cursor(latest.epoch, since)
        while True:
            read = await store.read(name, at, PAGE_EVENTS)
            if isinstance(read, Gap):
                if read.oldest == at or read.oldest.offset > latest.offset:
                    break
                at = read.oldest
                continue
            for event in read.events:
                message = kept(event)
                got = event.offset in self.direct or event.offset in session.brought
                if not message.outgoing and not got:
                    session.write(await late.payload(event))
                    flushed.append(event.offset)
            at = read.cursor
            if read.up_to_date or not read.events:
                break
        for other in self.sessions.values():
            if other is not session:
                other.heard.miss(flushed)
        self.delivered = at
        self._flushed = session, at
        return at.offset

    async def _lost(self) -> list[tuple[Event, bytes]]:
        """What vanished clients may lack, with its payloads; nothing is forgotten if it fails.

        Raises:
            StoreError: the store cannot be read now.
        """
        again, self._again = sorted(set(self._again)), []
        store = self.server.hub.store
        late = Late(store, self.jid.bare)
        try:
            events = await events_at(store, self.jid.bare, again)
            return [(event, await late.payload(event)) for event in events]
        except StoreError:
            self._again += again
            raise

    def undelivered(self, stanzas: Iterable[Element]) -> None:
        """What was written to a session that is gone, and did not reach it as far as is known."""
        offsets = [] if self.anonymous else self._offsets(stanzas)
        if not offsets:
            return
        self._again += offsets[: max(0, MAX_AGAIN - len(self._again))]
        self._dirty = True
        if any(session.takes_messages for session in self.sessions.values()):
            self.server.spawn(self._give_back())
        else:
            self.caught_up = False

    async def _give_back(self) -> None:
        """Bring what a session did not get to the others, as far as it did not come to them, too:
        they came later, or it was not for them."""
        for event, payload in await self._lost():
            message = kept(event)
            for session in list(self.sessions.values()):
                if session.takes_messages and session.lacks(event.offset, message):
                    session.bring(event.offset, payload)
        self._dirty = True

    async def inherit(self) -> None:
        """What a node had on its way to sessions, and is no longer there to bring, is for ours.

        Raises:
            StoreError: the store cannot be read now.
        """
        for node in list(self._foreign):
            if node != self.server.nodes.id and not await self.server.nodes.alive(node):
                # Two sessions that come at the same time both ask, and one of them takes it over.
                self._again += self._foreign.pop(node, ())
                self._dirty = True
                self.caught_up = False
        if self._again and not self.caught_up:
            for session in list(self.sessions.values()):
                if session.takes_messages:
                    await self.catch_up(session)
                    break

    def _offsets(self, stanzas: Iterable[Element]) -> list[int]:
        """Where messages are in the archive, as far as they are."""
        found = (archived_as(stanza, self.jid.bare) for stanza in stanzas)
        return [cursor.offset for cursor in found if cursor is not None]

    async def remember(self) -> None:
        """Write down up to where messages were delivered, if that has changed."""
        if self.anonymous:
            return
        async with self._remembering:
            if self._dirty and self.delivered is not None:
                await self._remember(self.delivered)

    async def _remember(self, at: Cursor) -> None:
        self._dirty = False
        own, again = self.server.nodes.id, sorted(set(self._again))
        sessions = self.sessions.values()
        # Should this process die, nobody else would know that these were not delivered.
        pending = sorted({o for s in sessions for o in self._offsets(s.stream.pending())})
        foreign: dict[str, list[int]] = {}
        new: set[int] = set()

        def make(old: Any) -> Any:
            nonlocal foreign, new
            # What the end of a session on another node has left since.
            new = set((old or {}).get("again", ())) - self._taken
            nodes = (old or {}).get("pending", {})
            # Of nodes that are dead we have taken over what they had; others may have brought more.
            foreign = {n: o for n, o in nodes.items() if n != own and n in self._foreign}
            foreign |= {n: o for n, o in nodes.items() if n != own and n not in known}
            cursor = {"epoch": at.epoch, "offset": at.offset}
            if old is not None and old["epoch"] == at.epoch:
                cursor["offset"] = max(at.offset, old["offset"])
            all_pending = foreign | ({own: pending} if pending else {})
            every = sorted(new.union(again))
            more = {"again": every} if every else {}
            return cursor | more | ({"pending": all_pending} if all_pending else {})

        known = self._known
        try:
            await self.server.registers.change_json(marker_name(self.jid.bare), make)
        except StoreError as error:
            # They come again, which their ids tell.
            self.server.hub.log.warning(log, "xmpp.unremembered", error=str(error))
            self._dirty = True
            return
        self._known = known | foreign.keys()
        self._foreign = foreign
        self._taken = new.union(again)
        new.difference_update(self._again)
        if new:
            self._again += new
            self.caught_up = False
        # What is pending is confirmed soon.
        self._dirty = self._dirty or bool(pending or new)

    @property
    def dirty(self) -> bool:
        """Whether there is something to remember, or to learn of other nodes."""
        return self._dirty or bool(self._foreign)

    def close(self) -> None:
        """The last session has gone."""
        if self.follow is not None:
            self.follow.stop()

    def __repr__(self) -> str:
        return f"<Home {self.jid.bare} {len(self.sessions)} sessions>"
