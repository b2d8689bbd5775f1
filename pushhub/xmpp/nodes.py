"""Which node has which session, and how a stanza gets there.

With one process there is one node. Where processes share a store, a register names the node of each
session of an account, and each node follows a channel of its own, in which the others put what its
sessions are to get. A node says every few seconds that it is there; of one that has not said so for
a while, the sessions are gone. See `signs` for how that time is measured.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b32encode
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from pushhub.hub.follow import Follow
from pushhub.protocol.event import Draft, DraftError
from pushhub.protocol.xml import parse
from pushhub.store.base import Append, Appended, Retention, StoreError
from pushhub.store.base import append as settle
from pushhub.xmpp.archive import Kept
from pushhub.xmpp.jid import parse_jid
from pushhub.xmpp.registers import PREFIX, register_name
from pushhub.xmpp.signs import Signs
from pushhub.xmpp.stanza import StanzaError, failure, may_fail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.protocol.event import Event
    from pushhub.protocol.xml import Element
    from pushhub.xmpp.home import Home
    from pushhub.xmpp.jid import Jid
    from pushhub.xmpp.server import Server
    from pushhub.xmpp.session import Session

    Notice = Callable[[Home, Mapping[str, str]], None]
    Letter = Callable[[str, Mapping[str, Any], bytes], None]

log = structlog.get_logger(__name__)

# How often a node says that it is there, and when one that has not is taken for dead: three times
# may get lost, or a process may be stopped for as long by a snapshot of its machine.
SIGN_SECONDS = 5.0
DEAD_SECONDS = 20.0

# The register that lists the nodes which are there, or have left something behind.
NODES = f"{PREFIX}nodes"

# What a node has to be told while it cannot listen; after that its clients have given up.
LETTERS = Retention(events=10_000, age=60)

# 40 bits: nodes that ever were do not share one.
ID_BYTES = 5
_MARKED = re.compile(r".*[.]([a-z2-7]{8})", re.DOTALL)


class Nodes:
    """This node, and what it knows of the others."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._notices: dict[str, Notice] = {}
        self._letters: dict[str, Letter] = {"stanza": self._stanza, "message": self._message}
        self._letters |= {"notice": self._notice, "conflict": self._conflict}
        self._follow: Follow | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._signs = Signs()
        self._is_watching = False
        # When the last round was, by the hub's clock.
        self._watched = 0.0
        self.id = b32encode(server.random_bytes(ID_BYTES)).decode().lower()
        # A store that is certain of its silence has one process alone.
        self.shared = not server.hub.store.certain

    # Names

    def mark(self, name: str) -> str:
        """A name that says on which node it was made, from what was drawn for it."""
        return f"{name}.{self.id}" if self.shared else name

    def of(self, name: str) -> str | None:
        """The other node that made a name; None if it was this one, or nobody can tell."""
        found = _MARKED.fullmatch(name) if self.shared else None
        return found[1] if found is not None and found[1] != self.id else None

    # Life

    async def open(self) -> None:
        """Begin to hear what other nodes send.

        Raises:
            StoreError: the store cannot be used now.
        """
        if self.shared:
            channel = letters_name(self.id)
            self._follow = Follow(self._server.hub, channel, self._take)
            await self._follow.begin()
            self._watched = self._server.hub.now()
            await self._watch()
            self._later()

    async def close(self) -> None:
        """Say goodbye, and hear no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._follow is not None:
            self._follow.stop()
            try:
                await self._server.registers.set(sign_name(self.id), b"left")
            except StoreError:
                pass  # They notice by themselves, a little later.

    async def alive(self, node: str, seconds: float = DEAD_SECONDS) -> bool:
        """Whether another node is there: its sign has changed within so many seconds, by this
        node's own clock. A node that was not known before is trusted for that time."""
        sign = await self._server.registers.event(sign_name(node))
        self._see(node, sign)
        silent = self._signs.silent(node)
        if silent is None or (self._signs.has_left(node) and seconds == DEAD_SECONDS):
            return False
        return silent < seconds

    def _later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SIGN_SECONDS, self._sign_again)

    def _sign_again(self) -> None:
        if not self._is_watching:  # The store may be slow.
            self._server.spawn(self._watch())
        self._later()

    async def _watch(self) -> None:
        """One round: say that this node is there, and look at the signs of the others.

        Raises:
            StoreError: the store cannot be used now.
        """
        registers, now, self._is_watching = self._server.registers, self._server.hub.now(), True
        try:
            await registers.set(sign_name(self.id), b"here")
            # From the store: in memory a tail of each node's old signs would stay.
            listed = await registers.stored_json(NODES) or ()
            if self.id not in listed:
                # Also after the store has lost the list, or another node has swept this one.
                listed = await registers.change_json(NODES, self._listed)
            others = sorted(self._signs.nodes().union(listed) - {self.id})
            signs = [(node, await registers.stored(sign_name(node))) for node in others]
        finally:
            self._is_watching = False
        self._signs.watched(min(now - self._watched, SIGN_SECONDS))
        self._watched = now
        for node, sign in signs:
            self._see(node, sign)
            silent = self._signs.silent(node)
            if sign is None and node not in listed and silent and silent >= DEAD_SECONDS:
                self._signs.forget(node)

    def _listed(self, old: Any) -> Any:
        return None if self.id in (old or ()) else [*(old or ()), self.id]

    def _see(self, node: str, sign: Event | None) -> None:
        """Note a sign. Without one a node is neither alive nor dead: the store may have lost it."""
        if sign is not None:
            self._signs.see(node, sign.cursor, is_last=sign.data == b"left")

    # Sessions

    async def join(self, session: Session, *, moved: bool = False) -> None:
        """A session is here now; another of its address, on another node, is sent away. One that
        has `moved` was on another before.

        Raises:
            StoreError: the store cannot be written now.
        """
        if not self.shared or (session.home.anonymous and not moved):
            return
        resource = session.jid.resource
        other: str | None = None

        def make(old: Any) -> Any:
            nonlocal other
            other = (old or {}).get(resource)
            return {**(old or {}), resource: self.id}

        where = await self._server.registers.change_json(where_name(session.jid.bare), make)
        if other is not None and other != self.id and not moved:
            await self.post(other, "conflict", {"jid": session.jid.text})
        if any(node != self.id for node in where.values()):
            await self._clear(session.jid.bare, where)

    async def leave(self, session: Session) -> None:
        """A session has ended.

        Raises:
            StoreError: the store cannot be written now.
        """
        if not self.shared or (session.home.anonymous and self.of(session.jid.local) is None):
            return
        resource = session.jid.resource
        if resource in session.home.sessions:
            return  # Somebody else has it by now.

        def make(old: Any) -> Any:
            if not old or old.get(resource) != self.id:
                return None
            return {name: node for name, node in old.items() if name != resource}

        name = where_name(session.jid.bare)
        left = await self._server.registers.change_json(name, make)
        if session.home.anonymous and not left:
            # Nobody has this address ever again.
            await self._server.registers.delete(name)

    async def _clear(self, bare: str, where: Mapping[str, str]) -> None:
        """Forget sessions of nodes that are no longer there."""
        dead = {node for node in set(where.values()) - {self.id} if not await self.alive(node)}

        def make(old: Any) -> Any:
            left = {name: node for name, node in (old or {}).items() if node not in dead}
            return left if left != old else None

        await self._server.registers.change_json(where_name(bare), make)

    async def _others(self, bare: str) -> set[str]:
        """The other nodes that have sessions of an account."""
        if not self.shared:
            return set()
        marked = self.of(bare.rpartition("@")[0])
        if marked is not None and await self.alive(marked):
            return {marked}
        where = await self._server.registers.json(where_name(bare)) or {}
        return set(where.values()) - {self.id}

    # Bringing things

    def knows(self, to: Jid) -> bool:
        """Whether an address is an anonymous one of another node."""
        return self.of(to.local) is not None

    async def stanza(self, to: Jid, stanza: Element) -> bool:
        """Bring a stanza to the session of a full address; whether there is one, as far as is
        known here."""
        home = self._server.homes.get(to.bare)
        session = home.sessions.get(to.resource) if home is not None else None
        if session is not None:
            session.send(stanza)
            return True
        if not self.shared:
            return False
        node = self.of(to.local)
        if node is None or not await self.alive(node):
            where = await self._server.registers.json(where_name(to.bare)) or {}
            node = where.get(to.resource)
        if node is None or node == self.id or not await self.alive(node):
            return False
        return await self.post(node, "stanza", {"to": to.text}, stanza.xml().encode())

    def message(self, to: Jid, message: Kept, *, fails: bool = False) -> bool:
        """Bring a message that is not kept to the sessions it is for; False if surely there are
        none. If it `fails` on another node, that node tells the sender."""
        home = self._server.homes.get(to.bare)
        brought = home is not None and home.deliver(message, message.stanza)
        if self.shared:
            self._server.spawn(self._message_others(to, message, fails and not brought))
        return brought or self.shared

    async def _message_others(self, to: Jid, message: Kept, fails: bool) -> None:
        about = {"to": to.text, "kind": message.kind, "copied": message.copied}
        about |= {"peer": message.peer, "fails": fails}
        for node in await self._others(to.bare):
            await self.post(node, "message", about, message.stanza)

    def on(self, kind: str, do: Notice) -> None:
        """From now on `do` is what a notice of that kind does with an account's sessions."""
        self._notices[kind] = do

    async def notify(self, bare: str, kind: str, **data: str) -> None:
        """Do what a notice is for, on every node that has sessions of the account.

        Raises:
            StoreError: other nodes cannot be told now.
        """
        self._noticed(bare, kind, data)
        for node in await self._others(bare):
            await self.post(node, "notice", {"bare": bare, "kind": kind, "data": data})

    # Letters

    def on_letter(self, kind: str, take: Letter) -> None:
        """From now on `take` gets the letters of that kind: from whom, what about, and data."""
        self._letters[kind] = take

    async def post(self, node: str, kind: str, about: Mapping[str, Any], data: bytes = b"") -> bool:
        """Write to another node; False if that is more than a letter holds.

        Raises:
            StoreError: it cannot be written now.
        """
        head = orjson.dumps({"by": self.id, "letter": kind, **about})
        try:
            draft = Draft(head + b"\n" + data, "application/octet-stream")
        except DraftError:
            return False
        (outcome,) = await settle(
            self._server.hub.store, Append(letters_name(node), draft, LETTERS)
        )
        if isinstance(outcome, StoreError):
            raise outcome
        return isinstance(outcome, Appended)

    def _take(self, event: Event) -> None:
        head, _, data = event.data.partition(b"\n")
        about = orjson.loads(head)
        take = self._letters.get(about["letter"])
        if take is None:
            return  # A node of a newer version.
        try:
            take(about["by"], about, data)
        except Exception:
            letter = about["letter"]
            self._server.hub.log.exception(log, "xmpp.letter_failed", letter, letter=letter)

    def _stanza(self, by: str, about: Mapping[str, Any], data: bytes) -> None:
        to, stanza = parse_jid(about["to"]), parse(data)
        home = self._server.homes.get(to.bare)
        session = home.sessions.get(to.resource) if home is not None else None
        if session is not None:
            session.write(data)
        elif may_fail(stanza) and stanza.name == "iq":
            # It went while this was on its way; who asked is told.
            self._bounce(stanza)

    def _bounce(self, stanza: Element) -> None:
        """Tell the sender of a stanza that there is no session for it."""
        sender = parse_jid(stanza.attributes["from"])
        self._server.spawn(self._back(sender, failure(stanza, StanzaError("service-unavailable"))))

    async def _back(self, to: Jid, stanza: Element) -> None:
        await self.stanza(to, stanza)

    def _message(self, by: str, about: Mapping[str, Any], data: bytes) -> None:
        to = parse_jid(about["to"])
        home = self._server.homes.get(to.bare)
        kind, copied, peer = about["kind"], about["copied"], about["peer"]
        kept = Kept(data, False, copied, kind, peer, to.resource)
        if not (home is not None and home.deliver(kept, data)) and about.get("fails"):
            self._bounce(parse(data))

    def _notice(self, by: str, about: Mapping[str, Any], data: bytes) -> None:
        self._noticed(about["bare"], about["kind"], about["data"])

    def _noticed(self, bare: str, kind: str, data: Mapping[str, str]) -> None:
        home = self._server.homes.get(bare)
        if home is not None:
            self._notices[kind](home, data)

    def _conflict(self, by: str, about: Mapping[str, Any], data: bytes) -> None:
        self._server.evict(parse_jid(about["jid"]))

    def __repr__(self) -> str:
        return f"<Nodes, this is {self.id}{', shared' if self.shared else ''}>"


def where_name(bare: str) -> str:
    """The register that says on which node each session of an account is."""
    return register_name("where", bare)


def letters_name(node: str) -> str:
    """The channel that a node follows."""
    return register_name("letters", node)


def sign_name(node: str) -> str:
    """The register in which a node says that it is there."""
    return register_name("sign", node)
