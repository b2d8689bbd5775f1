"""Who waits on a channel: the holds of this process, and what is known of their clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pushhub.hub.channel_hold import ConsoleHold
from pushhub.hub.hold import Hold
from pushhub.polls.feed import FeedPoll
from pushhub.polls.value import ValuePoll

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.channels import ChannelTable
    from pushhub.hub.hold import Driver

# What is shown of a subject; a token may have any.
MAX_SUBJECT = 255


class ClientInfo(NamedTuple):
    """Who asks, as far as it is known: the address that the connection comes from, and the subject
    of the token or the name of the key.
    """

    address: str = ""
    subject: str = ""


NOBODY = ClientInfo()


@dataclass(frozen=True, slots=True)
class Reader:
    """The client behind a hold that is not an HTTP request of its own, such as a subscription of a
    BOSH session.
    """

    kind: str
    subject: str
    since: float
    """When it began to read, on the hub's clock."""
    addresses: Callable[[], set[str]]
    """Where its requests come from now."""

    @property
    def client(self) -> ClientInfo:
        """The reader as it is shown: several addresses in one text."""
        return ClientInfo(", ".join(sorted(self.addresses())), self.subject[:MAX_SUBJECT])


def client_of(hold: ChannelHold, driver: Driver | None = None) -> ClientInfo:
    """Whom a hold answers, through the `driver` that writes it.

    A driver with a `transport` or an `address` tells the address, one with a `reader` all. Its
    `manner` tells the subject, but only of polls that it remembers by their headers: what else
    comes on the same connection may be another's.
    """
    found = _last_driver(hold, driver)
    if isinstance(reader := getattr(found, "reader", None), Reader):
        return reader.client
    transport = getattr(found, "transport", None)
    peer = transport.get_extra_info("peername") if transport is not None else None
    address = str(peer[0]) if isinstance(peer, tuple) else getattr(found, "address", "")
    manner = getattr(found, "manner", None)
    if manner is None or not isinstance(hold.poll, FeedPoll | ValuePoll):
        return ClientInfo(address)
    return ClientInfo(address, manner.grant.subject[:MAX_SUBJECT])


def _last_driver(hold: ChannelHold, driver: Driver | None = None) -> Any:
    """The driver that writes to the client: holds that wait for other holds are drivers, too."""
    found: Any = hold.driver if driver is None else driver
    while isinstance(found, Hold):
        found = found.driver
    return found


def readers_on(channels: ChannelTable, channel: str) -> int:
    """How many requests wait on a channel. Those of consoles are left out."""
    found = channels.get(channel)
    if found is None:
        return 0
    return len(found.holds) - sum(type(hold) is ConsoleHold for hold in found.holds)


def holders(channels: ChannelTable, now: float, channel: str, limit: int) -> list[dict[str, Any]]:
    """At most `limit` of the holds that wait on a channel: client, kind, and for how many seconds
    it has been reading. A stream has been reading since it began, however many events it got. The
    requests of consoles are left out.
    """
    found = channels.get(channel)
    if found is None:
        return []
    listed: list[dict[str, Any]] = []
    for hold in found.holds:
        if len(listed) == limit:
            break
        if type(hold) is ConsoleHold:
            continue
        who, last = client_of(hold), _last_driver(hold)
        kind, since = hold.poll.kind, getattr(last, "begun", None) or hold.parked
        if isinstance(reader := getattr(last, "reader", None), Reader):
            kind, since = reader.kind, reader.since
        waited = round(now - since, 1) if since else 0.0
        one = {"kind": kind, "waited": waited, "client": who.address}
        listed.append(one | ({"subject": who.subject} if who.subject else {}))
    return listed
