"""Migration of sessions: one node leaves a session's state in the store, another takes it from
there, and from then on the record names the node that has the session.

A state that is larger than one value is split into parts, each under a key of its own:

    {"state": …}                               a state that needs no parts
    {"key": <key>, "parts": n}                 the parts are being written; if that is interrupted,
                                               they are garbage
    {"key": <key>, "parts": n, "whole": true}  all parts are written {"node": <id>, …}
    a node has taken the session; for an anonymous session
                                               with its address as "guest"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from pushhub.log.event import MAX_EVENT_BYTES
from pushhub.store.base import StoreError, StoreUnavailable
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.storage.key_value import internal_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pushhub.xmpp.storage.key_value import KeyValueStore

# At most 1 MiB waits for a client, and for a repeat 256 KiB are kept for each of 20 responses; JSON
# may double that.
MAX_STATE_BYTES = 16 * 1024 * 1024

# A session migrates when its node leaves. A record that changes more often than this within a
# second is no migrating session.
MAX_TAKES = 10


def migration_key(sid: str) -> str:
    """The key of a session that left its node; later it names the session's new node."""
    return internal_name("moved", sid)


def _part_keys(sid: str, record: Mapping[str, Any]) -> Iterator[str]:
    for number in range(record.get("parts", 0)):
        yield internal_name("moved", sid, record["key"], str(number))


def _is_available(record: Mapping[str, Any]) -> bool:
    return "node" not in record and ("state" in record or "whole" in record)


def _anonymous_address(state: Any) -> dict[str, str]:
    """The address of an anonymous session: if its new node dies, a directory entry remains."""
    stream = (state or {}).get("stream") or {}
    session, identity = stream.get("session"), stream.get("identity")
    if session is None or identity is None or not identity["anonymous"]:
        return {}
    return {"guest": parse_jid(session["jid"]).bare}


class Migration:
    """The migrating sessions, in the key-value store."""

    __slots__ = ("_kv",)

    def __init__(self, kv: KeyValueStore) -> None:
        self._kv = kv

    async def leave(self, sid: str, state: bytes, key: str) -> None:
        """Store a state, as JSON, for the node that takes it. `key` is unique for this migration.

        Raises:
            StoreError: the state could not be written, and no node can take it.
        """
        name, kv = migration_key(sid), self._kv
        whole = b'{"state":%b}' % state
        if len(whole) <= MAX_EVENT_BYTES:
            await kv.set(name, whole)
            return
        starts = range(0, len(state), MAX_EVENT_BYTES)
        record = {"key": key, "parts": len(starts)}
        await kv.set(name, orjson.dumps(record))
        for start, part in zip(starts, _part_keys(sid, record), strict=True):
            await kv.set(part, state[start : start + MAX_EVENT_BYTES])
        await kv.set(name, orjson.dumps({**record, "whole": True}))

    async def take(self, sid: str, node: str) -> tuple[Any, str | None]:
        """Take a state for a node, if no node has taken it: the state, else None; and the node that
        has the session now, None without one.

        Raises:
            StoreError: the store is unavailable.
        """
        name = migration_key(sid)
        record = await self._kv.json(name) or {}
        for tries in range(1, MAX_TAKES + 1):
            state = await self._state(sid, record) if _is_available(record) else None
            taken = False

            def make(old: Any, expected: Any = record, state: Any = state) -> Any:
                nonlocal taken
                taken = old == expected
                left = {key: value for key, value in expected.items() if key != "state"}
                return {**left, "node": node, **_anonymous_address(state)} if taken else None

            if state is not None:
                await self._kv.update_json(name, make)
            if taken:
                try:
                    await self._drop_parts(sid, record)
                except StoreError:
                    pass  # They are dropped with the session.
                return state, node
            # Not from memory: another node may have taken it, and the event is still on its way.
            now = await self._kv.stored_json(name) or {}
            if not _is_available(now) or (now == record and state is None):
                return None, now.get("node")
            # The state is stored, but its event has not arrived yet: the next try waits for that.
            record = now
            await self._kv.backoff.pause(tries)
        self._kv.backoff.give_up("handover", sid=sid[:4], tries=MAX_TAKES)
        raise StoreUnavailable("The session changes hands too often.")

    async def give_back(self, sid: str, node: str, state: bytes, key: str) -> None:
        """Store a state again, as JSON, that `node` has taken: another node can take it. Another
        state that was stored meanwhile stays. `key` is as in `leave`; a new try has the same one.

        Raises:
            StoreError: the state could not be written.
        """
        name, whole = migration_key(sid), {"state": orjson.loads(state)}
        if len(orjson.dumps(whole)) <= MAX_EVENT_BYTES:
            await self._replace(name, node, whole)
            return
        starts = range(0, len(state), MAX_EVENT_BYTES)
        record = {"key": key, "parts": len(starts)}
        if await self._replace(name, node, {"node": node, **record}):
            for start, part in zip(starts, _part_keys(sid, record), strict=True):
                await self._kv.set(part, state[start : start + MAX_EVENT_BYTES])
            await self._replace(name, node, {**record, "whole": True})

    async def _replace(self, name: str, node: str, record: Mapping[str, Any]) -> bool:
        """Write a session's record, if it names `node`; return whether it is written."""

        def make(old: Any) -> Any:
            return record if (old or {}).get("node") == node else None

        return bool(await self._kv.update_json(name, make) == record)

    async def forget(self, sid: str) -> None:
        """Delete the record of an ended session.

        Raises:
            StoreError: the store cannot be written.
        """
        name = migration_key(sid)
        await self._drop_parts(sid, await self._kv.json(name) or {})
        await self._kv.delete(name)

    async def _state(self, sid: str, record: Mapping[str, Any]) -> Any:
        if "state" in record:
            return record["state"]
        parts = [await self._kv.value(name) for name in _part_keys(sid, record)]
        # If a part is missing, another node has just taken the session.
        return None if None in parts else orjson.loads(b"".join(filter(None, parts)))

    async def _drop_parts(self, sid: str, record: Mapping[str, Any]) -> None:
        for name in _part_keys(sid, record):
            await self._kv.delete(name)
