"""The composition root of the XMPP server: all parts are built here, and only here."""

from __future__ import annotations

import pyexpat
import secrets
from typing import TYPE_CHECKING

import structlog

from pushhub.auth.audit import AuditLog
from pushhub.http.client_address import counted_network
from pushhub.http.forwarded import TrustedProxies
from pushhub.xml import SAFE_EXPAT
from pushhub.xmpp.cluster.directory import SessionDirectory
from pushhub.xmpp.cluster.forwarding import Forwarding
from pushhub.xmpp.cluster.gc import GarbageCollector
from pushhub.xmpp.cluster.membership import Membership
from pushhub.xmpp.cluster.migration import Migration
from pushhub.xmpp.cluster.router import ClusterRouter
from pushhub.xmpp.context import Context, pubsub_service
from pushhub.xmpp.routing.iq import IqRouter
from pushhub.xmpp.routing.local_users import LocalUsers
from pushhub.xmpp.routing.messages import MessageRouter
from pushhub.xmpp.routing.presence import PresenceRouter
from pushhub.xmpp.routing.router import StanzaRouter
from pushhub.xmpp.routing.stanza_rates import StanzaRates
from pushhub.xmpp.sasl.login import SaslLogin
from pushhub.xmpp.storage.accounts import Accounts
from pushhub.xmpp.storage.key_value import KeyValueStore
from pushhub.xmpp.storage.roster import Rosters
from pushhub.xmpp.tasks import BackgroundTasks
from pushhub.xmpp.transport.binding import SessionBinder
from pushhub.xmpp.transport.bosh_sessions import BoshSessions
from pushhub.xmpp.transport.services import StreamServices
from pushhub.xmpp.transport.stream import open_stream
from pushhub.xmpp.xep import extensions
from pushhub.xmpp.xep.disco import caps_version
from pushhub.xmpp.xep.pubsub.subscribers import Subscribers

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.auth.jwks import Jwks
    from pushhub.auth.revocation import Revocations
    from pushhub.hub.hub import Hub
    from pushhub.xmpp.model.policy import XmppPolicy
    from pushhub.xmpp.transport.services import StreamTransport
    from pushhub.xmpp.transport.stream import XmppStream

log = structlog.get_logger(__name__)


class XmppServer:
    """The XMPP server of one process: it serves the domains of the settings, on one hub.

    Args:
        audit: records management actions; by default the logger `pushhub.audit` gets them.
        random_bytes: returns that many unpredictable bytes.
        revocations: the revoked tokens.
        jwks: the keys of an identity provider, if one is configured.
        proxies: the trusted proxies; by default those of the settings.
    """

    def __init__(
        self,
        hub: Hub,
        policy: XmppPolicy,
        audit: AuditLog | None = None,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        revocations: Revocations | None = None,
        jwks: Jwks | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self.hub = hub
        self.kv = KeyValueStore(hub)
        self.tasks = BackgroundTasks(hub.log)
        local = ("localhost",) if policy.dev and not policy.xmpp_domains else ()
        domains = frozenset((*policy.xmpp_domains, *local))
        proxies = proxies or TrustedProxies(policy.trusted_proxies)
        context = self.context = Context(
            hub=hub,
            kv=self.kv,
            policy=policy,
            domains=domains,
            services=frozenset(map(pubsub_service, domains)),
            retention=policy.retentions(),
            random_bytes=random_bytes,
            audit=audit or AuditLog(hub.clock, random_bytes, ""),
            counted_network=lambda client: counted_network(client, proxies),
            spawn=self.tasks.spawn,
        )
        self.accounts = Accounts(self.kv, random_bytes)
        self.login = SaslLogin(
            policy,
            self.accounts,
            self.kv,
            now=lambda: hub.now(),
            clock=hub.clock,
            random_bytes=random_bytes,
            revocations=revocations,
            jwks=jwks,
            proxies=proxies,
            audit=context.audit,
        )
        self.membership = Membership(context)
        self.users = LocalUsers(context)
        directory = SessionDirectory(self.kv, self.membership)
        cluster = ClusterRouter(context, self.users.by_jid, self.membership, directory)
        self.users.cluster = cluster
        self.rosters = Rosters(self.kv, cluster.notify, policy.xmpp_roster_items)
        self.presence = PresenceRouter(context, cluster, self.rosters)
        self.subscribers = Subscribers(context, cluster)
        extension_list = extensions(
            context, cluster, self.rosters, self.presence.subscriptions, self.subscribers
        )
        router = StanzaRouter(
            context.domains | context.services,
            StanzaRates(context),
            MessageRouter(context, cluster, self.users.by_jid),
            self.presence,
            IqRouter(context, cluster, extension_list),
        )
        binder = SessionBinder(
            context,
            self.users,
            cluster,
            self.membership,
            directory,
            self.presence,
            self.subscribers,
        )
        self.services = StreamServices(
            context, router, self.login, binder, caps_version(extension_list)
        )
        self.migration = Migration(self.kv)
        self.gc = GarbageCollector(context, self.membership, self.migration)
        self.bosh = BoshSessions(
            context,
            self.services,
            self.membership,
            self.migration,
            Forwarding(context, self.membership, self.migration),
            self.gc,
        )

    def configure(self, policy: XmppPolicy) -> None:
        """Take other settings after a reload: token keys, public channels and retention. The keys
        have been checked.
        """
        self.context.policy, self.context.retention = policy, policy.retentions()
        self.login.configure(policy)

    async def open(self) -> None:
        """Start, on an open hub.

        Raises:
            StoreError: the store is unavailable.
        """
        if pyexpat.version_info < SAFE_EXPAT:
            log.warning("xmpp.unsafe_expat", version=pyexpat.EXPAT_VERSION)
        await self.login.open()
        await self.membership.open()
        self.gc.open()

    async def close(self) -> None:
        """Migrate the BOSH sessions if there may be other nodes, end all others, and await the
        background tasks. A second call has no effect."""
        if self.bosh.closing:
            return
        self.bosh.closing = True
        self.gc.close()
        self.services.binder.close()
        if self.membership.shared:
            await self.tasks.settle()
            await self.bosh.migrate_all()
        self.bosh.close()
        self.users.close()
        await self.tasks.settle()
        await self.membership.close()
        # Errors for messages that came last.
        await self.tasks.settle()

    def stream(self, domain: str, transport: StreamTransport) -> XmppStream | None:
        """A new stream from a client to `domain`; None if this server does not serve the domain."""
        return open_stream(self.services, domain, transport)

    async def settle(self) -> None:
        """Wait until no background task is left."""
        await self.tasks.settle()

    def __repr__(self) -> str:
        domains = ", ".join(sorted(self.context.domains))
        return f"<XmppServer {domains} {len(self.users.by_jid)} accounts>"
