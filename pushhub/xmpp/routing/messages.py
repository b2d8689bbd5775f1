"""Messages (RFC 6121 §5, §8.5): from a session to all their recipients.

A message that matters later goes into the archives of both sides, and from there to their sessions,
on all nodes. Other messages (a chat state, a headline) go to the sessions only.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pushhub.hub.hold import Hold
from pushhub.log.event import DraftError
from pushhub.store.base import Append, Appended, Retention, StoreError
from pushhub.xmpp.model.message import (
    is_archived,
    is_copied,
    is_written,
    type_of,
    with_recipient,
)
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.acquaintances import Acquaintances
from pushhub.xmpp.storage.archive import ArchivedMessage, archive_channel
from pushhub.xmpp.storage.blocklist import blocked_by_sender, blocklist_key, blocks
from pushhub.xmpp.storage.locations import account_key, locations_key, resources_in
from pushhub.xmpp.storage.stranger_share import StrangerShares

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from pushhub.log.event import Draft, Event
    from pushhub.store.base import Outcome
    from pushhub.xml import Element
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.local_user import LocalUser
    from pushhub.xmpp.routing.session import XmppSession


# Peers that a local user remembers as recorded; then it begins again.
MAX_KNOWN_PEERS = 1000


class MessageRouter:
    """Routes messages."""

    def __init__(self, context: Context, cluster: Cluster, users: Mapping[str, LocalUser]) -> None:
        self._domains = context.domains
        self._services = context.services
        self._hub = context.hub
        self._kv = context.kv
        self._cluster = cluster
        self._users = users
        self._spawn = context.spawn
        policy = context.policy
        events, age = policy.xmpp_archive_events, policy.xmpp_archive_age
        self._retention = Retention(events, age or None)
        self._acquaintances = Acquaintances(context.kv)
        self._shares = StrangerShares(
            context.kv, context.hub.clock, events, age, policy.xmpp_stranger_share
        )

    def send(
        self, session: XmppSession, stanza: Element, to: Jid
    ) -> Coroutine[None, None, None] | None:
        """Route a client's message; its `from` is set.

        Raises:
            StanzaError: the message cannot reach its recipient.
        """
        if to.domain not in self._domains or not to.local:
            self._check_unserved(stanza, to)
            return None
        user = self._users.get(to.bare)
        if user is not None and user.anonymous and session.user.anonymous:
            # Anonymous accounts have no block lists and no archives.
            if _may_deliver(stanza, to, to.resource in user.sessions):
                self._deliver_unarchived(session, stanza, to, has_account=False)
            return None
        keys = [account_key(to)] if user is None else []
        is_local = user is not None and to.resource in user.sessions
        if to.resource and not is_local and self._cluster.shared and type_of(stanza) != "chat":
            keys.append(locations_key(to.bare))
        if not session.user.anonymous:
            keys.append(blocklist_key(session.jid.bare))
        if user is None or not user.anonymous:
            keys.append(blocklist_key(to.bare))
            if self._is_stranger_possible(session, stanza, to):
                keys += self._acquaintances.keys(to.bare)
        found: list[Event | None] = []
        for key in keys:
            event = self._kv.start_read(key)
            if isinstance(event, Hold):
                event.drop()
                return self._send_after_reads(session, stanza, to, keys)
            found.append(event)
        return self._send_checked(session, stanza, to, dict(zip(keys, found, strict=True)))

    def _is_stranger_possible(self, session: XmppSession, stanza: Element, to: Jid) -> bool:
        return self._shares.share < 1 and to.bare != session.jid.bare and is_archived(stanza)

    async def _send_after_reads(
        self, session: XmppSession, stanza: Element, to: Jid, keys: list[str]
    ) -> None:
        """`send`, with values that must be read from the store first."""
        values = {key: await self._kv.event(key) for key in keys}
        later = self._send_checked(session, stanza, to, values)
        if later is not None:
            await later

    def _send_checked(
        self, session: XmppSession, stanza: Element, to: Jid, values: dict[str, Event | None]
    ) -> Coroutine[None, None, None] | None:
        user = self._users.get(to.bare)
        known = user is not None or values.get(account_key(to)) is not None
        is_guest = session.user.anonymous
        if is_guest and is_archived(stanza) and not self._cluster.is_remote_anonymous(to):
            # First: for an account and for an unknown address.
            self._received(session, stanza, to)
        if not (known or self._cluster.is_remote_anonymous(to)):
            if is_guest:
                # A guest must not learn which accounts exist (RFC 6121 §8.5.1 allows silence): the
                # same response as for an account without sessions.
                _may_deliver(stanza, to, False)
                return None
            raise StanzaError("service-unavailable", "There is no such account.")
        if blocks(values.get(blocklist_key(session.jid.bare)), to):
            raise blocked_by_sender()
        if blocks(values.get(blocklist_key(to.bare)), session.jid):
            if is_guest:
                _may_deliver(stanza, to, False)
                return None
            # XEP-0191 §3.3: the same error as for an unknown account.
            raise StanzaError("service-unavailable")
        # An account's name may look like one that a node assigned: tom.williams.
        anonymous = user.anonymous if user is not None else values.get(account_key(to)) is None
        has_session = (
            (user is not None and to.resource in user.sessions)
            or to.resource in resources_in(values.get(locations_key(to.bare)))
            # Only its own node knows the sessions of an anonymous address.
            or (anonymous and user is None)
        )
        if not _may_deliver(stanza, to, has_session):
            return None
        if not is_archived(stanza) or anonymous:
            self._deliver_unarchived(session, stanza, to, has_account=not anonymous)
        elif self._is_stranger_possible(session, stanza, to) and not self._acquaintances.knows(
            to.bare, session.jid.bare, *(values.get(k) for k in self._acquaintances.keys(to.bare))
        ):
            return self._archive_of_stranger(session, stanza, to)
        else:
            self._archive(session, stanza, to)
        return None

    async def _archive_of_stranger(self, session: XmppSession, stanza: Element, to: Jid) -> None:
        """`_archive`, if strangers have not used their share of the archive; else deliver the
        message to connected sessions only.

        Raises:
            StanzaError: the share is used, and no session receives the message.
        """
        size, guest = len(stanza.xml()), session.user.anonymous
        if await self._shares.take(to.bare, session.jid.bare, size, guest=guest):
            self._archive(session, stanza, to, stranger=True)
            return
        await session.appended()
        try:
            self._deliver_unarchived(session, stanza, to, has_account=False)
        except StanzaError:
            text = "The account has no room for more messages from unknown senders."
            raise StanzaError("resource-constraint", text) from None

    def _check_unserved(self, stanza: Element, to: Jid) -> None:
        """Refuse a message to a domain, or to an unserved one; an error message is dropped."""
        if stanza.get("type") == "error":
            return
        if to.domain in self._domains or to.domain in self._services:
            raise StanzaError("service-unavailable", "This address accepts no messages.")
        raise StanzaError(
            "remote-server-not-found", "This server does not federate with other servers."
        )

    def _archive(
        self, session: XmppSession, stanza: Element, to: Jid, *, stranger: bool = False
    ) -> None:
        """Append a message to the archives of both sides, which deliver it."""
        sender = session.jid
        retention = self._retention
        received, draft = self._received(session, stanza, to, stranger=stranger)
        appends = [Append(archive_channel(to.bare), draft, retention)]
        if not session.user.anonymous and sender.bare != to.bare:
            data, copied, kind = received.stanza, received.copied, received.kind
            sent = ArchivedMessage(data, True, copied, kind, to.bare, sender.resource).draft()
            appends.append(Append(archive_channel(sender.bare), sent, retention))
        session.begin_append()
        self._record_peer(session, stanza, to)

        def appended(outcomes: list[Outcome]) -> None:
            outcome = outcomes[0]
            if not isinstance(outcome, Appended):
                why = outcome.public if isinstance(outcome, StoreError) else str(outcome)
                error = StanzaError("internal-server-error", why, type="wait")
                session.refuse(stanza, error)
            ended = partial(self._after, to.bare, outcome, session.end_append)
            if len(outcomes) > 1 and len(session.user.sessions) > 1:  # They get copies.
                ended = partial(self._after, sender.bare, outcomes[1], ended)
            ended()

        self._hub.publish(appends, appended)

    def _after(self, bare: str, outcome: Outcome, do: Callable[[], None]) -> None:
        """Call `do` when this node's sessions of an account have the message that was appended to
        its archive: the store's reply may arrive before the archive's event."""
        user = self._users.get(bare)
        if isinstance(outcome, Appended) and user is not None and user.subscription is not None:
            user.subscription.after(outcome.position, do)
        else:
            do()

    def _received(
        self, session: XmppSession, stanza: Element, to: Jid, *, stranger: bool = False
    ) -> tuple[ArchivedMessage, Draft]:
        """A message for its receiver's archive.

        Raises:
            StanzaError: the message is too large.
        """
        data = with_recipient(stanza, to).xml().encode()
        copied, kind = is_copied(stanza), type_of(stanza)
        message = ArchivedMessage(data, False, copied, kind, session.jid.bare, to.resource)
        message.stranger = stranger
        try:
            return message, message.draft()
        except DraftError:
            raise StanzaError("policy-violation", "The message is too large.") from None

    def _record_peer(self, session: XmppSession, stanza: Element, to: Jid) -> None:
        """An account knows the addresses that its user writes to. A receipt is no text of the
        user: clients send it automatically."""
        user = session.user
        if user.anonymous or to.bare in user.known_peers or not is_written(stanza):
            return
        if len(user.known_peers) >= MAX_KNOWN_PEERS:
            user.known_peers.clear()
        user.known_peers.add(to.bare)
        self._spawn(self._save_peer(user, to.bare))

    async def _save_peer(self, user: LocalUser, peer: str) -> None:
        try:
            await self._acquaintances.record(user.jid.bare, peer)
        except StoreError:
            user.known_peers.discard(peer)  # The next message tries again.
            raise

    def _deliver_unarchived(
        self, session: XmppSession, stanza: Element, to: Jid, *, has_account: bool
    ) -> None:
        """Deliver a message to the connected sessions only.

        Raises:
            StanzaError: the message would be archived for an account, this address has none, and no
                session receives the message.
        """
        kind = type_of(stanza)
        payload = with_recipient(stanza, to).xml().encode()
        copied = is_copied(stanza)
        message = ArchivedMessage(payload, False, copied, kind, session.jid.bare, to.resource)
        must_arrive = not has_account and is_archived(stanza)
        if not self._cluster.send_message(to, message, fails=must_arrive) and must_arrive:
            raise StanzaError("service-unavailable", "No session of this address accepts messages.")
        if copied and len(session.user.sessions) > 1 and session.jid.bare != to.bare:
            outgoing = ArchivedMessage(payload, True, copied, kind, to.bare, session.jid.resource)
            session.user.copy("sent", payload, outgoing)


def _may_deliver(stanza: Element, to: Jid, has_session: bool) -> bool:
    """Whether a message may be delivered to an account (RFC 6121 §8.5). `has_session`: the account
    has a session of the address's resource. False: the message is dropped.

    Raises:
        StanzaError: the sender gets an error, since there is no such session.
    """
    if to.resource and has_session:
        return True
    match type_of(stanza):
        case "error":
            return False
        case "groupchat":
            # Only the full address of a room's occupant receives such messages.
            raise StanzaError("service-unavailable", "There is no such room.")
        case "headline" if to.resource:
            return False
        case "normal" if to.resource:
            raise StanzaError("service-unavailable", "There is no such session.")
    return True
