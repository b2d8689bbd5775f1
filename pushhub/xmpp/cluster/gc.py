"""Garbage collection of the data that dead nodes leave in a shared store, by the nodes that live.

A value lists all nodes. When a node has been silent for long, another node deletes its heartbeat,
its inbox, and the sessions that left it and that no node took. The messages that those sessions had
not received go to the account's next session.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.bosh.session import BoshSession
from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.log.read import Page
from pushhub.store.base import Append, Retention, StoreError
from pushhub.xmpp.cluster.membership import NODES, heartbeat_key, inbox_channel
from pushhub.xmpp.cluster.migration import migration_key
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.storage.archive import archive_offsets, marker_key
from pushhub.xmpp.storage.key_value import internal_name
from pushhub.xmpp.storage.locations import locations_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.xmpp.cluster.membership import Membership
    from pushhub.xmpp.cluster.migration import Migration
    from pushhub.xmpp.context import Context

# Longer than the settings allow any client to be silent: a pause is at most 300 s, the inactivity
# of a polling session 421 s. A client that returns later has lost its session.
FORGET_SECONDS = 600.0
# The pause between two checks: data stays at most so much longer than it has to.
COLLECT_SECONDS = 60.0
# The sids of the sessions that left a node, a hundred in each event.
DEPARTED_RETENTION = Retention(events=1000, age=None)


class GarbageCollector:
    """Deletes the data of dead nodes."""

    def __init__(self, context: Context, membership: Membership, migration: Migration) -> None:
        self._context = context
        self._membership = membership
        self._migration = migration
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Collect regularly."""
        if self._membership.shared:
            self._schedule()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    async def record_departures(self, sids: Sequence[str]) -> None:
        """Write down which sessions leave this node, before they do.

        Raises:
            StoreError: the store cannot be written.
        """
        draft = Draft(orjson.dumps(list(sids)))
        append = Append(_departed_channel(self._membership.id), draft, DEPARTED_RETENTION)
        (outcome,) = await self._context.hub.recorded(append)
        if isinstance(outcome, StoreError):
            raise outcome

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(COLLECT_SECONDS, self._run_again)

    def _run_again(self) -> None:
        self._context.spawn(self.run())
        self._schedule()

    async def run(self) -> None:
        """Check every listed node.

        Raises:
            StoreError: the store is unavailable.
        """
        membership, kv = self._membership, self._context.kv
        listed = await kv.json(NODES) or ()
        dead = [
            node
            for node in listed
            if node != membership.id
            and membership.silence(node) >= FORGET_SECONDS
            and not await membership.is_alive(node, FORGET_SECONDS)
            and await self._collect(node, listed)
        ]
        if dead:
            await kv.update_json(
                NODES, lambda old: [node for node in old or () if node not in dead]
            )

    async def _collect(self, node: str, listed: Sequence[str]) -> bool:
        """Delete a node's data; return whether no session of it is left."""
        membership, kv = self._membership, self._context.kv
        name = _departed_channel(node)
        read = await self._context.hub.store.read(name, Start.EARLIEST, DEPARTED_RETENTION.events)
        is_complete = True
        for event in read.events if isinstance(read, Page) else ():
            for sid in orjson.loads(event.data):
                record = await kv.json(migration_key(sid))
                taker = (record or {}).get("node")
                if taker == membership.id or (
                    taker and taker in listed and await membership.is_alive(taker)
                ):
                    is_complete = False  # It lives on that node, and is found by its record.
                elif record is not None:
                    await self._forget(sid)
        if is_complete:
            for each in (name, inbox_channel(node), heartbeat_key(node)):
                await kv.delete(each)
        return is_complete

    async def _forget(self, sid: str) -> None:
        """Delete a session that no client requested, or that died with the node that took it."""
        state, _ = await self._migration.take(sid, "")
        session = state["stream"]["session"] if state is not None else None
        if session is not None:
            bare = parse_jid(session["jid"]).bare
            now = self._context.hub.now()
            waiting, unconfirmed = BoshSession.load(state["bosh"], now).pending()
            await self._redeliver(bare, archive_offsets((*waiting, *unconfirmed), bare))
        record = await self._context.kv.json(migration_key(sid)) or {}
        if "guest" in record:
            await self._context.kv.delete(locations_key(record["guest"]))
        await self._migration.forget(sid)

    async def _redeliver(self, bare: str, offsets: list[int]) -> None:
        def make(old: Any) -> Any:
            if old is None or not offsets:
                return None
            return {**old, "again": sorted({*old.get("again", ()), *offsets})}

        await self._context.kv.update_json(marker_key(bare), make)


def _departed_channel(node: str) -> str:
    return internal_name("left", node)
