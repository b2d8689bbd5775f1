"""The subscribers of channels on this node: one hub subscription for each address and channel, like
any other reader."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pushhub.hub.readers import Reader
from pushhub.hub.subscription import Subscription
from pushhub.log.cursor import Cursor, Since, Start
from pushhub.log.grant import Action
from pushhub.store.base import StoreError
from pushhub.xmpp.context import pubsub_service
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.storage.blocklist import blocklist_key, blocks
from pushhub.xmpp.storage.key_value import internal_name
from pushhub.xmpp.xep.pubsub.notifications import deleted, message, notification
from pushhub.xmpp.xep.pubsub.rights import grant_of, is_allowed, node_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.log.event import Event
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.routing.session import XmppSession

# Subscriptions of an account, or of a session; each is a hold.
MAX_SUBSCRIPTIONS = 1000


def subscriptions_key(bare: str) -> str:
    """The key of the channels that an account has subscribed to."""
    return internal_name("subscriptions", bare)


class Subscribers:
    """The subscriptions of this node's accounts and sessions."""

    def __init__(self, context: Context, cluster: Cluster) -> None:
        self._context = context
        # Address → channel → subscription. A bare address is notified on all its sessions.
        self._subscriptions: dict[str, dict[str, Subscription]] = {}
        # Accounts that have blocked the service: they keep their subscriptions, and get nothing.
        self._muted: set[str] = set()
        # The last notification, for the next of many subscribers.
        self._last: tuple[Event, str] | None = None
        cluster.on_notice("subscribed", self._on_subscribed)
        cluster.on_notice("unsubscribed", self._on_unsubscribed)

    def channels(self, address: str) -> list[str]:
        """The channels that an address has subscribed to on this node."""
        return list(self._subscriptions.get(address, ()))

    def positions(self, address: str) -> dict[str, str]:
        """An address's position in each channel."""
        subscriptions = self._subscriptions.get(address, {})
        return {
            channel: str(subscription.since)
            for channel, subscription in subscriptions.items()
            if isinstance(subscription.since, Cursor)
        }

    async def subscribe(
        self, user: LocalUser, address: str, channel: str, since: Since = Start.NOW
    ) -> None:
        """Notify an address of this node of a channel's new events, or of those after a position.

        Raises:
            StoreError: the store cannot be read.
        """
        subscriptions = self._subscriptions.setdefault(address, {})
        if channel not in subscriptions:
            receive = partial(self._receive, user, address)
            gone = partial(self._channel_deleted, user, address, channel)
            where = partial(self._client_addresses, user, address)
            hub = self._context.hub
            reader = Reader("BOSH", address, hub.now(), where)
            subscription = Subscription(hub, channel, receive, since, gone=gone, reader=reader)
            subscriptions[channel] = subscription
            try:
                await subscription.begin()
            except StoreError:
                self.unsubscribe(address, channel)
                raise

    def unsubscribe(self, address: str, channel: str) -> bool:
        """End a subscription; return whether there was one."""
        subscriptions = self._subscriptions.get(address, {})
        subscription = subscriptions.pop(channel, None)
        if subscription is None:
            return False
        subscription.stop()
        if not subscriptions:
            del self._subscriptions[address]
        return True

    async def add_session(self, session: XmppSession) -> None:
        """Start the subscriptions of a new session's account.

        Raises:
            StoreError: the store cannot be read.
        """
        user, context = session.user, self._context
        if user.anonymous:
            return
        bare = session.jid.bare
        blocked = await context.kv.event(blocklist_key(bare))
        self.mute(user, on=blocks(blocked, parse_jid(pubsub_service(user.jid.domain))))
        for channel in await context.kv.json(subscriptions_key(bare)) or ():
            record = await node_record(context, channel)
            if is_allowed(context, session, Action.READ, channel, record):
                await self.subscribe(user, bare, channel)

    def remove_session(self, session: XmppSession) -> None:
        """End the subscriptions of an ended session, and after the last one its account's."""
        self._unsubscribe_all(session.jid.text)
        if not session.user.sessions:
            self._unsubscribe_all(session.jid.bare)
            self._muted.discard(session.jid.bare)

    def mute(self, user: LocalUser, *, on: bool) -> None:
        """An account has blocked the service, or unblocked it (XEP-0191 §3.3, §3.4)."""
        if on:
            self._muted.add(user.jid.bare)
        else:
            self._muted.discard(user.jid.bare)

    def _unsubscribe_all(self, address: str) -> None:
        for subscription in self._subscriptions.pop(address, {}).values():
            subscription.stop()

    def _on_subscribed(self, user: LocalUser, data: Mapping[str, str]) -> None:
        self._context.spawn(self.subscribe(user, user.jid.bare, data["channel"]))

    def _on_unsubscribed(self, user: LocalUser, data: Mapping[str, str]) -> None:
        self.unsubscribe(user.jid.bare, data["channel"])

    def _receive(self, user: LocalUser, address: str, event: Event) -> None:
        if self._last is None or self._last[0] is not event:
            self._last = (event, notification(event))
        self.notify(user, address, self._last[1])

    def _channel_deleted(self, user: LocalUser, address: str, channel: str) -> None:
        self.notify(user, address, deleted(channel))

    def notify(
        self, user: LocalUser, address: str, content: str, event: Event | None = None
    ) -> None:
        """Send a notification to an address: to one session, or to all of an account that receive
        messages. `event` adds the delay of an older event."""
        if user.jid.bare in self._muted:
            return
        service = pubsub_service(user.jid.domain)
        for session in self._sessions(user, address):
            expires = grant_of(self._context, session).expires
            if expires is None or self._context.hub.clock() < expires:
                session.write(message(service, session.jid.text, content, event))

    def _sessions(self, user: LocalUser, address: str) -> list[XmppSession]:
        """The sessions that receive the notifications of an address."""
        if address == user.jid.bare:
            return [s for s in user.sessions.values() if s.priority >= 0]
        return [s for s in user.sessions.values() if s.jid.text == address]

    def _client_addresses(self, user: LocalUser, address: str) -> set[str]:
        """The IP addresses of those sessions' clients, for the console."""
        return {s.stream.client for s in self._sessions(user, address) if s.stream.client}

    def __repr__(self) -> str:
        return f"<Subscribers {len(self._subscriptions)} addresses>"
