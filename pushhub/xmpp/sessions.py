"""All BOSH sessions: who has which, and what happens to a request."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import structlog

from pushhub.bosh.body import terminate
from pushhub.bosh.condition import Condition
from pushhub.bosh.session import Session
from pushhub.bosh.terms import DEFAULT_CONTENT, Policy
from pushhub.protocol.address import counted_as
from pushhub.store.base import StoreError
from pushhub.xmpp.carrier import Carrier
from pushhub.xmpp.forwarding import Forwarding
from pushhub.xmpp.moved import MAX_STATE_BYTES, Moved
from pushhub.xmpp.stanza import StreamError
from pushhub.xmpp.sweep import Sweep

if TYPE_CHECKING:
    from pushhub.bosh.body import Body
    from pushhub.bosh.sessions import Caller
    from pushhub.hub.wheel import Wheel
    from pushhub.xmpp.server import Server

log = structlog.get_logger(__name__)

# 128 random bits, which nobody guesses [D1] [O5].
SID_BYTES = 16

# How long a drain waits for sessions that are in the middle of something, such as a message on its
# way into the store: a store that takes longer is as good as gone.
HAND_OVER_SECONDS = 5.0
# So many are written at a time: their clients come back at once, and wait for no more than these.
# Fewer, if their states together are larger than this: they are in memory twice.
HAND_OVER_AT_ONCE = 100
HAND_OVER_BYTES = 32 * 1024 * 1024
# When a session that is busy is asked again.
BUSY_SECONDS = 0.005


class BoshSessions:
    """The sessions of one process; see `bosh.sessions.Sessions`."""

    def __init__(self, server: Server) -> None:
        settings = server.settings
        self.server = server
        self.policy = Policy(
            wait=settings.max_wait,
            inactivity=settings.bosh_inactivity,
            maxpause=settings.bosh_maxpause,
            polling=settings.bosh_polling,
        )
        self.carriers: dict[str, Carrier] = {}
        self.throttle = Throttle(settings.bosh_rate)
        # Requests that wait for their answer.
        self._held: dict[Caller, Carrier] = {}
        self._leaving = False
        # What is being handed over; until that is done no other node can take it up.
        self.moving: dict[str, asyncio.Future[None]] = {}
        self.moved = Moved(server.registers)
        self.forwarding = Forwarding(self)
        self.sweep = Sweep(server, self.moved)

    @property
    def wheel(self) -> Wheel:
        """Where deadlines are."""
        return self.server.hub.wheel

    def now(self) -> float:
        """The hub's clock, in seconds."""
        return self.server.hub.now()

    def open(self, body: Body, raw: bytes, caller: Caller) -> None:
        """Begin a session.

        Raises:
            BindingError: why not.
        """
        if self._leaving:
            raise body.refused("This server is on its way out.", Condition.SYSTEM_SHUTDOWN)
        if not self.throttle.admits(caller.client, self.now()):
            raise body.refused("Too many sessions begin here.", Condition.POLICY_VIOLATION)
        if len(self.carriers) >= self.server.settings.bosh_sessions:
            raise body.refused("There is no room for more.", Condition.POLICY_VIOLATION)
        sid = self.server.nodes.mark(self._draw())
        session, actions = Session.create(sid, body, raw, self.policy, self.now(), caller)
        carrier = Carrier(self, session)
        carrier.client = caller.client
        stream = self.server.stream((body.get("to") or "").strip(), carrier)
        if stream is None:
            raise body.refused("'to' names no domain of this server.", Condition.HOST_UNKNOWN)
        carrier.stream = stream
        self.carriers[sid] = carrier
        self._held[caller] = carrier
        stream.open()
        carrier.do(actions)

    def request(self, body: Body, raw: bytes, caller: Caller) -> None:
        """Take a request of a session."""
        carrier = self.carriers.get(body.sid)
        if carrier is not None:
            self._held[caller] = carrier
            carrier.request(body, raw, caller)
        else:
            self._elsewhere(body, raw, caller)

    def _elsewhere(self, body: Body, raw: bytes, caller: Caller) -> None:
        """A request of a session that is not here."""
        if self._leaving:
            # A client sends the same request again, on another connection, to another node.
            caller.answer(b"", 503, DEFAULT_CONTENT)
        elif self.server.nodes.shared:
            self.forwarding.send(body, raw, caller)
        else:
            caller.answer(terminate(Condition.ITEM_NOT_FOUND), 200, DEFAULT_CONTENT)

    def gone(self, caller: Caller) -> None:
        """A request's client has gone."""
        carrier = self._held.pop(caller, None)
        if carrier is not None:
            carrier.gone(caller)
        elif self.server.nodes.shared:
            self.forwarding.gone(caller)

    def answered(self, caller: Caller) -> None:
        """A request is about to be answered."""
        self._held.pop(caller, None)

    def ended(self, carrier: Carrier) -> None:
        """A session is over."""
        sid = carrier.session.sid
        if self.carriers.pop(sid, None) is not None and self.server.nodes.of(sid) is not None:
            # It was taken up, and others found it through this.
            self.server.spawn(self.moved.forget(sid))

    async def begin(self) -> None:
        """Begin, on a hub that is open.

        Raises:
            StoreError: the store cannot be used now.
        """
        await self.server.open()
        self.sweep.begin()

    async def close(self) -> None:
        """Hand every session over to whichever node has its client's next request; end it where
        there is no other.
        """
        if self._leaving:
            return
        self._leaving = True
        self.sweep.close()
        if self.server.nodes.shared:
            await self.server.settle()
            await self._hand_over()
        for carrier in list(self.carriers.values()):
            carrier.stream.fail(StreamError("system-shutdown"))
        self.forwarding.close()
        await self.server.close()

    async def _hand_over(self) -> None:
        """In parts: who is answered comes back at once, and must not wait for all the others. A
        session in the middle of something gets its turn when that is done."""
        end = self.now() + HAND_OVER_SECONDS
        noted: set[str] = set()
        while self.carriers and self.now() < end:
            moved = size = 0
            part = list(self.carriers.items())[:HAND_OVER_AT_ONCE]
            new = [sid for sid, _ in part if sid not in noted]
            try:
                if new:
                    await self.sweep.note(new)
                    noted.update(new)
            except StoreError as error:
                self.server.hub.log.warning(log, "bosh.lost", error=str(error))
                return
            for sid, carrier in part:
                if carrier.session.ended or size > HAND_OVER_BYTES:
                    continue
                state = carrier.release()
                if state is not None and len(state) <= MAX_STATE_BYTES:
                    moved += 1
                    size += len(state)
                    self.moving[sid] = asyncio.ensure_future(self._move(sid, state))
                    del self.carriers[sid]
                    carrier.stream.abandon()
                else:
                    # It is asked again after the others.
                    self.carriers[sid] = self.carriers.pop(sid)
            if self.moving:
                await asyncio.wait(list(self.moving.values()))
                self.moving.clear()
            if not moved:
                await asyncio.sleep(BUSY_SECONDS)

    async def _move(self, sid: str, state: bytes) -> None:
        try:
            await self.moved.leave(sid, state, self.server.draw_id())
        except StoreError as error:
            self.server.hub.log.warning(log, "bosh.lost", error=str(error))

    async def adopt(self, state: Any) -> None:
        """Take up a session that another node has handed over.

        Raises:
            StoreError: the store cannot be used now.
        """
        session = Session.load(state["bosh"], self.now())
        carrier = Carrier(self, session)
        stream = self.server.stream(state["stream"]["domain"], carrier)
        if stream is None:
            return  # The settings of the nodes differ.
        carrier.stream = stream
        self.carriers[session.sid] = carrier
        try:
            await stream.load(state["stream"])
        except StoreError:
            del self.carriers[session.sid]
            raise
        carrier.flush()

    def _draw(self) -> str:
        return urlsafe_b64encode(self.server.random_bytes(SID_BYTES)).decode().rstrip("=")

    def __len__(self) -> int:
        return len(self.carriers)

    def __repr__(self) -> str:
        return f"<BoshSessions {len(self.carriers)} sessions, {len(self._held)} requests>"


class Throttle:
    """How many sessions one address, of IPv6 one network, may begin: `rate` a second, and ten times
    as many at once.

    An address counts as long as its bucket is not full again, so only those are remembered.
    """

    __slots__ = ("_buckets", "_rate")

    # Beyond this many addresses at a time the oldest are forgotten: 16 MiB.
    MOST = 100_000

    def __init__(self, rate: float) -> None:
        self._rate = rate
        # Address → how much is left, and as of when.
        self._buckets: dict[str, tuple[float, float]] = {}

    def admits(self, address: str, now: float) -> bool:
        """Whether one more may begin now."""
        address, most = counted_as(address), self._rate * 10
        left, since = self._buckets.pop(address, (most, now))
        left = min(most, left + (now - since) * self._rate)
        admitted = left >= 1
        self._buckets[address] = (left - 1 if admitted else left, now)
        while self._buckets:
            oldest = next(iter(self._buckets))
            rest, at = self._buckets[oldest]
            full = rest + (now - at) * self._rate >= most
            if not full and len(self._buckets) <= self.MOST:
                break
            del self._buckets[oldest]
        return admitted
