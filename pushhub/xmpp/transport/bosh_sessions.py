"""All BOSH sessions of this node: each request goes to its session, or to the session's node."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import structlog

from pushhub.auth.rate_limit import MAX_ADDRESSES, Rate, RateLimit
from pushhub.bosh.body import terminate
from pushhub.bosh.condition import BoshCondition
from pushhub.bosh.negotiation import DEFAULT_CONTENT, BoshPolicy
from pushhub.bosh.session import BoshSession
from pushhub.store.base import StoreError
from pushhub.xmpp.cluster.migration import MAX_STATE_BYTES
from pushhub.xmpp.model.stanza import StreamError
from pushhub.xmpp.transport.bosh_transport import BoshTransport
from pushhub.xmpp.transport.returned_sessions import ReturnedSessions
from pushhub.xmpp.transport.session_memory import SessionMemory
from pushhub.xmpp.transport.stream import open_stream

if TYPE_CHECKING:
    from pushhub.auth.caller import Callers
    from pushhub.bosh.body import BoshBody
    from pushhub.bosh.sessions import PendingRequest
    from pushhub.hub.wheel import Wheel
    from pushhub.xmpp.cluster.forwarding import Forwarding
    from pushhub.xmpp.cluster.gc import GarbageCollector
    from pushhub.xmpp.cluster.membership import Membership
    from pushhub.xmpp.cluster.migration import Migration
    from pushhub.xmpp.context import Context
    from pushhub.xmpp.transport.services import StreamServices

log = structlog.get_logger(__name__)

# 128 random bits are unpredictable [D1] [O5].
SID_BYTES = 16

# How long a drain waits for busy sessions, such as one with a message on its way into the store: a
# store that takes longer counts as unavailable.
MIGRATE_SECONDS = 5.0
# So many sessions are written at a time: their clients return immediately, and wait for no more
# than these. Fewer, if their states together are larger than this: they are in memory twice.
CONCURRENT_MIGRATIONS = 100
MIGRATE_BYTES = 32 * 1024 * 1024
# After so long a busy session gets another try.
BUSY_SECONDS = 0.005


class BoshSessions:
    """The BOSH sessions of one node; see `bosh.sessions.BoshEndpoint`."""

    def __init__(
        self,
        context: Context,
        services: StreamServices,
        membership: Membership,
        migration: Migration,
        forwarding: Forwarding,
        gc: GarbageCollector,
    ) -> None:
        policy = context.policy
        self._context = context
        self._services = services
        self._membership = membership
        self._migration = migration
        self._forwarding = forwarding
        self._gc = gc
        self.policy = BoshPolicy(
            wait=policy.max_wait,
            inactivity=policy.bosh_inactivity,
            maxpause=policy.bosh_maxpause,
            polling=policy.bosh_polling,
        )
        self.transports: dict[str, BoshTransport] = {}
        # Ten times the rate at once: a class of pupils behind one address.
        self.limit = RateLimit(
            Rate.per_second(policy.bosh_rate, 10 * policy.bosh_rate), MAX_ADDRESSES
        )
        self.memory = SessionMemory(policy.bosh_session_bytes, policy.bosh_total_bytes)
        # Requests without a response yet.
        self._held: dict[PendingRequest, BoshTransport] = {}
        self.closing = False
        # The limits by address, set by the application, and the networks of counted sessions.
        self.callers: Callers | None = None
        self._networks: dict[str, str] = {}
        # Sessions that are leaving; until that is complete no other node can take them. And
        # sessions that are arriving; until that is complete they get no requests.
        self._departures: dict[str, asyncio.Future[None]] = {}
        self._returned = ReturnedSessions(context, membership, migration, self.memory)
        forwarding.sessions = self

    @property
    def wheel(self) -> Wheel:
        """The wheel of the deadlines."""
        return self._context.hub.wheel

    def now(self) -> float:
        """The hub's clock, in seconds."""
        return self._context.hub.now()

    # Requests

    def create(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        """Create a session.

        Raises:
            BindingError: the session is refused.
        """
        if self.closing:
            raise body.refused("This server is shutting down.", BoshCondition.SYSTEM_SHUTDOWN)
        network = self._context.counted_network(request.client)
        if network and not self.limit.admit(network, self.now()).allowed:
            raise body.refused(
                "This address begins sessions too often.", BoshCondition.POLICY_VIOLATION
            )
        if len(self.transports) >= self._context.policy.bosh_sessions:
            raise body.refused(
                "The server has its largest number of sessions.", BoshCondition.POLICY_VIOLATION
            )
        if self.memory.is_full:
            raise body.refused(
                "The server's sessions hold as many bytes as they may.",
                BoshCondition.POLICY_VIOLATION,
            )
        sid = self._membership.tag(self._draw_sid())
        session, actions = BoshSession.create(sid, body, raw, self.policy, self.now(), request)
        transport = BoshTransport(self, session)
        transport.client, transport.secure = request.client, request.secure
        stream = open_stream(self._services, (body.get("to") or "").strip(), transport)
        if stream is None:
            raise body.refused("'to' names no domain of this server.", BoshCondition.HOST_UNKNOWN)
        self._count(body, sid, request.client)
        transport.stream = stream
        self.transports[sid] = transport
        self._held[request] = transport
        stream.open()
        transport.perform(actions)

    def _count(self, body: BoshBody, sid: str, client: str) -> None:
        callers = self.callers
        if callers is None or not (network := callers.network(client)):
            return
        if callers.limits.acquire("address-sessions", network) is not None:
            raise body.refused(
                "This address has its largest number of sessions.", BoshCondition.POLICY_VIOLATION
            )
        self._networks[sid] = network

    def _release_count(self, sid: str) -> None:
        network = self._networks.pop(sid, None)
        if network is not None and self.callers is not None:
            self.callers.limits.release("address-sessions", network)

    def request(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        """Handle a request of a session."""
        transport = self.transports.get(body.sid)
        if transport is not None:
            self._held[request] = transport
            transport.request(body, raw, request)
        else:
            self._forward(body, raw, request)

    def _forward(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        """Handle a request whose session is not here."""
        if self.closing:
            # The client sends the request again, on another connection, to another node.
            request.respond(b"", 503, DEFAULT_CONTENT)
        elif self._membership.shared:
            self._forwarding.send(body, raw, request)
        else:
            request.respond(terminate(BoshCondition.ITEM_NOT_FOUND), 200, DEFAULT_CONTENT)

    def disconnected(self, request: PendingRequest) -> None:
        """The client of a request disconnected."""
        transport = self._held.pop(request, None)
        if transport is not None:
            transport.disconnected(request)
        elif self._membership.shared:
            self._forwarding.disconnected(request)

    def hurry(self, request: PendingRequest) -> None:
        """Respond to a request now, and to those of its session before it."""
        transport = self._held.get(request)
        if transport is not None:
            transport.hurry()

    def responded(self, request: PendingRequest) -> None:
        """A request is about to get its response."""
        self._held.pop(request, None)

    def ended(self, transport: BoshTransport) -> None:
        """A session has ended."""
        sid = transport.session.sid
        self._release_count(sid)
        is_migrated = self._membership.node_of(sid) is not None
        if self.transports.pop(sid, None) is not None and is_migrated:
            # Other nodes found the migrated session by its record.
            self._context.spawn(self._migration.forget(sid))

    # Migration

    def has(self, sid: str) -> bool:
        """Whether this node has the session."""
        return sid in self.transports

    def departure(self, sid: str) -> asyncio.Future[None] | None:
        """The migration of a session that is leaving this node, or arriving; None for any other
        session."""
        return self._departures.get(sid)

    def is_returned(self, sid: str) -> bool:
        """Whether this node could not resume the session, and is about to store it again."""
        return sid in self._returned

    async def migrate_all(self) -> None:
        """Write all sessions to the store, in parts: a client whose request gets its response
        returns immediately, and must not wait for all the others. A busy session follows when it is
        idle."""
        end = self.now() + MIGRATE_SECONDS
        recorded: set[str] = set()
        self._returned.closing = True
        await self._forwarding.release()
        while (self.transports or self._departures or self._returned) and self.now() < end:
            part = list(self.transports.items())[:CONCURRENT_MIGRATIONS]
            new = [sid for sid, _ in part if sid not in recorded]
            try:
                if new:
                    await self._gc.record_departures(new)
                    recorded.update(new)
            except StoreError as error:
                self._context.hub.log.warning(log, "bosh.lost", error=str(error))
                return
            migrated = self._release(part)
            if departures := dict(self._departures):
                await asyncio.wait(list(departures.values()))
                for sid in departures:
                    self._departures.pop(sid, None)
            if not migrated:
                await asyncio.sleep(BUSY_SECONDS)

    def _release(self, part: list[tuple[str, BoshTransport]]) -> int:
        """Release the idle sessions of a part, and start to write them; return how many."""
        migrated = size = 0
        for sid, transport in part:
            if transport.session.ended or size > MIGRATE_BYTES:
                continue
            state = transport.release()
            if state is not None and len(state) <= MAX_STATE_BYTES:
                migrated += 1
                size += len(state)
                self._departures[sid] = asyncio.ensure_future(self._leave(sid, state))
                del self.transports[sid]
                self._release_count(sid)
                transport.stream.detach()
            else:
                # Its next try follows after the others.
                self.transports[sid] = self.transports.pop(sid)
        return migrated

    async def _leave(self, sid: str, state: bytes) -> None:
        try:
            await self._migration.leave(sid, state, self._context.new_id())
        except StoreError as error:
            self._context.hub.log.warning(log, "bosh.lost", error=str(error))

    async def adopt(self, state: Any) -> None:
        """Resume a session that left another node.

        Raises:
            StoreError: the store is unavailable.
        """
        session = BoshSession.load(state["bosh"], self.now())
        sid, transport = session.sid, BoshTransport(self, session)
        stream = open_stream(self._services, state["stream"]["domain"], transport)
        if stream is None:
            return  # The nodes have different settings.
        transport.stream = stream
        arrival = self._departures[sid] = asyncio.get_running_loop().create_future()
        try:
            await stream.load(state["stream"])
        except StoreError:
            transport.abandon()
            self._returned.add(sid, state, session.deadline)
            raise
        except BaseException:
            # No node can resume this state.
            transport.abandon()
            self._context.spawn(self._migration.forget(sid))
            raise
        finally:
            self._departures.pop(sid, None)
            arrival.set_result(None)
        if session.ended:
            self._context.spawn(self._migration.forget(sid))
            return
        self.transports[sid] = transport
        transport.flush()
        # Its credential may have been revoked meanwhile.
        stream.end_by_grant()

    def end_by_grants(self) -> None:
        """End the sessions whose grants have ended: credentials were revoked."""
        for transport in list(self.transports.values()):
            transport.stream.end_by_grant()

    def close(self) -> None:
        """End all sessions that are left."""
        for transport in list(self.transports.values()):
            transport.stream.fail(StreamError("system-shutdown"))
        self._forwarding.close()

    def _draw_sid(self) -> str:
        return urlsafe_b64encode(self._context.random_bytes(SID_BYTES)).decode().rstrip("=")

    def __len__(self) -> int:
        return len(self.transports)

    def __repr__(self) -> str:
        return f"<BoshSessions {len(self.transports)} sessions, {len(self._held)} requests>"
