"""Delivery to sessions on this node and on the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
        user = self._users.get(to.bare)
        delivered = user is not None and user.deliver(message, message.stanza)
        if self.shared:
            self._context.spawn(self._send_to_others(to, message, fails and not delivered))
        return delivered or self.shared

    async def _send_to_others(self, to: Jid, message: ArchivedMessage, fails: bool) -> None:
        header = {"to": to.text, "kind": message.kind, "copied": message.copied}
        header |= {"peer": message.peer, "fails": fails}
        for node in await self._directory.other_nodes(to.bare):
            await self._membership.post(node, "message", header, message.stanza)

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

    async def _return_error(self, to: Jid, stanza: Element) -> None:
        await self.send_stanza(to, stanza)

    def _receive_message(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        to = parse_jid(header["to"])
        user = self._users.get(to.bare)
        kind, copied, peer = header["kind"], header["copied"], header["peer"]
        message = ArchivedMessage(data, False, copied, kind, peer, to.resource)
        if not (user is not None and user.deliver(message, data)) and header.get("fails"):
            self._bounce(parse(data, own=True))

    def _receive_notice(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        self._handle_notice(header["bare"], header["kind"], header["data"])

    def _handle_notice(self, bare: str, kind: str, data: Mapping[str, str]) -> None:
        user = self._users.get(bare)
        if user is not None:
            self._handlers[kind](user, data)

    def __repr__(self) -> str:
        return f"<ClusterRouter {self._membership!r}>"
