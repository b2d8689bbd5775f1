"""The interface between routing and the nodes: it delivers to sessions wherever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.xmpp.routing.nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.xml import Element
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.storage.archive import ArchivedMessage

    NoticeHandler = Callable[[LocalUser, Mapping[str, str]], None]


class Cluster(Nodes, Protocol):
    """The nodes that share one store; without a shared store, this node alone."""

    def is_remote_anonymous(self, to: Jid) -> bool:
        """Whether an address is an anonymous one that another node assigned."""

    async def send_stanza(self, to: Jid, stanza: Element) -> bool:
        """Deliver a stanza to the session of a full address; False if no node has the session, as
        far as this node knows."""

    def send_message(self, to: Jid, message: ArchivedMessage, *, fails: bool = False) -> bool:
        """Deliver a message that is not archived; False if certainly no session can receive it. If
        it `fails` on another node, that node sends the error."""

    async def notify(self, bare: str, kind: str, **data: str) -> None:
        """Run a notice's handler on every node with sessions of the account.

        Raises:
            StoreError: other nodes cannot be notified.
        """

    def on_notice(self, kind: str, handler: NoticeHandler) -> None:
        """Set the handler of a kind of notices."""
