"""What a local user asks about the other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pushhub.xmpp.model.jid import Jid


class Nodes(Protocol):
    """The nodes that share the store."""

    @property
    def node(self) -> str:
        """This node's id."""

    @property
    def shared(self) -> bool:
        """Whether other nodes may share the store."""

    async def is_alive(self, node: str) -> bool:
        """Whether a node's heartbeat is recent."""

    async def locate(self, to: Jid) -> str | None:
        """The other live node with the session of a full address; None without one."""
