"""Who is told of a channel's events: one hold on the hub for each account and channel, as for every
other reader."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pushhub.hub.readers import Reader
from pushhub.hub.subscription import Subscription
from pushhub.log.cursor import Cursor, Since, Start
from pushhub.log.grant import Action
from pushhub.store.base import StoreError
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.storage.blocklist import block_name, blocks
from pushhub.xmpp.storage.key_value import register_name
from pushhub.xmpp.xep.pubsub.notice import deleted, message, notification
from pushhub.xmpp.xep.pubsub.rights import may, record_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.log.event import Event
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.server import XmppServer

# Subscriptions of an account, or of a session; each is a hold.
MAX_SUBSCRIPTIONS = 1000


def subscriptions_name(bare: str) -> str:
    """The register of the channels that an account has subscribed to."""
    return register_name("subscriptions", bare)


class Feeds:
    """The subscriptions of the sessions of this node."""

    def __init__(self, server: XmppServer) -> None:
        self._server = server
        # Address → channel → what follows it. A bare address is told on all its sessions.
        self._follows: dict[str, dict[str, Subscription]] = {}
        # Accounts that have blocked the service. They follow what they did, and are told nothing.
        self._muted: set[str] = set()
        # What was last told, to the next of many subscribers too.
        self._last: tuple[Event, str] | None = None
        server.nodes.on("subscribed", self._subscribed)
        server.nodes.on("unsubscribed", self._unsubscribed)

    def channels(self, address: str) -> list[str]:
        """What an address follows here."""
        return list(self._follows.get(address, ()))

    def positions(self, address: str) -> dict[str, str]:
        """Up to where an address was told of each channel."""
        follows = self._follows.get(address, {})
        return {
            channel: str(follow.since)
            for channel, follow in follows.items()
            if isinstance(follow.since, Cursor)
        }

    async def follow(
        self, home: LocalUser, address: str, channel: str, since: Since = Start.NOW
    ) -> None:
        """Tell an address of this node of a channel's events from now on, or after a position.

        Raises:
            StoreError: the store cannot be read now.
        """
        follows = self._follows.setdefault(address, {})
        if channel not in follows:
            take = partial(self._take, home, address)
            gone = partial(self._gone, home, address, channel)
            where = partial(self._addresses, home, address)
            reader = Reader("BOSH", address, self._server.hub.now(), where)
            hub = self._server.hub
            follow = Subscription(hub, channel, take, since, gone=gone, reader=reader)
            follows[channel] = follow
            try:
                await follow.begin()
            except StoreError:
                self.unfollow(address, channel)
                raise

    def unfollow(self, address: str, channel: str) -> bool:
        """Tell it no longer; whether it was told."""
        follows = self._follows.get(address, {})
        follow = follows.pop(channel, None)
        if follow is None:
            return False
        follow.stop()
        if not follows:
            del self._follows[address]
        return True

    async def arrived(self, session: XmppSession) -> None:
        """A session of an account is here: follow what the account has subscribed to.

        Raises:
            StoreError: the store cannot be read now.
        """
        home = session.home
        if home.anonymous:
            return
        bare, server = session.jid.bare, self._server
        blocked = await server.registers.event(block_name(bare))
        self.mute(home, on=blocks(blocked, parse_jid(server.service_of(home.jid.domain))))
        for channel in await server.registers.json(subscriptions_name(bare)) or ():
            record = await record_of(server, channel)
            if may(server, session, Action.READ, channel, record):
                await self.follow(home, bare, channel)

    def left(self, session: XmppSession) -> None:
        """A session has ended."""
        self._drop(session.jid.text)
        if not session.home.sessions:
            self._drop(session.jid.bare)
            self._muted.discard(session.jid.bare)

    def mute(self, home: LocalUser, *, on: bool) -> None:
        """An account has blocked the service, or does not any more (XEP-0191 §3.3, §3.4)."""
        if on:
            self._muted.add(home.jid.bare)
        else:
            self._muted.discard(home.jid.bare)

    def _drop(self, address: str) -> None:
        for follow in self._follows.pop(address, {}).values():
            follow.stop()

    def _subscribed(self, home: LocalUser, data: Mapping[str, str]) -> None:
        self._server.spawn(self.follow(home, home.jid.bare, data["channel"]))

    def _unsubscribed(self, home: LocalUser, data: Mapping[str, str]) -> None:
        self.unfollow(home.jid.bare, data["channel"])

    def _take(self, home: LocalUser, address: str, event: Event) -> None:
        if self._last is None or self._last[0] is not event:
            self._last = (event, notification(event))
        self.tell(home, address, self._last[1], event.channel)

    def _gone(self, home: LocalUser, address: str, channel: str) -> None:
        self.tell(home, address, deleted(channel), channel)

    def tell(
        self, home: LocalUser, address: str, inside: str, channel: str, event: Event | None = None
    ) -> None:
        """Send a notification to an address: a session, or all of an account that want messages.
        With `event`, it was published some time ago."""
        if home.jid.bare in self._muted:
            return
        service = self._server.service_of(home.jid.domain)
        for session in self._sessions(home, address):
            expires = self._server.grant(session).expires
            if expires is None or self._server.hub.clock() < expires:
                session.write(message(service, session.jid.text, inside, event))

    def _sessions(self, home: LocalUser, address: str) -> list[XmppSession]:
        """The sessions that notifications to an address reach."""
        if address == home.jid.bare:
            return [s for s in home.sessions.values() if s.priority >= 0]
        return [s for s in home.sessions.values() if s.jid.text == address]

    def _addresses(self, home: LocalUser, address: str) -> set[str]:
        """The IP addresses of those sessions' clients, for the console."""
        return {s.stream.client for s in self._sessions(home, address) if s.stream.client}

    def __repr__(self) -> str:
        return f"<Feeds of {len(self._follows)} addresses>"
