"""The sessions of one account on this node, and how the account's messages come to them.

An account's messages are a log, its archive. A home follows it like any other reader of the hub, so
it makes no difference where a message was sent from. A register remembers up to where they have
been brought to somebody: what comes after is what XMPP calls offline messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from pushhub.protocol.cursor import Cursor, Start
from pushhub.protocol.page import Gap
from pushhub.store.base import StoreError
from pushhub.xmpp.archive import Kept, archive_name, archived_as, kept
from pushhub.xmpp.follow import Follow
from pushhub.xmpp.registers import register_name

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
        "_direct",
        "_dirty",
        "_follow",
        "_late",
        "anonymous",
        "caught_up",
        "delivered",
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
        # Delivered to the one resource that they were for, before anybody was there for the others.
        self._direct: set[int] = set()
        self._late: list[Event] | None = None
        self._dirty = False
        self._follow: Follow | None = None

    async def open(self) -> None:
        """Begin to follow the archive.

        Raises:
            StoreError: the store cannot be read now.
        """
        if self.anonymous:
            return
        bare = self.jid.bare
        marker = await self.server.registers.json(_marker_name(bare))
        if self._follow is not None:
            return
        if marker is not None:
            self.delivered = Cursor(marker["epoch"], marker["offset"])
            self._again = marker.get("again", [])
        self._follow = Follow(self.server.hub, archive_name(bare), Start.NOW, self.take)
        try:
            await self._follow.begin()
        except StoreError:
            self._follow = None
            raise

    # Messages

    def take(self, event: Event) -> None:
        """A message has come into the archive."""
        if self._late is not None:
            self._late.append(event)
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
                self._direct.add(event.offset)
        elif brought:
            self.delivered = event.cursor
            self._dirty = True
        else:
            self.caught_up = False

    def deliver(self, message: Kept, payload: bytes) -> bool:
        """Bring a message to whom it is for (RFC 6121 §8.5), and copies to the others (XEP-0280);
        whether there was anybody."""
        one = self.sessions.get(message.resource) if message.resource else None
        if one is not None:
            one.write(payload)
            if len(self.sessions) > 1 and message.copied:
                self.copy("received", payload, message, {one})
            return True
        targets = {session for session in self.sessions.values() if session.takes_messages}
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

    async def catch_up(self, session: Session) -> None:
        """Bring a session, the first that takes messages, what nobody has got yet.

        Raises:
            StoreError: the store cannot be read now.
        """
        if self.caught_up or self._late is not None or self.anonymous:
            return
        late: list[Event] = []
        self._late = late
        last = 0
        try:
            last = await self._flush(session)
            self.caught_up = True
        finally:
            self._late = None
            self._direct.clear()
        for event in late:
            if event.offset > last:
                self.take(event)
        self._dirty = True
        await self.remember()

    async def _flush(self, session: Session) -> int:
        """Send what is in the archive after `delivered`; return the last offset."""
        store, name = self.server.hub.store, archive_name(self.jid.bare)
        for offset in self._again:
            read = await store.read(name, Cursor(store.epoch, offset - 1), 1)
            if not isinstance(read, Gap) and read.events and read.events[0].offset == offset:
                session.write(kept(read.events[0]).payload(self.jid.bare, delayed=True))
        self._again = []
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
                if not message.outgoing and event.offset not in self._direct:
                    session.write(message.payload(self.jid.bare, delayed=True))
            at = read.cursor
            if read.up_to_date or not read.events:
                break
        self.delivered = at
        return at.offset

    def undelivered(self, stanzas: Iterable[Element]) -> None:
        """What was written to a session that is gone, and surely did not reach it."""
        if self.anonymous or any(session.takes_messages for session in self.sessions.values()):
            return
        for stanza in stanzas:
            cursor = archived_as(stanza, self.jid.bare)
            if cursor is not None and len(self._again) < MAX_AGAIN:
                self._again.append(cursor.offset)
                self._dirty = True

    async def remember(self) -> None:
        """Write down up to where messages were delivered, if that has changed."""
        if not self._dirty or self.anonymous or self.delivered is None:
            return
        self._dirty = False
        at, again = self.delivered, sorted(set(self._again))

        def make(old: Any) -> Any:
            # Another node may have brought more.
            if old is not None and not again and old["offset"] >= at.offset:
                return old if old["epoch"] == at.epoch else {"epoch": at.epoch, "offset": at.offset}
            return {"epoch": at.epoch, "offset": at.offset, "again": again}

        try:
            await self.server.registers.change_json(_marker_name(self.jid.bare), make)
        except StoreError as error:
            # They come again, which their ids tell.
            log.warning("xmpp.unremembered", error=str(error))
            self._dirty = True

    @property
    def dirty(self) -> bool:
        """Whether there is something to remember."""
        return self._dirty

    def close(self) -> None:
        """The last session has gone."""
        if self._follow is not None:
            self._follow.stop()

    def __repr__(self) -> str:
        return f"<Home {self.jid.bare} {len(self.sessions)} sessions>"


def _marker_name(bare: str) -> str:
    return register_name("read", bare)
