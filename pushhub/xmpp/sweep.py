"""What nodes leave behind in a store that they share, and who clears it away: whoever lives.

A register lists the nodes. Of one that has been silent for long its sign, its letters and the
sessions that it handed over and nobody has taken up are deleted; messages that were on their way to
those come to the account's next session.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.bosh.session import Session
from pushhub.protocol.cursor import Start
from pushhub.protocol.event import Draft
from pushhub.protocol.page import Page
from pushhub.store.base import Append, Retention, StoreError
from pushhub.store.base import append as settle
from pushhub.xmpp.archive import archived_as
from pushhub.xmpp.jid import parse_jid
from pushhub.xmpp.moved import moved_name
from pushhub.xmpp.nodes import NODES, letters_name, sign_name, where_name
from pushhub.xmpp.registers import register_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.xmpp.moved import Moved
    from pushhub.xmpp.server import Server

# Longer than any client may be silent, as far as settings go: a pause is at most 300 s, the
# inactivity of a polling session 421 s. Who comes later than that has no session any more.
FORGET_SECONDS = 600.0
# The sids of those that a node has handed over, a hundred in each event.
LEFT = Retention(events=1000, age=None)


class Sweep:
    """Clears away what dead nodes have left."""

    def __init__(self, server: Server, moved: Moved) -> None:
        self._server = server
        self._moved = moved
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Sweep now and then."""
        if self._server.nodes.shared:
            self._later()

    def close(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()

    async def note(self, sids: Sequence[str]) -> None:
        """Write down which sessions are handed over, before they are.

        Raises:
            StoreError: the store cannot be written now.
        """
        name = _left_name(self._server.nodes.id)
        (outcome,) = await settle(
            self._server.hub.store, Append(name, Draft(orjson.dumps(list(sids))), LEFT)
        )
        if isinstance(outcome, StoreError):
            raise outcome

    def _later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(FORGET_SECONDS, self._again)

    def _again(self) -> None:
        self._server.spawn(self.run())
        self._later()

    async def run(self) -> None:
        """Look at every node that is listed.

        Raises:
            StoreError: the store cannot be used now.
        """
        nodes = self._server.nodes
        listed = await self._server.registers.json(NODES) or ()
        gone = [
            node
            for node in listed
            if node != nodes.id
            and not await nodes.alive(node, FORGET_SECONDS)
            and await self._clear(node, listed)
        ]
        if gone:
            await self._server.registers.change_json(
                NODES, lambda old: [node for node in old or () if node not in gone]
            )

    async def _clear(self, node: str, listed: Sequence[str]) -> bool:
        """Clear away what a node has left; whether that was all."""
        registers, store, name = self._server.registers, self._server.hub.store, _left_name(node)
        read, more = await store.read(name, Start.EARLIEST, LEFT.events), False
        for event in read.events if isinstance(read, Page) else ():
            for sid in orjson.loads(event.data):
                record = await registers.json(moved_name(sid))
                taker = (record or {}).get("node")
                if taker == self._server.nodes.id or (
                    taker and taker in listed and await self._server.nodes.alive(taker)
                ):
                    more = True  # It lives there, and is found through this.
                elif record is not None:
                    await self._forget(sid)
        if not more:
            for each in (name, letters_name(node), sign_name(node)):
                await registers.delete(each)
        return not more

    async def _forget(self, sid: str) -> None:
        """A session that nobody has come for, or that has died with who took it up."""
        state, _ = await self._moved.take(sid, "")
        session = state["stream"]["session"] if state is not None else None
        if session is not None:
            bare = parse_jid(session["jid"]).bare
            waiting, unconfirmed = Session.load(state["bosh"], self._server.hub.now()).pending()
            found = (archived_as(stanza, bare) for stanza in (*waiting, *unconfirmed))
            offsets = [cursor.offset for cursor in found if cursor is not None]
            await self._give_back(bare, offsets)
        record = await self._server.registers.json(moved_name(sid)) or {}
        if "guest" in record:
            await self._server.registers.delete(where_name(record["guest"]))
        await self._moved.forget(sid)

    async def _give_back(self, bare: str, offsets: list[int]) -> None:
        def make(old: Any) -> Any:
            if old is None or not offsets:
                return None
            return {**old, "again": sorted({*old.get("again", ()), *offsets})}

        await self._server.registers.change_json(register_name("read", bare), make)


def _left_name(node: str) -> str:
    return register_name("left", node)
