"""The sessions of one account on this node, and the delivery of its archive. A marker in the store
holds the position up to which messages were delivered; later ones are offline messages."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from pushhub.hub.subscription import Subscription
from pushhub.log.cursor import Cursor
from pushhub.store.base import StoreError
from pushhub.xmpp.routing.archive_flush import ArchiveFlush, messages_at
from pushhub.xmpp.routing.delivery_state import LEFT_SECONDS, DeliveryState
from pushhub.xmpp.routing.joins import Joins
from pushhub.xmpp.routing.lost_end import forget_lost_end
from pushhub.xmpp.storage.archive import (
    ArchivedMessage,
    archive_channel,
    archive_cursors,
    archived_message,
    marker_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.log.event import Event
    from pushhub.xml import Element
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.nodes import Nodes
    from pushhub.xmpp.routing.session import XmppSession

log = structlog.get_logger(__name__)


class LocalUser:
    """An account with sessions on this node. `jid` is its bare address."""

    __slots__ = (
        "_context", "_flushed", "_held_back", "_joins", "_locating", "_nodes", "_opening",
        "_saving", "anonymous", "jid", "known_peers", "sessions", "stanzas_until", "state",
        "subscription",
    )  # fmt: skip

    def __init__(self, context: Context, nodes: Nodes, jid: Jid, *, anonymous: bool) -> None:
        self._context, self._nodes = context, nodes
        self.jid, self.anonymous = jid, anonymous
        self.sessions: dict[str, XmppSession] = {}
        self.state = DeliveryState()
        # Messages that wait until earlier ones are delivered; None while none have to wait.
        self._held_back: list[Event] | None = None
        self._joins = Joins()
        # Messages that wait until the node of the first one's full address is found.
        self._locating: deque[Event] | None = None
        # The session that last received the undelivered messages, and their end.
        self._flushed: tuple[XmppSession, Cursor] | None = None
        self._opening = asyncio.Lock()
        self._saving = asyncio.Lock()
        self.stanzas_until = 0.0
        """The theoretical arrival time of the account's stanzas: see `StanzaRates`."""
        self.known_peers: set[str] = set()
        """Peers that are certainly recorded as known."""
        self.subscription: Subscription | None = None
        """To the archive; an anonymous account has none."""

    async def open(self) -> None:
        """Subscribe to the archive, once, although several sessions may begin at the same time.

        Raises:
            StoreError: the store cannot be read.
        """
        if self.anonymous:
            return
        async with self._opening:
            if self.subscription is None:
                await self._subscribe()
            else:
                await self._forget_lost_end()

    async def _subscribe(self) -> None:
        bare = self.jid.bare
        marker = await self._context.kv.json(marker_key(bare))
        if marker is not None:
            self.state.load(marker)
            await self._forget_lost_end()
            await self.take_over()
        subscription = Subscription(self._context.hub, archive_channel(bare), self.receive)
        await subscription.begin()
        self.subscription = subscription

    async def _forget_lost_end(self) -> None:
        late = [session.delivered_late for session in self.sessions.values()]
        await forget_lost_end(self._context.hub.store, self.jid.bare, self.state, late)

    def delivered_upto(self, session: XmppSession) -> Cursor | None:
        """The last message of the archive that this node has delivered to a session, if the message
        was for that session; None without one."""
        since = self.subscription.since if self.subscription is not None else None
        upto = since if isinstance(since, Cursor) else None
        if waiting := self._held_back or self._locating:
            first = waiting[0]
            upto = Cursor(first.epoch, first.offset - 1)
        flusher, flushed = self._flushed or (None, None)
        for further in (flushed if flusher is session else None, session.migrated_upto):
            if further is not None and (upto is None or upto.offset < further.offset):
                upto = further
        return upto

    # Messages

    def receive(self, event: Event) -> None:
        """Deliver a new message of the archive."""
        if self._locating is not None:
            self._locating.append(event)
        elif self._held_back is None and self._is_perhaps_elsewhere(archived_message(event)):
            self._locating = deque([event])
            self._context.spawn(self._locate(self._locating))
        else:
            self._take(event)

    def _is_perhaps_elsewhere(self, message: ArchivedMessage) -> bool:
        """Whether another node may have the session of the message's full address."""
        return (
            self._nodes.shared
            and not message.outgoing
            and bool(message.resource)
            and message.kind in ("chat", "normal")
            and message.resource not in self.sessions
        )

    async def _locate(self, waiting: deque[Event]) -> None:
        """Deliver messages in order, each after the directory of sessions was asked."""
        try:
            while waiting:
                event, node = waiting[0], None
                message = archived_message(event)
                if self._is_perhaps_elsewhere(message):
                    with suppress(StoreError):  # Then to sessions here: rather twice than never.
                        node = await self._nodes.locate(self.jid.with_resource(message.resource))
                if waiting[0] is event:  # Else `release` has put earlier ones before it.
                    self._locating = waiting if len(waiting) > 1 else None
                    self._take(waiting.popleft(), node)
        finally:
            self._locating = None
            for event in waiting:  # After a failure.
                self._take(event)

    def _take(self, event: Event, node: str | None = None) -> None:
        """Deliver a message. `node` is another node that has the session of its full address."""
        if self._held_back is not None:
            self._held_back.append(event)
            return
        if self._flushed is not None and self._was_flushed(event):
            return
        if event.type.startswith("out"):
            delivered = True  # The sender has it.
            if any(session.carbons for session in self.sessions.values()):
                message = archived_message(event)
                if message.copied:
                    self.copy("sent", message.payload(self.jid.bare), message, event=event)
        else:
            message = archived_message(event)
            payload = message.payload(self.jid.bare)
            if node is not None and message.resource not in self.sessions:
                # RFC 6121 §8.5.3.1: to that session only.
                delivered = True
                self.state.leave_to(event.offset, message.resource, node, self._context.hub.now())
                if message.copied:
                    self.copy("received", payload, message, event=event)
            else:
                delivered = self.deliver(message, payload, event)
        self.state.record(event.cursor, delivered=delivered)

    def _was_flushed(self, event: Event) -> bool:
        """Whether a session found a message in the archive before this event arrived, which a store
        with a feed of its own allows: then only a session that the message is for may lack it."""
        if self._flushed is None or event.type.startswith("out"):
            return False
        session, upto = self._flushed
        if event.epoch != upto.epoch or event.offset > upto.offset:
            return False
        message = archived_message(event)
        recipient = self.sessions.get(message.resource) if message.resource else None
        if recipient is not None and recipient is not session:
            recipient.write_once(message.payload(self.jid.bare), event)
        return True

    def deliver(self, message: ArchivedMessage, payload: bytes, event: Event | None = None) -> bool:
        """Deliver a message to its recipients (RFC 6121 §8.5), and copies to the other sessions
        (XEP-0280); return whether it had a recipient. `event` is the archived message."""
        recipient = self.sessions.get(message.resource) if message.resource else None
        if recipient is not None:
            recipient.write_once(payload, event)
            if len(self.sessions) > 1 and message.copied:
                self.copy("received", payload, message, {recipient}, event)
            return True
        if message.kind in ("groupchat", "error") or (
            message.resource and message.kind == "headline"
        ):
            return False  # RFC 6121 §8.5.2.1.1, §8.5.3.2.1: not for other sessions.
        recipients = self._receivers()
        for session in recipients:
            session.write_once(payload, event)
        if len(self.sessions) > len(recipients) and message.copied and recipients:
            self.copy("received", payload, message, recipients, event)
        return bool(recipients)

    def copy(
        self,
        direction: str,
        payload: bytes,
        message: ArchivedMessage,
        exclude: Iterable[XmppSession] = (),
        event: Event | None = None,
    ) -> None:
        """Send carbon copies to the sessions that enabled them; `sent` ones not to the sender."""
        for session in self.sessions.values():
            if not session.carbons or session in exclude:
                continue
            if direction == "sent" and session.jid.resource == message.resource:
                continue
            carbon = message.carbon(direction, payload, self.jid.bare, session.jid.text)
            session.write_once(carbon, event)

    def hold_back(self) -> bool:
        """Hold new messages back until `catch_up` or `release`, so that none overtakes an earlier
        one; False if that is unnecessary, or the case already."""
        if self.state.caught_up or self._held_back is not None or self.anonymous:
            return False
        self._held_back = []
        return True

    def release(self) -> None:
        """Deliver the messages that were held back."""
        held_back, self._held_back = self._held_back or [], None
        self._joins.end(None)
        if self._locating is not None:
            self._locating.extendleft(reversed(held_back))
            return
        for event in held_back:
            self.receive(event)

    def join(self, session: XmppSession) -> asyncio.Future[Cursor | None] | None:
        """Let an arriving session know the end of the messages that one gets from the archive."""
        return self._joins.add(session) if self._held_back is not None else None

    async def catch_up(self, session: XmppSession, *, held_back: bool = False) -> None:
        """Deliver the undelivered messages to a session, the first that receives messages.
        `held_back`: new messages are held back for this.

        Raises:
            StoreError: the store cannot be read.
        """
        if not (held_back or self.hold_back()):
            return
        waiting = self._held_back
        assert waiting is not None
        end = None
        try:
            end = await self._flush(session)
            while end is None and (receivers := self._receivers()):  # That session has ended.
                end = await self._flush(receivers[0])
        finally:
            self._held_back = None
            self._joins.end(None)
            self.state.end_catch_up(complete=end is not None)
        for event in waiting:
            if end is None or event.offset > end.offset:
                self.receive(event)
        self.state.changed = True
        await self.save()

    def _receivers(self) -> list[XmppSession]:
        return [session for session in self.sessions.values() if session.receives_messages]

    async def _flush(self, session: XmppSession) -> Cursor | None:
        """Send the archive's messages after the position; return their end, or None if the session
        ended before all were sent."""
        await self._forget_lost_end()
        flush = ArchiveFlush(self._context, self.state, session)
        end = await flush.run()
        if end is None:
            return None
        for other in self.sessions.values():
            if other is not session and other not in self._joins:
                other.received.remove(flush.sent)
        self._joins.end(end)
        self.state.position = end
        self._flushed = session, end
        return end

    def lose(self, stanzas: Iterable[Element]) -> None:
        """A session ended; as far as known, it did not receive these stanzas."""
        offsets = [] if self.anonymous else self._archived(stanzas)
        if not offsets:
            return
        others = bool(self._receivers())
        self.state.lose(offsets, received_by_others=others)
        if others:
            self._context.spawn(self._redeliver())

    def _archived(self, stanzas: Iterable[Element]) -> list[int]:
        """The offsets of those stanzas that are messages of the archive."""
        cursors = archive_cursors(stanzas, self.jid.bare)
        return [cursor.offset for cursor in cursors if not self.state.is_lost(cursor)]

    async def _redeliver(self) -> None:
        """Deliver the messages of an ended session to the other sessions that did not receive them:
        those that came later, or that the messages were not for."""
        await self._forget_lost_end()
        lost = self.state.lost
        messages = await messages_at(self._context.hub.store, self.jid.bare, lost)
        if receivers := self._receivers():  # Else the last one has ended meanwhile.
            for event, payload in messages:
                message = archived_message(event)
                for session in receivers:
                    if session.lacks(event.offset, message):
                        session.deliver_late(event.offset, payload)
            self.state.redelivered(lost)

    async def take_over(self) -> None:
        """Take over the unconfirmed messages of dead nodes.

        Raises:
            StoreError: the store cannot be read.
        """
        for node in self.state.other_nodes:
            if node != self._nodes.node and not await self._nodes.is_alive(node):
                self.state.take_over(node)
        for (resource, node), left in self.state.left.items():
            is_there = await self._nodes.locate(self.jid.with_resource(resource)) == node
            for offset, since in left:
                if not is_there:
                    self.state.take_back(offset)
                elif self._context.hub.now() - since > LEFT_SECONDS:
                    self.state.confirm(offset)
        if self.state.redelivers and self._receivers():
            await self._redeliver()
        if self.state.must_redeliver and (receivers := self._receivers()):
            await self.catch_up(receivers[0])

    async def save(self) -> None:
        """Write the marker, if it has changed."""
        if self.anonymous:
            return
        async with self._saving:
            state, bare = self.state, self.jid.bare
            if state.is_written or state.position is None:
                return
            streams = [session.stream for session in self.sessions.values()]
            offsets = {o for stream in streams for o in self._archived(stream.pending())}
            offsets.update(state.left_offsets if streams else ())
            write = state.start_write(state.position, self._nodes.node, sorted(offsets))
            try:
                await self._context.kv.update_json(marker_key(bare), write.merge)
            except StoreError as error:
                self._context.hub.log.warning(log, "xmpp.marker_failed", error=str(error))
                state.fail_write()
                return
            except BaseException:
                state.fail_write()
                raise
            state.end_write(write)

    def close(self) -> None:
        """Unsubscribe: the last session has ended."""
        if self.subscription is not None:
            self.subscription.stop()

    def __repr__(self) -> str:
        return f"<LocalUser {self.jid.bare} {len(self.sessions)} sessions>"
