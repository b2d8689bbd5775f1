"""An XMPP server on a store of each kind, and one in memory."""

from tests.xmpp.world import small, world

__all__ = ["small", "world"]
