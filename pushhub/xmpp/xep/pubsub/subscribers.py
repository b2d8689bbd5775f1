"""The subscribers of channels on this node: one hub subscription for each address and channel, like
any other reader.

Rights are checked at each delivery. A session without the right to read gets no notification, and
the subscription stays: it delivers again when the right is back.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from pushhub.hub.readers import Reader
from pushhub.hub.subscription import Subscription
from pushhub.log.cursor import Cursor, Since, Start
from pushhub.log.grant import Action, is_allowed
from pushhub.store.base import StoreError
from pushhub.xml import quote
from pushhub.xmpp.context import pubsub_service
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.model.stanza import StreamError
from pushhub.xmpp.storage.blocklist import blocklist_key, blocks
from pushhub.xmpp.storage.key_value import internal_name
from pushhub.xmpp.xep.pubsub.current_policy import CurrentPolicies
from pushhub.xmpp.xep.pubsub.notifications import deleted, message, notification
from pushhub.xmpp.xep.pubsub.rights import grant_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.log.event import Event
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.xep.pubsub.policy import NodePolicy

# Subscriptions of an account, or of a session; each is a hold.
MAX_SUBSCRIPTIONS = 1000


# Of a guest, with both addresses: a page shows a few channels.
MAX_GUEST_SUBSCRIPTIONS = 100
# Measured with `tracemalloc`, with a name of 50 characters: a subscription, its hold and its poll.
SUBSCRIPTION_BYTES = 2000


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
        # The last event, a domain, and the message to its accounts: for the next of many
        # subscribers.
        self._last: tuple[Event, str, tuple[bytes, bytes]] | None = None
        self._policies = CurrentPolicies(context)
        # Address and channel → the position before the first event that waits for the policy.
        self._waiting: dict[tuple[str, str], Cursor] = {}
        cluster.on_notice("subscribed", self._on_subscribed)
        cluster.on_notice("unsubscribed", self._on_unsubscribed)

    def channels(self, address: str) -> list[str]:
        """The channels that an address has subscribed to on this node."""
        return list(self._subscriptions.get(address, ()))

    def held_bytes(self, session: XmppSession) -> int:
        """About how many bytes the subscriptions of a session take. Those of an account are none of
        its session's."""
        count = len(self._subscriptions.get(session.jid.text, ()))
        if session.user.anonymous:
            count += len(self._subscriptions.get(session.jid.bare, ()))
        return count * SUBSCRIPTION_BYTES

    def positions(self, address: str) -> dict[str, str]:
        """An address's position in each channel."""
        subscriptions = self._subscriptions.get(address, {})
        positions = {
            channel: self._waiting.get((address, channel), subscription.since)
            for channel, subscription in subscriptions.items()
        }
        return {name: str(at) for name, at in positions.items() if isinstance(at, Cursor)}

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
        channel, domain = event.channel, user.jid.domain
        last = self._last
        if last is None or last[0] is not event or last[1] != domain:
            parts = message(pubsub_service(domain), notification(event))
            last = self._last = (event, domain, parts)
        policy = self._policies.get(channel)
        if policy is not None:
            self._notify(user, address, channel, last[2], policy)
            return
        before = Cursor(event.epoch, event.offset - 1)
        self._waiting.setdefault((address, channel), before)
        late = partial(self._receive_late, user, address, channel, last[2])
        self._policies.wait(channel, late, partial(self._lose, user, address, channel), last[2])

    def _receive_late(
        self,
        user: LocalUser,
        address: str,
        channel: str,
        parts: tuple[bytes, bytes],
        policy: NodePolicy,
    ) -> None:
        """Deliver an event that waited for the policy, unless the subscription has ended."""
        self._waiting.pop((address, channel), None)
        if channel in self._subscriptions.get(address, ()):
            self._notify(user, address, channel, parts, policy)

    def _lose(self, user: LocalUser, address: str, channel: str) -> None:
        """A notification is lost: end the sessions that it was for, so that their clients return
        and read the items again."""
        self._waiting.pop((address, channel), None)
        error = StreamError("internal-server-error", "Notifications are lost; read the items.")
        for session in self._sessions(user, address):
            # The hub may be delivering to these sessions.
            asyncio.get_running_loop().call_soon(session.stream.fail, error)

    def _channel_deleted(self, user: LocalUser, address: str, channel: str) -> None:
        self.notify(user, address, channel, deleted(channel))

    def notify(
        self,
        user: LocalUser,
        address: str,
        channel: str,
        content: str,
        event: Event | None = None,
    ) -> None:
        """Send a notification to an address. `event` adds the delay of an older event."""
        parts = message(pubsub_service(user.jid.domain), content, event)
        policy = self._policies.get(channel)
        if policy is not None:
            self._notify(user, address, channel, parts, policy)
        else:
            late = partial(self._notify, user, address, channel, parts)
            self._policies.wait(channel, late, partial(self._lose, user, address, channel), parts)

    def _notify(
        self,
        user: LocalUser,
        address: str,
        channel: str,
        parts: tuple[bytes, bytes],
        policy: NodePolicy,
    ) -> None:
        """Send a message to the sessions of an address that may read the channel now."""
        if user.jid.bare in self._muted:
            return
        context, (head, tail) = self._context, parts
        access, now = policy.access(user.jid.bare), context.hub.clock()
        for session in self._sessions(user, address):
            if is_allowed(grant_of(context, session), Action.READ, channel, now, access):
                session.write(head + quote(session.jid.text).encode() + tail)

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
