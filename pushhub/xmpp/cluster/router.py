"""Delivery to sessions on this node and on the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.store.base import StoreError
from pushhub.xml import parse
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.model.stanza import StanzaError, failure, may_fail
from pushhub.xmpp.storage.archive import ArchivedMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.xml import Element
    from pushhub.xmpp.cluster.directory import SessionDirectory
    from pushhub.xmpp.cluster.membership import Membership
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.cluster import NoticeHandler
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.routing.session import XmppSession

# A session that leaves its node is on another one with its client's next request, which follows at
# once. So many tries are about a second.
MAX_RETURNS = 8


class ClusterRouter:
    """The implementation of `routing.cluster.Cluster`."""

    def __init__(
        self,
        context: Context,
        users: Mapping[str, LocalUser],
        membership: Membership,
        directory: SessionDirectory,
    ) -> None:
        self._context = context
        self._users = users
        self._membership = membership
        self._directory = directory
        self._handlers: dict[str, NoticeHandler] = {}
        self.shared = membership.shared
        membership.on_message("stanza", self._receive_stanza)
        membership.on_message("message", self._receive_message)
        membership.on_message("notice", self._receive_notice)

    @property
    def node(self) -> str:
        return self._membership.id

    async def is_alive(self, node: str) -> bool:
        return await self._membership.is_alive(node)

    async def locate(self, to: Jid) -> str | None:
        return await self._directory.find(to) if self.shared else None

    def is_remote_anonymous(self, to: Jid) -> bool:
        return self._membership.node_of(to.local) is not None

    def _session(self, to: Jid) -> XmppSession | None:
        user = self._users.get(to.bare)
        return user.sessions.get(to.resource) if user is not None else None

    # Sending

    async def send_stanza(self, to: Jid, stanza: Element) -> bool:
        session = self._session(to)
        if session is not None:
            session.send(stanza)
            return True
        node = await self._directory.find(to) if self.shared else None
        if node is None:
            return False
        xml = stanza.xml().encode()
        return await self._membership.post(node, "stanza", {"to": to.text}, xml)

    def send_message(self, to: Jid, message: ArchivedMessage, *, fails: bool = False) -> bool:
        if self.shared and to.resource and self._session(to) is None:
            self._context.spawn(self._send_located(to, message, fails))
            return True
        delivered = self._deliver(to, message, None)
        if self.shared:
            self._context.spawn(self._send_to_others(to, message, fails and not delivered))
        return delivered or self.shared

    async def _send_located(self, to: Jid, message: ArchivedMessage, fails: bool) -> None:
        """Send a message to the node with the session of its full address, and to other sessions of
        the account only if no node has that session (RFC 6121 §8.5.3)."""
        try:
            node = await self._directory.find(to)
        except StoreError as error:  # The sessions here receive it.
            if not self._deliver(to, message, None) and fails:
                self._return_unsent(message, error)
            raise
        delivered = self._deliver(to, message, node)
        await self._send_to_others(to, message, fails and not delivered, node)

    def _deliver(self, to: Jid, message: ArchivedMessage, node: str | None) -> bool:
        """Deliver a message to the sessions here. `node` is another one that has the session of the
        full address: then the sessions here receive copies (XEP-0280)."""
        user = self._users.get(to.bare)
        if user is None:
            return False
        if node is None or to.resource in user.sessions:
            return user.deliver(message, message.stanza)
        if message.copied:
            user.copy("received", message.stanza, message)
        return False

    async def _send_to_others(
        self, to: Jid, message: ArchivedMessage, fails: bool, node: str | None = None
    ) -> None:
        header = {"to": to.text, "kind": message.kind, "copied": message.copied}
        header |= {"peer": message.peer, "fails": fails, "node": node}
        is_sent = False
        try:
            nodes = await self._directory.other_nodes(to.bare)
            for other in nodes:
                await self._membership.post(other, "message", header, message.stanza)
                is_sent = True
        except StoreError as error:
            if fails and not is_sent:
                self._return_unsent(message, error)
            raise
        if fails and not nodes:
            self._bounce(parse(message.stanza, own=True))

    def on_notice(self, kind: str, handler: NoticeHandler) -> None:
        self._handlers[kind] = handler

    async def notify(self, bare: str, kind: str, **data: str) -> None:
        self._handle_notice(bare, kind, data)
        for node in await self._directory.other_nodes(bare):
            await self._membership.post(node, "notice", {"bare": bare, "kind": kind, "data": data})

    # Receiving

    def _receive_stanza(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        stanza, session = parse(data, own=True), self._session(parse_jid(header["to"]))
        if session is not None:
            session.write(data)
        elif may_fail(stanza) and stanza.name == "iq":
            # The session ended while the stanza was on its way; its sender waits for a response.
            self._bounce(stanza)

    def _bounce(self, stanza: Element) -> None:
        """Send the error of a stanza without a session to receive it."""
        sender = parse_jid(stanza.attributes["from"])
        error = failure(stanza, StanzaError("service-unavailable"))
        self._context.spawn(self._return_error(sender, error))

    def _return_unsent(self, message: ArchivedMessage, error: StoreError) -> None:
        """Notify the sender, which has a session here, that the store failed. The message may have
        arrived all the same: the store may have failed after it wrote."""
        stanza = parse(message.stanza, own=True)
        session = self._session(parse_jid(stanza.attributes["from"]))
        if session is not None:
            why = StanzaError("internal-server-error", error.public, type="wait")
            session.refuse(stanza, why)

    async def _return_error(self, to: Jid, stanza: Element) -> None:
        """Send an error to a session, which may be on its way to another node: without the error
        its client would not know of the loss."""
        for tries in range(1, MAX_RETURNS):
            if await self.send_stanza(to, stanza):
                return
            await self._context.kv.backoff.pause(tries)
        await self.send_stanza(to, stanza)

    def _receive_message(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        to = parse_jid(header["to"])
        kind, copied, peer = header["kind"], header["copied"], header["peer"]
        message = ArchivedMessage(data, False, copied, kind, peer, to.resource)
        node = header.get("node")
        other = node if node != self.node else None
        if not self._deliver(to, message, other) and other is None and header.get("fails"):
            self._bounce(parse(data, own=True))

    def _receive_notice(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        self._handle_notice(header["bare"], header["kind"], header["data"])

    def _handle_notice(self, bare: str, kind: str, data: Mapping[str, str]) -> None:
        user = self._users.get(bare)
        if user is not None:
            self._handlers[kind](user, data)

    def __repr__(self) -> str:
        return f"<ClusterRouter {self._membership!r}>"
