"""The messages of an account's archive that no client has received, on their way to one session.

Each read may wait, and the session may end meanwhile. What was written before is among its lost
messages (`LocalUser.lose`); what would be written afterwards reaches nobody. So the flush ends with
its session, and the delivery state keeps whatever was not written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.log.cursor import Cursor, Start
from pushhub.log.read import Gap
from pushhub.xmpp.storage.archive import (
    DelayedMessages,
    archive_channel,
    archived_message,
    events_at,
    is_of_stranger,
)
from pushhub.xmpp.storage.offline import PAGE_EVENTS, offline_starts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.log.event import Event
    from pushhub.store.base import Store
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.delivery_state import DeliveryState
    from pushhub.xmpp.storage.archive import ArchivedMessage


class Receiver(Protocol):
    """The session, as a flush sees it."""

    jid: Jid
    delivered_late: dict[int, None]

    @property
    def is_connected(self) -> bool:
        """Whether it has neither ended nor moved to another node."""

    def lacks(self, offset: int, message: ArchivedMessage) -> bool:
        """Whether it has not received a message."""

    def deliver_late(self, offset: int, payload: bytes) -> None:
        """Send a late message, once."""

    def write(self, payload: bytes) -> None:
        """Send a stanza in its wire form."""


class ArchiveFlush:
    """One delivery of all undelivered messages, to the first session that receives messages."""

    __slots__ = ("_bare", "_context", "_delayed", "_session", "_state", "_store", "sent")

    def __init__(self, context: Context, state: DeliveryState, session: Receiver) -> None:
        self._context, self._state, self._session = context, state, session
        self._store, self._bare = context.hub.store, session.jid.bare
        self._delayed = DelayedMessages(self._store, self._bare)
        self.sent: list[int] = []
        """The offsets of the messages that only this session received, in ascending order."""

    async def run(self) -> Cursor | None:
        """Send the lost messages and those after the position; return the end of the last ones,
        or None if the session ended before all were sent.

        Raises:
            StoreError: the store cannot be read.
        """
        state, session = self._state, self._session
        lost = state.lost
        messages = await messages_at(self._store, self._bare, lost)
        if not session.is_connected:
            return None
        for event, payload in messages:
            if session.lacks(event.offset, archived_message(event)):
                session.deliver_late(event.offset, payload)
        state.redelivered(lost)
        return await self._send_later()

    async def _send_later(self) -> Cursor | None:
        store, name = self._store, archive_channel(self._bare)
        latest = (await store.read(name, Start.LAST, 1)).cursor  # type: ignore[union-attr]
        policy = self._context.policy
        since = strangers_since = self._state.offset
        if latest.offset - since > policy.xmpp_offline:
            starts = offline_starts(store, policy, self._bare, since, latest)
            since, strangers_since = await starts
        at = Cursor(latest.epoch, min(since, strangers_since))
        while True:
            read = await store.read(name, at, PAGE_EVENTS)
            if isinstance(read, Gap):
                if read.oldest == at or read.oldest.offset > latest.offset:
                    return at
                at = read.oldest
                continue
            for event in read.events:
                start = strangers_since if is_of_stranger(event) else since
                if event.offset > start and not await self._send(event):
                    return None
            at = read.cursor
            if read.up_to_date or not read.events:
                return at

    async def _send(self, event: Event) -> bool:
        """Send a message, unless the session has it; return whether the session is connected."""
        session = self._session
        received = self._state.was_direct(event.offset) or event.offset in session.delivered_late
        if received or archived_message(event).outgoing:
            return True
        payload = await self._delayed.payload(event)
        if session.is_connected:
            session.write(payload)
            self.sent.append(event.offset)
        return session.is_connected


async def messages_at(store: Store, bare: str, offsets: Iterable[int]) -> list[tuple[Event, bytes]]:
    """The messages to an account at offsets of its archive, with their payloads.

    Raises:
        StoreError: the store cannot be read.
    """
    delayed = DelayedMessages(store, bare)
    # After a loss of the archive's end, a message that the account has sent may be at an offset.
    events = await events_at(store, bare, offsets)
    return [(e, await delayed.payload(e)) for e in events if not e.type.startswith("out")]
