"""Requests for sessions that another node has: they are sent there, and their answers come back.

So a balancer in front needs no stickiness. A session that was handed over by a node which left lies
in a register; the node that first has a request for it takes it up.
"""

from __future__ import annotations

import asyncio
import itertools
import zlib
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from pushhub.bosh.body import parse, terminate
from pushhub.bosh.condition import BindingError, BoshCondition
from pushhub.bosh.negotiation import DEFAULT_CONTENT
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.bosh.body import BoshBody
    from pushhub.bosh.sessions import Caller
    from pushhub.xmpp.transport.sessions import BoshSessions

# How often it is looked whether the nodes that owe answers are still there.
CHECK_SECONDS = 5.0

# A letter is one event of the store, 256 KiB. Beyond this a body is compressed on its way.
LARGE_BYTES = 100_000

# A request is sent once more when its session has moved meanwhile. After so many times two nodes
# send it to each other: the register names one that does not have the session.
MAX_SENT = 5


class Stranger:
    """A request that another node has, and that is answered through it; see `Caller`."""

    __slots__ = ("_forwarding", "by", "client", "number", "secure")

    def __init__(self, forwarding: Forwarding, by: str, about: Mapping[str, Any]) -> None:
        self._forwarding = forwarding
        self.by = by
        self.number: int = about["number"]
        self.client: str = about["client"]
        self.secure: bool = about["secure"]

    def answer(self, body: bytes, status: int, content: str) -> None:
        self._forwarding.answer(self.by, self.number, body, status, content)


class Forwarding:
    """What this node has sent to others, and what others have sent here."""

    def __init__(self, sessions: BoshSessions) -> None:
        self._sessions = sessions
        self._server = sessions.server
        self._nodes = self._server.nodes
        self._numbers = itertools.count(1)
        # Number → who waits, at which node, and with what: to be sent once more if it has moved.
        # The last is how often it has been sent.
        self._sent: dict[int, tuple[Caller, str, BoshBody, bytes, int]] = {}
        self._strangers: dict[tuple[str, int], Stranger] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Two requests of a session may come at once, and only the first takes it up.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._nodes.on_letter("request", self._request)
        self._nodes.on_letter("answer", self._answered)
        self._nodes.on_letter("gone", self._gone)

    # This node asks

    def send(self, body: BoshBody, raw: bytes, caller: Caller) -> None:
        """Bring a request to whoever has its session."""
        self._server.spawn(self._find(body, raw, caller))

    async def _find(self, body: BoshBody, raw: bytes, caller: Caller) -> None:
        try:
            node = self._nodes.of(body.sid)
            if node is not None and await self._nodes.alive(node):
                await self._post(node, body, raw, caller)
            else:
                await self._take_up(body, raw, caller)
        except StoreError:
            caller.answer(b"", 503, DEFAULT_CONTENT)

    async def _take_up(self, body: BoshBody, raw: bytes, caller: Caller, times: int = 1) -> None:
        """Its node has left: take up the session if it was handed over, and nobody has yet."""
        lock = self._locks.setdefault(body.sid, asyncio.Lock())
        async with lock:
            node = await self._owner(body.sid)
            if node not in (None, self._nodes.id) and not await self._nodes.alive(node):
                # A node hands its sessions over and then says that it has left: between these two
                # looks it may have done both.
                node = await self._owner(body.sid)
        if node == self._nodes.id and body.sid in self._sessions.carriers:
            self._sessions.request(body, raw, caller)
        elif node is not None and node != self._nodes.id and await self._nodes.alive(node):
            await self._post(node, body, raw, caller, times)
        else:
            _lost(caller)

    async def _owner(self, sid: str) -> str | None:
        """The node that has taken up a session: if nobody has yet, this one."""
        state, node = await self._sessions.moved.take(sid, self._nodes.id)
        if state is not None:
            await self._sessions.adopt(state)
        return node

    async def _post(
        self, node: str, body: BoshBody, raw: bytes, caller: Caller, times: int = 1
    ) -> None:
        number = next(self._numbers)
        self._sent[number] = (caller, node, body, raw, times)
        if self._timer is None:
            self._later()
        about = {"number": number, "client": caller.client, "secure": caller.secure}
        if not await self._nodes.post(node, "request", *_packed(about, raw)):
            self._sent.pop(number, None)
            _lost(caller)

    def gone(self, caller: Caller) -> bool:
        """A request's client has gone; whether it waits for another node."""
        for number, (waiting, node, *_) in self._sent.items():
            if waiting is caller:
                del self._sent[number]
                self._server.spawn(self._tell_gone(node, number))
                return True
        return False

    async def _tell_gone(self, node: str, number: int) -> None:
        await self._nodes.post(node, "gone", {"number": number})

    def _answered(self, by: str, about: Mapping[str, Any], data: bytes) -> None:
        sent = self._sent.pop(about["number"], None)
        if sent is None:
            return
        caller, _, body, raw, times = sent
        if about["known"]:
            caller.answer(_unpacked(about, data), about["status"], about["content"])
        else:
            self._server.spawn(self._once_more(body, raw, caller, times + 1))

    async def _once_more(self, body: BoshBody, raw: bytes, caller: Caller, times: int) -> None:
        """The node that a request was sent to does not have its session."""
        stalls = self._server.registers.stalls
        if times > MAX_SENT:
            stalls.note("forwarding", sid=body.sid[:4], tries=MAX_SENT)
            _lost(caller)
            return
        await stalls.pause(times)
        try:
            await self._take_up(body, raw, caller, times)
        except StoreError:
            caller.answer(b"", 503, DEFAULT_CONTENT)

    def _later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(CHECK_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._sent:
            self._server.spawn(self._give_up())
            self._later()

    async def _give_up(self) -> None:
        """What a dead node owes is never answered by it."""
        for node in {node for _, node, *_ in self._sent.values()}:
            if await self._nodes.alive(node):
                continue
            for number, (caller, at, body, raw, _) in list(self._sent.items()):
                if at == node and self._sent.pop(number, None) is not None:
                    await self._find(body, raw, caller)

    # Other nodes ask

    def _request(self, by: str, about: Mapping[str, Any], data: bytes) -> None:
        raw = _unpacked(about, data)
        stranger = Stranger(self, by, about)
        try:
            body = parse(raw)
        except BindingError as error:  # It was good where it came from.
            stranger.answer(terminate(error.condition), error.status, DEFAULT_CONTENT)
            return
        if body.sid in self._sessions.carriers:
            self._strangers[by, stranger.number] = stranger
            self._sessions.request(body, raw, stranger)
        else:
            self._server.spawn(self._unknown(by, stranger.number, body.sid))

    async def _unknown(self, by: str, number: int, sid: str) -> None:
        """It is not here. If it is just being handed over, it can be taken up as soon as that is
        done."""
        if (moving := self._sessions.moving.get(sid)) is not None:
            await asyncio.wait([moving])
        await self._tell(by, {"number": number, "known": False})

    def answer(self, by: str, number: int, body: bytes, status: int, content: str) -> None:
        """Bring an answer to the node whose request it is."""
        self._strangers.pop((by, number), None)
        about = {"number": number, "known": True, "status": status, "content": content}
        self._server.spawn(self._tell(by, *_packed(about, body)))

    async def _tell(self, by: str, about: Mapping[str, Any], data: bytes = b"") -> None:
        await self._nodes.post(by, "answer", about, data)

    def _gone(self, by: str, about: Mapping[str, Any], data: bytes) -> None:
        stranger = self._strangers.pop((by, about["number"]), None)
        if stranger is not None:
            self._sessions.gone(stranger)

    def close(self) -> None:
        """Wait no more."""
        if self._timer is not None:
            self._timer.cancel()
        for caller, *_ in self._sent.values():
            caller.answer(b"", 503, DEFAULT_CONTENT)
        self._sent.clear()

    def __repr__(self) -> str:
        return f"<Forwarding {len(self._sent)} sent, {len(self._strangers)} taken>"


def _lost(caller: Caller) -> None:
    caller.answer(terminate(BoshCondition.ITEM_NOT_FOUND), 200, DEFAULT_CONTENT)


def _packed(about: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    if len(data) <= LARGE_BYTES:
        return about, data
    return {**about, "packed": True}, zlib.compress(data, 1)


def _unpacked(about: Mapping[str, Any], data: bytes) -> bytes:
    return zlib.decompress(data) if about.get("packed") else data
