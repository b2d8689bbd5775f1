"""A bound resource: one client of an account, and what it has asked to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.protocol.xml import Element
from pushhub.xmpp.heard import Heard
from pushhub.xmpp.jid import JidError, parse_jid
from pushhub.xmpp.messages import is_kept
from pushhub.xmpp.stanza import StanzaError, StreamError, failure

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pushhub.xmpp.archive import Kept
    from pushhub.xmpp.home import Home
    from pushhub.xmpp.jid import Jid
    from pushhub.xmpp.sasl import Identity
    from pushhub.xmpp.server import Server
    from pushhub.xmpp.stream import Stream

# Addresses that were sent presence directly, and are told of its end (RFC 6121 §4.6). A client in
# that many rooms is none.
MAX_DIRECTED = 1000

# Late messages that are remembered as brought: as many as an account gives back (`home.MAX_AGAIN`).
MAX_BROUGHT = 1000


class Session:
    """A session of an account. Its stream gives it stanzas, and writes what others send it."""

    __slots__ = (
        "brought",
        "carbons",
        "directed",
        "heard",
        "home",
        "identity",
        "interested",
        "jid",
        "presence",
        "priority",
        "server",
        "stream",
        "unsettled",
        "wants_blocks",
    )

    def __init__(
        self, server: Server, stream: Stream, home: Home, jid: Jid, identity: Identity
    ) -> None:
        self.server = server
        self.stream = stream
        self.home = home
        self.jid = jid
        self.identity = identity
        self.presence: Element | None = None
        """The last presence that was broadcast, None while it is unavailable."""
        self.priority = 0
        self.heard = Heard()
        self.brought: dict[int, None] = {}
        """Offsets of messages that came to it late, after another client of the account vanished.
        Two clients may vanish with the same message."""
        self.carbons = False
        self.interested = False
        """Whether it has asked for the roster, and so is told of changes (RFC 6121 §2.1.6)."""
        self.wants_blocks = False
        """Whether it has asked for the block list, and so is told of changes (XEP-0191 §3.3)."""
        self.directed: dict[str, Jid] = {}
        # Messages on their way into archives.
        self.unsettled = 0

    @property
    def takes_messages(self) -> bool:
        """Whether messages to the bare address are for it too (RFC 6121 §8.5.2.1)."""
        return self.presence is not None and self.priority >= 0

    def send(self, element: Element) -> None:
        """Bring a stanza to the client."""
        self.stream.send(element)

    def write(self, payload: bytes) -> None:
        """Bring a stanza to the client, as it stands on the wire."""
        self.stream.write(payload)

    def attend(self) -> None:
        """Note from or up to where the session receives messages and carbon copies, after its
        presence, its priority or carbons have changed."""
        home = self.home
        after = home.delivered.offset if home.delivered is not None else 0
        upto = max(after, max(home.direct, default=0))
        # What is in the archive after `after` comes to a session that begins to take messages.
        self.heard.messages.turn(self.takes_messages, after, upto)
        self.heard.copies.turn(self.carbons, upto, upto)

    def lacks(self, offset: int, message: Kept) -> bool:
        """Whether a message that another client may not have did not come to this one either: the
        client was not available then, or the message was not for it.
        """
        return not self.heard.has(offset, message)

    def bring(self, offset: int, payload: bytes) -> None:
        """Bring a late message to the client, once."""
        if offset not in self.brought:
            self.brought[offset] = None
            if len(self.brought) > MAX_BROUGHT:
                del self.brought[next(iter(self.brought))]
            self.write(payload)

    def overlaps(self, element: Element) -> bool:
        """Whether a stanza may be handled while messages are on their way into archives: another
        one that goes the same way, and so cannot overtake them."""
        return element.name == "message" and is_kept(element)

    def receive(self, element: Element) -> Coroutine[None, None, None] | None:
        """Handle what the client sent; None when that is done, else what must be awaited.

        Raises:
            StanzaError: it is answered with an error.
            StreamError: the stream ends.
        """
        server = self.server
        stanza = server.stanza(element)
        self._check_sender(stanza)
        to = self._addressed(stanza)
        attributes = {**stanza.attributes, "from": self.jid.text}
        if to is not None:
            attributes["to"] = to.text
        stanza = Element(stanza.name, stanza.namespace, attributes, stanza.children)
        match stanza.name:
            case "message":
                return server.messages.send(self, stanza, to or self.home.jid)
            case "presence":
                return server.presences.receive(self, stanza, to)
        return server.queries.receive(self, stanza, to)

    def _check_sender(self, stanza: Element) -> None:
        """RFC 6120 §8.1.2.1: nobody sends as somebody else. COMPAT: Converse.js sends its own bare
        or full address."""
        sender = stanza.get("from")
        if sender is None or sender in (self.jid.text, self.jid.bare):
            return
        try:
            jid = parse_jid(sender)
        except JidError:
            jid = None
        if jid is None or jid.bare != self.jid.bare or jid.resource not in ("", self.jid.resource):
            raise StreamError("invalid-from", "A stanza is from the address that was bound.")

    def _addressed(self, stanza: Element) -> Jid | None:
        to = stanza.get("to")
        if to is None:
            return None
        try:
            return parse_jid(to)
        except JidError as error:
            raise StanzaError("jid-malformed", str(error)) from None

    def refuse(self, stanza: Element, error: StanzaError) -> None:
        """Tell the client that a stanza of its failed, some time after it was taken."""
        if stanza.get("type") != "error":
            self.send(failure(stanza, error))

    def __repr__(self) -> str:
        return f"<Session {self.jid.text} {'available' if self.presence else 'unavailable'}>"
