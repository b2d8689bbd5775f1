"""Resource binding: it creates, resumes and ends the sessions of streams."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from pushhub.log.cursor import parse_cursor
from pushhub.store.base import StoreError
from pushhub.xmpp.cluster.serialize import dump_session, load_session
from pushhub.xmpp.model.jid import Jid, parse_jid
from pushhub.xmpp.model.stanza import StanzaError, StreamError, failure, may_fail
from pushhub.xmpp.routing.session import XmppSession
from pushhub.xmpp.storage.archive import archive_position
from pushhub.xmpp.storage.offline import copies_between, messages_between

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from pushhub.xml import Element
    from pushhub.xmpp.cluster.directory import SessionDirectory
    from pushhub.xmpp.cluster.membership import Membership
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.routing.cluster import Cluster
    from pushhub.xmpp.routing.local_users import LocalUsers
    from pushhub.xmpp.routing.presence import PresenceRouter
    from pushhub.xmpp.routing.session import ClientStream
    from pushhub.xmpp.sasl import SaslIdentity
    from pushhub.xmpp.xep.pubsub.subscribers import Subscribers

# After a session's end its contacts and the directory are told; while the store is away, again
# after pauses that double. Redis Sentinel promotes a replica within seconds, an operator mends a
# full disk within minutes. Each waiting step holds a session's address and presence, and while the
# store is away no new sessions begin.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
INSIST_SECONDS = 3600.0


class SessionBinder:
    """Binds resources to streams."""

    def __init__(
        self,
        context: Context,
        users: LocalUsers,
        cluster: Cluster,
        membership: Membership,
        directory: SessionDirectory,
        presence: PresenceRouter,
        subscribers: Subscribers,
    ) -> None:
        self._context = context
        self._users = users
        self._cluster = cluster
        self._membership = membership
        self._directory = directory
        self._presence = presence
        self._subscribers = subscribers
        self._closing = asyncio.Event()
        membership.on_message("conflict", self._receive_conflict)

    async def bind(
        self, stream: ClientStream, identity: SaslIdentity, domain: str, resource: str
    ) -> XmppSession:
        """Bind a resource, a random one for "". The session that has the resource ends with a
        conflict (RFC 6120 §7.7.2.2).

        Raises:
            StanzaError: the account has as many sessions as it may have.
            StoreError: the store is unavailable.
        """
        local = identity.local
        if identity.anonymous:
            local = self._membership.tag(local)
        jid = Jid(local, domain, resource or self._context.new_id())
        user = self._users.get_or_add(jid, anonymous=identity.anonymous)
        old = user.sessions.get(jid.resource)
        limit = self._context.policy.xmpp_resources
        if old is None and len(user.sessions) >= limit:
            text = f"An account has at limit {limit} sessions."
            raise StanzaError("resource-constraint", text)
        session = XmppSession(stream, user, jid, identity)
        user.sessions[jid.resource] = session
        if old is not None:
            old.stream.fail(_conflict())
        try:
            await self._users.wait_closed(jid.bare)
            await user.open()
            session.begin_receiving()
            await self._directory.add(session)
            await self._subscribers.add_session(session)
        except StoreError:
            self._abandon(session)
            raise
        return session

    def close(self) -> None:
        """The node leaves: nothing waits for a store that is away."""
        self._closing.set()

    def held_bytes(self, session: XmppSession) -> int:
        """About how many bytes a session holds: its presence, and its subscriptions."""
        return session.held_bytes + self._subscribers.held_bytes(session)

    def dump(self, session: XmppSession) -> dict[str, Any]:
        """A session as JSON, for its migration."""
        return dump_session(session, self._subscribers.positions(session.jid.text))

    async def resume(
        self, stream: ClientStream, identity: SaslIdentity, record: Any
    ) -> XmppSession:
        """Resume a session that another node dumped.

        Raises:
            StoreError: the store is unavailable.
        """
        jid = parse_jid(record["jid"])
        user = self._users.get_or_add(jid, anonymous=identity.anonymous)
        session = load_session(stream, user, jid, identity, record)
        user.sessions[jid.resource] = session
        state = user.state
        # The account's other sessions here received every message up to here during the migration.
        upto = state.position.offset if state.caught_up and state.position is not None else None
        held_back = user.hold_back()
        arrival = user.join(session) if session.receives_messages else None
        has_copies_upto = session.migrated_upto
        try:
            await self._users.wait_closed(jid.bare)
            await user.open()
            position, direct = record.get("position"), record.get("direct", ())
            state.advance(None if position is None else parse_cursor(position), direct)
            session.update_received()
            await self._directory.add(session, migrated=True)
            await self._subscribers.add_session(session)
            for channel, at in record["feeds"].items():
                await self._subscribers.subscribe(user, jid.text, channel, parse_cursor(at))
            if session.receives_messages:
                if arrival is not None and not held_back and (flushed := await arrival) is not None:
                    # Another session gets these from the archive, and this one lacks them, too.
                    upto = flushed.offset
                elif upto is None and state.position is not None:
                    # By the account's marker, a session on another node received these.
                    upto = state.position.offset
                store, whom = self._context.hub.store, (jid.bare, jid.resource)
                since = record["at"]
                async for payload in messages_between(store, whom, since, upto or 0, set(direct)):
                    session.write(payload)
                is_first = held_back
                # The others come as messages, although they are for other sessions.
                only = {*state.direct, *direct} if is_first else None
                await user.catch_up(session, held_back=held_back)
                held_back = False
                if is_first and arrival is not None and (flushed := await arrival) is not None:
                    upto = flushed.offset
                if session.carbons and has_copies_upto is not None:
                    since = has_copies_upto.offset
                    async for payload in copies_between(store, whom, since, upto or 0, only):
                        session.write(payload)
        except StoreError:
            self._abandon(session)
            raise
        finally:
            if held_back:
                user.release()
        return session

    def suspend(self, session: XmppSession) -> None:
        """Remove a session that migrates: its contacts are not notified, since it does not end."""
        self._users.remove_session(session)
        self._subscribers.remove_session(session)
        if not session.user.sessions:
            self._context.spawn(self._users.save_closed(session.user))

    def _abandon(self, session: XmppSession) -> None:
        """Remove a session that could not be opened. Another one may have its resource by now."""
        if session.is_connected:
            self.suspend(session)

    def unbind(
        self,
        session: XmppSession,
        undelivered: Sequence[Element] = (),
        unconfirmed: Sequence[Element] = (),
    ) -> None:
        """End a session with its stream. The client did not receive the `undelivered` elements, and
        may not have received the `unconfirmed` ones."""
        user = session.user
        if session.is_connected:
            self._users.remove_session(session)
        self._subscribers.remove_session(session)
        user.lose((*unconfirmed, *undelivered))
        farewell = self._presence.farewell(session)
        spawn = self._context.spawn
        if not user.sessions:
            spawn(self._users.save_closed(user))
        # A contact that is not told sees a client that has left. A directory that still names the
        # session makes another node leave messages to it, which it never gets.
        spawn(self._insist(partial(self._presence.send_farewell, farewell)))
        spawn(self._insist(partial(self._directory.remove, session)))
        if undelivered:
            spawn(self._bounce_all(session, undelivered))

    async def _insist(self, step: Callable[[], Coroutine[None, None, None]]) -> None:
        """Do a step of a session's end, while the store is away again and again. When the node
        leaves, others find that it does not live."""
        end, pause = self._context.hub.now() + INSIST_SECONDS, FIRST_PAUSE
        while True:
            try:
                await step()
                return
            except StoreError:
                if self._closing.is_set() or self._context.hub.now() > end:
                    raise
            with suppress(TimeoutError):
                seconds = self._context.hub.uniform(pause / 2, pause)
                await asyncio.wait_for(self._closing.wait(), seconds)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _bounce_all(self, session: XmppSession, undelivered: Sequence[Element]) -> None:
        for stanza in undelivered:
            await self._bounce(session, stanza)

    async def _bounce(self, session: XmppSession, stanza: Element) -> None:
        """Return the error of a stanza to its sender (XEP-0206 §12): the client is disconnected. An
        archived message is not lost and will be delivered again."""
        if stanza.name == "presence" or not may_fail(stanza):
            return
        sender, bare = stanza.get("from"), session.jid.bare
        if sender is None or archive_position(stanza, bare) is not None:
            return
        to = parse_jid(sender)
        if to.bare != bare and to.resource and to.domain not in self._context.services:
            kind = "service-unavailable" if stanza.name == "iq" else "recipient-unavailable"
            await self._cluster.send_stanza(to, failure(stanza, StanzaError(kind)))

    def _receive_conflict(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        """End a session: a client of another node has bound its resource."""
        jid = parse_jid(header["jid"])
        user = self._users.by_jid.get(jid.bare)
        session = user.sessions.get(jid.resource) if user is not None else None
        if session is not None:
            session.stream.fail(_conflict())


def _conflict() -> StreamError:
    return StreamError("conflict", "Another client has bound this resource.")
