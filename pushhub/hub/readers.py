"""The readers of a channel: the holds of this process, and their clients as far as known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pushhub.hub.channel_hold import ConsoleHold, GrantedHold
from pushhub.hub.hold import Hold
from pushhub.polls.feed import FeedPoll
from pushhub.polls.value import ValuePoll

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.channels import ChannelTable
    from pushhub.hub.hold import Driver

# Characters of a subject that are shown; a token may have any length.
MAX_SUBJECT = 255


class ClientInfo(NamedTuple):
    """A client as far as known: the address of its connection, and the subject of its token or the
    name of its key.
    """

    address: str = ""
    subject: str = ""


UNKNOWN_CLIENT = ClientInfo()


@dataclass(frozen=True, slots=True)
class Reader:
    """The client behind a hold that is not an HTTP request of its own, such as a subscription of a
    BOSH session.
    """

    kind: str
    subject: str
    since: float
    """When the client began to read, on the hub's clock."""
    addresses: Callable[[], set[str]]
    """The current addresses of its requests."""

    @property
    def client(self) -> ClientInfo:
        """The client as it is shown, with several addresses in one text."""
        return ClientInfo(", ".join(sorted(self.addresses())), self.subject[:MAX_SUBJECT])


def client_of(hold: ChannelHold, driver: Driver | None = None) -> ClientInfo:
    """The client of a hold, from the `driver` that writes its reply.

    A driver with a `transport` or an `address` has the address, one with a `reader` has everything.
    Its `manner` (`ClientHeaders`) has the subject, but only for polls that the driver remembers by
    their headers: other requests on the same connection may belong to another client.
    """
    found = _last_driver(hold, driver)
    if isinstance(reader := getattr(found, "reader", None), Reader):
        return reader.client
    transport = getattr(found, "transport", None)
    peer = transport.get_extra_info("peername") if transport is not None else None
    address = str(peer[0]) if isinstance(peer, tuple) else getattr(found, "address", "")
    client_headers = getattr(found, "manner", None)
    if client_headers is None or not isinstance(hold.poll, FeedPoll | ValuePoll):
        return ClientInfo(address)
    return ClientInfo(address, client_headers.grant.subject[:MAX_SUBJECT])


def _last_driver(hold: ChannelHold, driver: Driver | None = None) -> Any:
    """The driver that writes to the client: holds that wait for other holds are drivers, too."""
    found: Any = hold.driver if driver is None else driver
    while isinstance(found, Hold):
        found = found.driver
    return found


def readers_on(channels: ChannelTable, channel: str) -> int:
    """The number of requests that wait on a channel, without those of consoles."""
    found = channels.get(channel)
    if found is None:
        return 0
    return len(found.holds) - sum(type(hold) is ConsoleHold for hold in found.holds)


def holders(channels: ChannelTable, now: float, channel: str, limit: int) -> list[dict[str, Any]]:
    """At most `limit` holds of a channel: client, kind, and seconds of reading. For a stream these
    are the seconds since it began. The requests of consoles are left out.
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
        client, last = client_of(hold), _last_driver(hold)
        kind, since = hold.poll.kind, getattr(last, "begun", None) or hold.parked
        if isinstance(reader := getattr(last, "reader", None), Reader):
            kind, since = reader.kind, reader.since
        waited = round(now - since, 1) if since else 0.0
        one = {"kind": kind, "waited": waited, "client": client.address}
        if isinstance(hold, GrantedHold) and (credential := hold.grant.credential) is not None:
            # The names by which the console revokes it.
            names = {"key": credential.key} if credential.key else {"sub": credential.subject}
            one |= {name: text for name, text in names.items() if text}
        listed.append(one | ({"subject": client.subject} if client.subject else {}))
    return listed
