"""Forwarding of BOSH requests to the node that has their session, and of the responses back.

So a load balancer needs no stickiness. The state of a session whose node left is in the store; the
first node with a request for the session takes it.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from pushhub.bosh.body import parse, terminate
from pushhub.bosh.condition import BindingError, BoshCondition
from pushhub.bosh.negotiation import DEFAULT_CONTENT
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from pushhub.bosh.body import BoshBody
    from pushhub.bosh.sessions import PendingRequest
    from pushhub.xmpp.cluster.membership import Membership
    from pushhub.xmpp.cluster.migration import Migration
    from pushhub.xmpp.context import Context

# How often a node checks that the nodes with its forwarded requests are alive.
CHECK_SECONDS = 5.0

# So long a node that leaves waits for the responses to the requests that it has forwarded: two
# messages through the store, and a turn of a busy loop.
RELEASE_SECONDS = 2.0
# The numbers of requests in one message: 100 kB, below the size of an event.
MAX_NUMBERS = 10_000

# A message between nodes is one event of the store, 256 KiB. Larger bodies are compressed.
LARGE_BYTES = 100_000

# A request is forwarded again when its session has migrated meanwhile. After so many times two
# nodes forward it to each other: the record names a node that does not have the session.
MAX_SENT = 5


class LocalSessions(Protocol):
    """The BOSH sessions of this node."""

    def has(self, sid: str) -> bool:
        """Whether this node has the session."""

    def request(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        """Handle a request."""

    def disconnected(self, request: PendingRequest) -> None:
        """The client of a request disconnected."""

    def hurry(self, request: PendingRequest) -> None:
        """Respond to a request now."""

    def departure(self, sid: str) -> asyncio.Future[None] | None:
        """The migration of a session that is leaving this node, or arriving; None for any other
        session."""

    def is_returned(self, sid: str) -> bool:
        """Whether this node could not resume the session, and is about to store it again."""

    def adopt(self, state: Any) -> Coroutine[None, None, None]:
        """Resume a session that left another node."""


class ForwardedRequest:
    """A request that another node received; its response goes back there. See `PendingRequest`."""

    __slots__ = ("_forwarding", "by", "client", "number", "secure")

    def __init__(self, forwarding: Forwarding, by: str, header: Mapping[str, Any]) -> None:
        self._forwarding = forwarding
        self.by = by
        self.number: int = header["number"]
        self.client: str = header["client"]
        self.secure: bool = header["secure"]

    def respond(self, body: bytes, status: int, content: str) -> None:
        self._forwarding.respond(self.by, self.number, body, status, content)


class Forwarding:
    """The requests that this node forwarded, and those that other nodes forwarded here."""

    sessions: LocalSessions
    """Set once, by the sessions: both need each other."""

    def __init__(self, context: Context, membership: Membership, migration: Migration) -> None:
        self._context = context
        self._membership = membership
        self._migration = migration
        # Number → the request, its node, its body, and how often it was forwarded: it is forwarded
        # again if its session has migrated.
        self._sent: dict[int, tuple[PendingRequest, str, BoshBody, bytes, int]] = {}
        self._received: dict[tuple[str, int], ForwardedRequest] = {}
        # Requests with lower numbers were sent before the last check.
        self._next_number = self._checked_number = 1
        self._all_done: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Of two simultaneous requests of a session only the first takes the session.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        membership.on_message("request", self._receive_request)
        membership.on_message("answer", self._receive_response)
        membership.on_message("gone", self._receive_disconnect)
        membership.on_message("release", self._receive_release)
        membership.on_message("held?", self._receive_check)
        membership.on_message("unheld", self._receive_unheld)

    # From this node to others

    def send(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        """Forward a request to the node that has its session."""
        self._context.spawn(self._find(body, raw, request))

    async def _find(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        try:
            node = self._membership.node_of(body.sid)
            if node is not None and await self._membership.is_alive(node):
                await self._post(node, body, raw, request)
            else:
                await self._adopt(body, raw, request)
        except StoreError:
            _respond_unavailable(request)
        except BaseException:
            _respond_lost(request)
            raise

    async def _adopt(
        self, body: BoshBody, raw: bytes, request: PendingRequest, times: int = 1
    ) -> None:
        """Resume the session of a node that left, unless another node has resumed it."""
        own = self._membership.id
        lock = self._locks.setdefault(body.sid, asyncio.Lock())
        async with lock:
            if self.sessions.is_returned(body.sid):
                _respond_unavailable(request)
                return
            node = await self._owner(body.sid)
            if node not in (None, own) and not await self._membership.is_alive(node):
                # A node's sessions leave before it announces its end: between the two reads both
                # may have happened.
                node = await self._owner(body.sid)
        if node == own and self.sessions.has(body.sid):
            self.sessions.request(body, raw, request)
        elif node is not None and node != own and await self._membership.is_alive(node):
            await self._post(node, body, raw, request, times)
        else:
            _respond_lost(request)

    async def _owner(self, sid: str) -> str | None:
        """The node that has resumed a session: this one, if no node had."""
        state, node = await self._migration.take(sid, self._membership.id)
        if state is not None:
            await self.sessions.adopt(state)
        return node

    async def _post(
        self, node: str, body: BoshBody, raw: bytes, request: PendingRequest, times: int = 1
    ) -> None:
        number = self._next_number
        self._next_number += 1
        self._sent[number] = (request, node, body, raw, times)
        if self._timer is None:
            self._schedule()
        header = {"number": number, "client": request.client, "secure": request.secure}
        try:
            is_sent = await self._membership.post(node, "request", *_packed(header, raw))
        except BaseException:
            self._sent.pop(number, None)
            raise
        if not is_sent:
            self._sent.pop(number, None)
            _respond_lost(request)

    def disconnected(self, request: PendingRequest) -> bool:
        """The client of a request disconnected; return whether the request was forwarded."""
        for number, (waiting, node, *_) in self._sent.items():
            if waiting is request:
                del self._sent[number]
                self._note_done()
                self._context.spawn(self._post_disconnect(node, number))
                return True
        return False

    async def _post_disconnect(self, node: str, number: int) -> None:
        await self._membership.post(node, "gone", {"number": number})

    def _receive_response(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        sent = self._sent.pop(header["number"], None)
        if sent is None:
            return
        request, _, body, raw, times = sent
        if header["known"]:
            request.respond(_unpacked(header, data), header["status"], header["content"])
            self._note_done()
        else:
            self._context.spawn(self._send_again(body, raw, request, times + 1))

    async def _send_again(
        self, body: BoshBody, raw: bytes, request: PendingRequest, times: int
    ) -> None:
        """Forward a request again: the node does not have its session."""
        backoff = self._context.kv.backoff
        if times > MAX_SENT:
            backoff.give_up("forwarding", sid=body.sid[:4], tries=MAX_SENT)
            _respond_lost(request)
            return
        await backoff.pause(times)
        try:
            await self._adopt(body, raw, request, times)
        except StoreError:
            _respond_unavailable(request)
        except BaseException:
            _respond_lost(request)
            raise

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._sent:
            self._context.spawn(self._check_nodes())
            self._schedule()

    async def _check_nodes(self) -> None:
        """Forward the requests of dead nodes again, which never respond. Ask the others for theirs:
        the store may have lost a request or its response, in a failover or while it was away.
        """
        # A request that was sent just now may arrive after the question.
        before, self._checked_number = self._checked_number, self._next_number
        for node, numbers in self._sent_by_node().items():
            if await self._membership.is_alive(node):
                old = [number for number in numbers if number < before]
                await self._post_numbers(node, "held?", old)
                continue
            for number, (request, at, body, raw, _) in list(self._sent.items()):
                if at == node and self._sent.pop(number, None) is not None:
                    await self._find(body, raw, request)

    def _sent_by_node(self) -> dict[str, list[int]]:
        numbers: dict[str, list[int]] = {}
        for number, (_, node, *_) in self._sent.items():
            numbers.setdefault(node, []).append(number)
        return numbers

    async def _post_numbers(self, node: str, kind: str, numbers: list[int]) -> None:
        for start in range(0, len(numbers), MAX_NUMBERS):
            part = numbers[start : start + MAX_NUMBERS]
            await self._membership.post(node, kind, {"numbers": part})

    def _receive_unheld(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        """Forward requests again that a node does not have. It had all those that arrived, and a
        response is written before this message, so one of the two was lost. A session gives the
        same response to the same request, however often that comes."""
        for number in header["numbers"]:
            request, node, body, raw, times = self._sent.get(number, (None, "", None, b"", 0))
            if request is None or body is None or node != by:
                continue
            del self._sent[number]
            if times >= MAX_SENT:
                _respond_unavailable(request)
            else:
                self._context.spawn(self._post_again(node, body, raw, request, times + 1))

    async def _post_again(
        self, node: str, body: BoshBody, raw: bytes, request: PendingRequest, times: int
    ) -> None:
        try:
            await self._post(node, body, raw, request, times)
        except StoreError:
            _respond_unavailable(request)

    async def release(self) -> None:
        """This node leaves: let the other nodes respond to its requests now, and wait for that.
        Without the store, or with nodes of an older version, their clients get a 503 at the end."""
        try:
            for node, numbers in self._sent_by_node().items():
                await self._post_numbers(node, "release", numbers)
        except StoreError:
            return
        if self._sent:
            self._all_done = asyncio.Event()
            try:
                await asyncio.wait_for(self._all_done.wait(), RELEASE_SECONDS)
            except TimeoutError:
                pass

    def _note_done(self) -> None:
        if self._all_done is not None and not self._sent:
            self._all_done.set()

    # From other nodes to this one

    def _receive_request(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        raw = _unpacked(header, data)
        request = ForwardedRequest(self, by, header)
        try:
            body = parse(raw)
        except BindingError as error:  # It was valid on the other node.
            request.respond(terminate(error.condition), error.status, DEFAULT_CONTENT)
            return
        if self.sessions.has(body.sid):
            self._received[by, request.number] = request
            self.sessions.request(body, raw, request)
        elif self.sessions.is_returned(body.sid):
            _respond_unavailable(request)
        else:
            self._context.spawn(self._post_unknown(by, request.number, body.sid))

    async def _post_unknown(self, by: str, number: int, sid: str) -> None:
        """Report that this node does not have a session. If the session is leaving or arriving, the
        request can be forwarded again as soon as that is complete."""
        if (departure := self.sessions.departure(sid)) is not None:
            await asyncio.wait([departure])
        await self._post_response(by, {"number": number, "known": False})

    def respond(self, by: str, number: int, body: bytes, status: int, content: str) -> None:
        """Send a response to the node that forwarded the request."""
        self._received.pop((by, number), None)
        header = {"number": number, "known": True, "status": status, "content": content}
        self._context.spawn(self._post_response(by, *_packed(header, body)))

    async def _post_response(self, by: str, header: Mapping[str, Any], data: bytes = b"") -> None:
        await self._membership.post(by, "answer", header, data)

    def _receive_disconnect(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        request = self._received.pop((by, header["number"]), None)
        if request is not None:
            self.sessions.disconnected(request)

    def _receive_release(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        for number in header["numbers"]:
            request = self._received.get((by, number))
            if request is not None:
                self.sessions.hurry(request)

    def _receive_check(self, by: str, header: Mapping[str, Any], data: bytes) -> None:
        unheld = [n for n in header["numbers"] if (by, n) not in self._received]
        if unheld:
            self._context.spawn(self._post_unheld(by, unheld))

    async def _post_unheld(self, by: str, numbers: list[int]) -> None:
        # After the responses that are on their way into the store.
        await self._post_numbers(by, "unheld", numbers)

    def close(self) -> None:
        """Respond to all forwarded requests: their clients try again."""
        if self._timer is not None:
            self._timer.cancel()
        for request, *_ in self._sent.values():
            _respond_unavailable(request)
        self._sent.clear()

    def __repr__(self) -> str:
        return f"<Forwarding {len(self._sent)} sent, {len(self._received)} received>"


def _respond_lost(request: PendingRequest) -> None:
    request.respond(terminate(BoshCondition.ITEM_NOT_FOUND), 200, DEFAULT_CONTENT)


def _respond_unavailable(request: PendingRequest) -> None:
    """The store failed, or this node leaves. The client sends the same request again."""
    request.respond(b"", 503, DEFAULT_CONTENT)


def _packed(header: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    if len(data) <= LARGE_BYTES:
        return header, data
    return {**header, "packed": True}, zlib.compress(data, 1)


def _unpacked(header: Mapping[str, Any], data: bytes) -> bytes:
    return zlib.decompress(data) if header.get("packed") else data
