"""Who waits on a channel: the holds of this process, and what is known of their clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pushhub.hub.hold import Follower
from pushhub.protocol.feed import Feed
from pushhub.protocol.value import Value

if TYPE_CHECKING:
    from pushhub.hub.hold import Driver, Parked
    from pushhub.hub.hub import Hub

# What is shown of a subject; a token may have any.
MAX_SUBJECT = 255


class Client(NamedTuple):
    """Who asks, as far as it is known: the address that the connection comes from, and the subject
    of the token or the name of the key.
    """

    address: str = ""
    subject: str = ""


NOBODY = Client()


def client_of(hold: Parked, driver: Driver | None = None) -> Client:
    """Whom a hold answers, through the `driver` that writes it.

    A driver with a `transport` tells the address. Its `manner` tells the subject, but only of polls
    that it remembers by their headers: what else comes on the same connection may be another's.
    """
    found: Any = hold.driver if driver is None else driver
    while isinstance(found, Follower):
        found = found.driver
    transport = getattr(found, "transport", None)
    peer = transport.get_extra_info("peername") if transport is not None else None
    address = str(peer[0]) if isinstance(peer, tuple) else ""
    manner = getattr(found, "manner", None)
    if manner is None or not isinstance(hold.poll, Feed | Value):
        return Client(address)
    return Client(address, manner.grant.subject[:MAX_SUBJECT])


def holders(hub: Hub, channel: str, limit: int) -> list[dict[str, Any]]:
    """At most `limit` of the holds that wait on a channel: who, how, and for how many seconds."""
    found = hub.shelf.get(channel)
    if found is None:
        return []
    now = hub.now()
    listed: list[dict[str, Any]] = []
    for hold in found.holds:
        if len(listed) == limit:
            break
        who = client_of(hold)
        waited = round(now - hold.parked, 1) if hold.parked else 0.0
        one = {"kind": hold.poll.kind, "waited": waited, "client": who.address}
        listed.append(one | ({"subject": who.subject} if who.subject else {}))
    return listed
