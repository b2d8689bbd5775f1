"""Which node has which session, and how a stanza gets there.

With one process there is one node. Where processes share a store, a register names the node of each
session of an account, and each node follows a channel of its own, in which the others put what its
sessions are to get.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.protocol.xml import Element
    from pushhub.xmpp.archive import Kept
    from pushhub.xmpp.home import Home
    from pushhub.xmpp.jid import Jid
    from pushhub.xmpp.server import Server
    from pushhub.xmpp.session import Session

    Notice = Callable[[Home, Mapping[str, str]], None]


class Nodes:
    """A single node: all sessions are here."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._notices: dict[str, Notice] = {}

    def anonymous_name(self, name: str) -> str:
        """The localpart of an anonymous account, from what was drawn for it."""
        return name

    def mark(self, sid: str) -> str:
        """A session's id that says on which node it is, from what was drawn for it."""
        return sid

    def knows(self, to: Jid) -> bool:
        """Whether an address is an anonymous one of another node."""
        return False

    async def open(self) -> None:
        """Begin to hear what other nodes send."""

    async def close(self) -> None:
        """Hear no more."""

    async def join(self, session: Session) -> None:
        """A session is here now."""

    async def leave(self, session: Session) -> None:
        """A session has ended."""

    async def stanza(self, to: Jid, stanza: Element) -> bool:
        """Bring a stanza to the session of a full address; whether there is one."""
        home = self._server.homes.get(to.bare)
        session = home.sessions.get(to.resource) if home is not None else None
        if session is None:
            return False
        session.send(stanza)
        return True

    def message(self, to: Jid, message: Kept) -> bool:
        """Bring a message that is not kept to the sessions it is for; False if there are none."""
        home = self._server.homes.get(to.bare)
        return home is not None and home.deliver(message, message.stanza)

    def on(self, kind: str, do: Notice) -> None:
        """From now on `do` is what a notice of that kind does with an account's sessions."""
        self._notices[kind] = do

    async def notify(self, bare: str, kind: str, **data: str) -> None:
        """Do what a notice is for, on every node that has sessions of the account."""
        self.noticed(bare, kind, data)

    def noticed(self, bare: str, kind: str, data: Mapping[str, str]) -> None:
        """A notice has come: from here, or from another node."""
        home = self._server.homes.get(bare)
        if home is not None:
            self._notices[kind](home, data)
