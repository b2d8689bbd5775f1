"""A bound resource: one client of an account, and the notifications that it requested."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from pushhub.xmpp.model.message import is_archived
from pushhub.xmpp.model.stanza import StanzaError, StreamError, failure
from pushhub.xmpp.routing.received import ReceivedMessages

if TYPE_CHECKING:
    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event
    from pushhub.xml import Element
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.sasl import SaslIdentity
    from pushhub.xmpp.storage.archive import ArchivedMessage

# Addresses that received directed presence and will receive its end (RFC 6121 §4.6). No client is
# in that many rooms.
MAX_DIRECTED = 1000
# Bytes of those addresses; each takes its text and about 200 more.
MAX_DIRECTED_BYTES = 256 * 1024
DIRECTED_BYTES = 200

# Offsets of late messages that a session remembers: as many as an account redelivers
# (`delivery_state.MAX_REDELIVERIES`).
MAX_DELIVERED_LATE = 1000


class ClientStream(Protocol):
    """The stream of a session, as routing sees it."""

    @property
    def client(self) -> str:
        """The address of the client's last request."""

    def send(self, element: Element) -> None:
        """Send an element to the client."""

    def write(self, payload: bytes) -> None:
        """Send an element to the client, in its wire form."""

    def pending(self) -> list[Element]:
        """The elements that the client may not have received."""

    def resume(self) -> None:
        """Handle queued elements: what the stream waited for is done."""

    def fail(self, error: StreamError) -> None:
        """End the stream with an error."""


class XmppSession:
    """A session of an account. Routers handle the stanzas that its stream receives, and write to
    its stream."""

    __slots__ = (
        "_appended",
        "carbons",
        "delivered_late",
        "directed",
        "directed_bytes",
        "identity",
        "interested",
        "jid",
        "listed_until",
        "migrated_upto",
        "pending_appends",
        "presence",
        "presence_bytes",
        "priority",
        "received",
        "stream",
        "user",
        "wants_blocklist",
    )

    def __init__(
        self, stream: ClientStream, user: LocalUser, jid: Jid, identity: SaslIdentity
    ) -> None:
        self.stream = stream
        self.user = user
        self.jid = jid
        self.identity = identity
        self.presence: Element | None = None
        """The last broadcast presence; None while the session is unavailable."""
        self.presence_bytes = 0
        self.priority = 0
        self.received = ReceivedMessages()
        self.migrated_upto: Cursor | None = None
        """Another node has delivered the messages up to here. This node's feed may be behind, and
        bring them again."""
        self.delivered_late: dict[int, None] = {}
        """Offsets of messages that this session received late, after another client of the account
        vanished. Two clients may vanish with the same message."""
        self.carbons = False
        self.interested = False
        """Whether the client requested the roster, and so receives its changes (RFC 6121
        §2.1.6)."""
        self.wants_blocklist = False
        """Whether the client requested the block list, and so receives its changes (XEP-0191
        §3.3)."""
        self.directed: dict[str, Jid] = {}
        self.directed_bytes = 0
        self.listed_until = ("", "")
        """The mark for the last channel that a page of the list looked at, and its name."""
        self.pending_appends = 0
        """How many of its messages are being appended to archives."""
        self._appended: asyncio.Future[None] | None = None

    @property
    def held_bytes(self) -> int:
        """About how many bytes the session's presence takes."""
        return self.presence_bytes + self.directed_bytes

    @property
    def is_connected(self) -> bool:
        """Whether the session is still its account's: it has neither ended nor moved to another
        node."""
        return self.user.sessions.get(self.jid.resource) is self

    @property
    def receives_messages(self) -> bool:
        """Whether the session receives messages to the bare address (RFC 6121 §8.5.2.1)."""
        return self.presence is not None and self.priority >= 0

    def send(self, element: Element) -> None:
        """Send a stanza to the client."""
        self.stream.send(element)

    def write(self, payload: bytes) -> None:
        """Send a stanza to the client, in its wire form."""
        self.stream.write(payload)

    def write_once(self, payload: bytes, event: Event | None) -> None:
        """Send a message of the archive, or a copy of it, to the client, unless the client received
        it before the session migrated here. `event` is None for a message without archive."""
        upto = self.migrated_upto
        if upto is not None and event is not None:
            if event.epoch == upto.epoch and event.offset <= upto.offset:
                return
            self.migrated_upto = None
        self.stream.write(payload)

    def begin_receiving(self) -> None:
        """Record from which offset the session receives the messages to its resource."""
        upto = self.user.delivered_upto(self)
        self.received.direct.set_open(True, 0 if upto is None else upto.offset, 0)

    def update_received(self) -> None:
        """Record from or up to which offset the session receives messages and carbon copies, after
        a change of its presence, its priority or its carbons."""
        state = self.user.state
        after, upto = state.offset, state.last_delivered
        # A session that begins to receive messages gets those in the archive after `after`.
        self.received.messages.set_open(self.receives_messages, after, upto)
        self.received.copies.set_open(self.carbons, upto, upto)

    def lacks(self, offset: int, message: ArchivedMessage) -> bool:
        """Whether this session, too, did not receive a message that another client may lack: this
        client was unavailable or had no session then, or the message was not for it. No session
        lacks a message to the resource of another one that has received it (RFC 6121 §8.5.3.1).
        """
        owner = self.user.sessions.get(message.resource) if message.resource else None
        if owner is not None and owner.received.has(offset, message, message.resource):
            return False
        return not self.received.has(offset, message, self.jid.resource)

    def deliver_late(self, offset: int, payload: bytes) -> None:
        """Send a late message to the client, once."""
        if offset not in self.delivered_late:
            self.delivered_late[offset] = None
            if len(self.delivered_late) > MAX_DELIVERED_LATE:
                del self.delivered_late[next(iter(self.delivered_late))]
            self.write(payload)

    def can_pipeline(self, element: Element) -> bool:
        """Whether a stanza may be handled while messages are being appended to archives: another
        archived message takes the same way, and so cannot overtake them."""
        return element.name == "message" and is_archived(element)

    def begin_append(self) -> None:
        """A message of the session goes to archives."""
        self.pending_appends += 1

    def end_append(self) -> None:
        """The message is in the archives, and delivered here, or it was refused."""
        self.pending_appends -= 1
        if not self.pending_appends:
            if self._appended is not None and not self._appended.done():
                self._appended.set_result(None)
            self.stream.resume()

    async def appended(self) -> None:
        """Wait until the archives have all earlier messages, so that one without archive does not
        overtake them. The session's stream handles no other stanza meanwhile."""
        if self.pending_appends:
            self._appended = asyncio.get_running_loop().create_future()
            await self._appended

    def refuse(self, stanza: Element, error: StanzaError) -> None:
        """Send the error of a stanza that failed after it was accepted."""
        if stanza.get("type") != "error":
            self.send(failure(stanza, error))

    def __repr__(self) -> str:
        return f"<XmppSession {self.jid.text} {'available' if self.presence else 'unavailable'}>"
