"""Sessions between two nodes: one leaves a session's state in a register, another takes it from
there, and then the register says who has it.

A state that is larger than one register lies in parts, each a register of its own:

    {"state": …}                               a state that needs no parts
    {"key": <key>, "parts": n}                 its parts are being written; if that breaks off, they
                                               are swept
    {"key": <key>, "parts": n, "whole": true}  they are there
    {"node": <id>, …}                          somebody has taken it; of an anonymous session with
                                               its address as "guest"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from pushhub.log.event import MAX_EVENT_BYTES
from pushhub.store.base import StoreError, StoreUnavailable
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.storage.key_value import register_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pushhub.xmpp.storage.key_value import KeyValueStore

# What waits for a client is at most 1 MiB, and what is kept for a repeat 256 KiB for each of 20
# answers; in JSON that may be twice as much.
MAX_STATE_BYTES = 16 * 1024 * 1024

# A session changes hands when its node leaves. A record that has changed so often within a second
# is no session that moves.
MAX_TAKES = 10


def moved_name(sid: str) -> str:
    """The register of a session that was handed over, and later of who took it up."""
    return register_name("moved", sid)


def _part_names(sid: str, record: Mapping[str, Any]) -> Iterator[str]:
    for number in range(record.get("parts", 0)):
        yield register_name("moved", sid, record["key"], str(number))


def _is_free(record: Mapping[str, Any]) -> bool:
    return "node" not in record and ("state" in record or "whole" in record)


def _guest(state: Any) -> dict[str, str]:
    """The address of an anonymous session: should its node die, a register has that name."""
    stream = (state or {}).get("stream") or {}
    session, identity = stream.get("session"), stream.get("identity")
    if session is None or identity is None or not identity["anonymous"]:
        return {}
    return {"guest": parse_jid(session["jid"]).bare}


class Migration:
    """The sessions that nodes have handed over."""

    __slots__ = ("_registers",)

    def __init__(self, registers: KeyValueStore) -> None:
        self._registers = registers

    async def leave(self, sid: str, state: bytes, key: str) -> None:
        """Leave a state, as JSON, to whoever comes for it. `key` is of this one time.

        Raises:
            StoreError: it could not be written, and nobody can take it.
        """
        name, registers = moved_name(sid), self._registers
        whole = b'{"state":%b}' % state
        if len(whole) <= MAX_EVENT_BYTES:
            await registers.set(name, whole)
            return
        starts = range(0, len(state), MAX_EVENT_BYTES)
        record = {"key": key, "parts": len(starts)}
        await registers.set(name, orjson.dumps(record))
        for start, part in zip(starts, _part_names(sid, record), strict=True):
            await registers.set(part, state[start : start + MAX_EVENT_BYTES])
        await registers.set(name, orjson.dumps({**record, "whole": True}))

    async def take(self, sid: str, node: str) -> tuple[Any, str | None]:
        """Take a state for a node, if nobody has yet: the state, and else None; and the node that
        has the session now, None if there is none.

        Raises:
            StoreError: the store cannot be used now.
        """
        name = moved_name(sid)
        record = await self._registers.json(name) or {}
        for tries in range(1, MAX_TAKES + 1):
            state = await self._state(sid, record) if _is_free(record) else None
            taken = False

            def make(old: Any, expected: Any = record, state: Any = state) -> Any:
                nonlocal taken
                taken = old == expected
                left = {key: value for key, value in expected.items() if key != "state"}
                return {**left, "node": node, **_guest(state)} if taken else None

            if state is not None:
                await self._registers.change_json(name, make)
            if taken:
                try:
                    await self._drop_parts(sid, record)
                except StoreError:
                    pass  # They are dropped with the session.
                return state, node
            # Not from memory: somebody else may have taken it without our having heard of it.
            now = await self._registers.stored_json(name) or {}
            if not _is_free(now) or (now == record and state is None):
                return None, now.get("node")
            # It is there, and the news of it is not here yet: another try waits for that.
            record = now
            await self._registers.stalls.pause(tries)
        self._registers.stalls.note("handover", sid=sid[:4], tries=MAX_TAKES)
        raise StoreUnavailable("The session changes hands too often.")

    async def forget(self, sid: str) -> None:
        """Nobody is to find it any more.

        Raises:
            StoreError: the store cannot be written now.
        """
        name = moved_name(sid)
        await self._drop_parts(sid, await self._registers.json(name) or {})
        await self._registers.delete(name)

    async def _state(self, sid: str, record: Mapping[str, Any]) -> Any:
        if "state" in record:
            return record["state"]
        parts = [await self._registers.value(name) for name in _part_names(sid, record)]
        # Somebody else has just taken it if one is not there.
        return None if None in parts else orjson.loads(b"".join(filter(None, parts)))

    async def _drop_parts(self, sid: str, record: Mapping[str, Any]) -> None:
        for name in _part_names(sid, record):
            await self._registers.delete(name)
