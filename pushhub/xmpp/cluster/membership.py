"""Membership: this node's id, its heartbeat, and the messages between nodes.

A single process is a single node. Processes that share a store each subscribe to a channel of their
own, their inbox, to which the other nodes append. A node writes a heartbeat every few seconds; when
the heartbeat stays away, the other nodes consider the node dead and its sessions ended. See
`heartbeats` for how that time is measured.
"""

from __future__ import annotations

import asyncio
import math
import re
from base64 import b32encode
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from pushhub.hub.subscription import Subscription
from pushhub.log.event import Draft, DraftError
from pushhub.store.base import Append, Appended, Retention, StoreError
from pushhub.xmpp.cluster.heartbeats import Heartbeats
from pushhub.xmpp.storage.key_value import PREFIX, internal_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.log.event import Event
    from pushhub.xmpp.context import Context

    MessageHandler = Callable[[str, Mapping[str, Any], bytes], None]

log = structlog.get_logger(__name__)

# How often a node writes its heartbeat, and after which silence it counts as dead: three heartbeats
# may get lost, or a snapshot of its machine may stop a process for as long.
HEARTBEAT_SECONDS = 5.0
DEAD_SECONDS = 20.0

# The key of the list of nodes: those that live, and those that left data behind.
NODES = f"{PREFIX}nodes"

# The inbox holds messages while its node cannot receive; after a minute its clients have given up.
INBOX_RETENTION = Retention(events=10_000, age=60)

# A new epoch of the store makes the inbox begin again at its oldest message. Births of so many
# epochs are remembered: within the minute that a message is kept there are fewer failovers.
MAX_EPOCHS = 64

# A node that read the last heartbeat but one, just before this node's end, writes to the inbox
# within so long: two commands of the store. Afterwards the inbox is read to its end.
LATE_SECONDS = 0.2
# The longest wait for the end of the inbox; a store that takes longer counts as unavailable.
LAST_SECONDS = 2.0

# 40 bits: no two nodes ever draw the same id.
ID_BYTES = 5
_TAGGED = re.compile(r".*[.]([a-z2-7]{8})", re.DOTALL)


class Membership:
    """This node, and its view of the other nodes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._handlers: dict[str, MessageHandler] = {}
        self._inbox: Subscription | None = None
        self._timer: asyncio.TimerHandle | None = None
        # The offset of the last message that was handled, by the epoch of its birth.
        self._handled: dict[str, int] = {}
        self._heartbeats = Heartbeats()
        self._is_watching = False
        # The time of the last round, by the hub's clock.
        self._watched_at = 0.0
        self.id = b32encode(context.random_bytes(ID_BYTES)).decode().lower()
        # Only a single process can be certain that its store is silent.
        self.shared = not context.hub.store.certain

    # Names that contain the id of their node

    def tag(self, name: str) -> str:
        """A drawn name, extended by this node's id if there may be other nodes."""
        return f"{name}.{self.id}" if self.shared else name

    def node_of(self, name: str) -> str | None:
        """The other node that tagged a name; None for this node, or without a tag."""
        found = _TAGGED.fullmatch(name) if self.shared else None
        return found[1] if found is not None and found[1] != self.id else None

    # Heartbeat

    async def open(self) -> None:
        """Subscribe to the inbox, and start the heartbeat.

        Raises:
            StoreError: the store is unavailable.
        """
        if self.shared:
            self._inbox = Subscription(self._context.hub, inbox_channel(self.id), self._receive)
            await self._inbox.begin()
            self._watched_at = self._context.hub.now()
            await self._watch()
            self._schedule()

    async def close(self) -> None:
        """Announce the end of this node, handle the messages that were written before the other
        nodes knew it, and unsubscribe."""
        if self._timer is not None:
            self._timer.cancel()
        if self._inbox is not None:
            try:
                await self._context.kv.set(heartbeat_key(self.id), b"left")
                await asyncio.wait_for(self._read_to_end(), LAST_SECONDS)
            except (StoreError, TimeoutError):
                pass  # The other nodes notice the silence a little later.
            finally:
                self._inbox.stop()

    async def _read_to_end(self) -> None:
        ended = asyncio.Event()
        await asyncio.sleep(LATE_SECONDS)
        self._handlers["end"] = lambda *_: ended.set()
        await self.post(self.id, "end", {})
        await ended.wait()

    async def is_alive(self, node: str, seconds: float = DEAD_SECONDS) -> bool:
        """Whether a node's heartbeat changed within the last `seconds`, by this node's own clock. A
        previously unknown node is trusted for that time."""
        self._record(node, await self._context.kv.event(heartbeat_key(node)))
        silence = self._heartbeats.silence(node)
        if silence is None or (self._heartbeats.has_left(node) and seconds == DEAD_SECONDS):
            return False
        return silence < seconds

    def silence(self, node: str) -> float:
        """For how many seconds this node has watched another one without a heartbeat, as far as it
        knows from its rounds; infinite if the other never had one."""
        silence = self._heartbeats.silence(node)
        return math.inf if silence is None else silence

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        if not self._is_watching:  # The store may be slow.
            self._context.spawn(self._watch())
        self._schedule()

    async def _watch(self) -> None:
        """One round: write this node's heartbeat, and read those of the others.

        Raises:
            StoreError: the store is unavailable.
        """
        kv, now, self._is_watching = self._context.kv, self._context.hub.now(), True
        try:
            await kv.set(heartbeat_key(self.id), b"here")
            # From the store: the hub would keep a tail of each node's old heartbeats in memory.
            listed = await kv.stored_json(NODES) or ()
            if self.id not in listed:
                # Also after the store has lost the list, or another node has collected this one.
                listed = await kv.update_json(NODES, self._with_own_id)
            # A node that has left never writes again; it is listed until its data is deleted.
            left = {node for node in listed if self._heartbeats.has_left(node)}
            others = sorted(self._heartbeats.nodes().union(listed) - {self.id} - left)
            beats = [(node, await kv.stored(heartbeat_key(node))) for node in others]
        finally:
            self._is_watching = False
        self._heartbeats.advance(min(now - self._watched_at, HEARTBEAT_SECONDS))
        self._watched_at = now
        for node, beat in beats:
            self._record(node, beat)
            silence = self._heartbeats.silence(node)
            if beat is None and node not in listed and silence and silence >= DEAD_SECONDS:
                self._heartbeats.forget(node)

    def _with_own_id(self, old: Any) -> Any:
        return None if self.id in (old or ()) else [*(old or ()), self.id]

    def _record(self, node: str, beat: Event | None) -> None:
        """Record a heartbeat. A node without one is neither alive nor dead: the store may have lost
        it."""
        if beat is not None:
            self._heartbeats.record(node, beat.cursor, is_last=beat.data == b"left")

    # Messages between nodes

    def on_message(self, kind: str, handler: MessageHandler) -> None:
        """Set the handler of a kind of messages; it gets the sender, the header and the data."""
        self._handlers[kind] = handler

    async def post(
        self, node: str, kind: str, header: Mapping[str, Any], data: bytes = b""
    ) -> bool:
        """Send a message to another node; False if the message is larger than an event may be.

        Raises:
            StoreError: the store cannot be written.
        """
        head = orjson.dumps({"by": self.id, "letter": kind, **header})
        try:
            draft = Draft(head + b"\n" + data, "application/octet-stream")
        except DraftError:
            return False
        (outcome,) = await self._context.hub.recorded(
            Append(inbox_channel(node), draft, INBOX_RETENTION)
        )
        if isinstance(outcome, StoreError):
            raise outcome
        return isinstance(outcome, Appended)

    def _receive(self, event: Event) -> None:
        if event.offset <= self._handled.get(event.epoch, -1):
            return  # Read again after a gap.
        self._handled[event.epoch] = event.offset
        if len(self._handled) > MAX_EPOCHS:
            del self._handled[next(iter(self._handled))]
        head, _, data = event.data.partition(b"\n")
        header = orjson.loads(head)
        handler = self._handlers.get(header["letter"])
        if handler is None:
            return  # The sender has a newer version.
        try:
            handler(header["by"], header, data)
        except Exception:
            letter = header["letter"]
            self._context.hub.log.exception(log, "xmpp.forward_failed", letter, letter=letter)

    def __repr__(self) -> str:
        return f"<Membership {self.id}{', shared' if self.shared else ''}>"


def inbox_channel(node: str) -> str:
    """The channel of a node's inbox."""
    return internal_name("letters", node)


def heartbeat_key(node: str) -> str:
    """The key of a node's heartbeat."""
    return internal_name("sign", node)
