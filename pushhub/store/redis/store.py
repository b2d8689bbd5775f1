"""A log in Redis (6.2 and later) or Valkey, for many workers and nodes.

Scripts append and read, each in one atomic step; pub/sub carries a copy of every event to all
nodes that follow its channel. Losses of Redis show in the epoch (`lua/epoch.lua`): readers with a
cursor of an older epoch receive a gap.

While Redis cannot be reached, publishes are refused immediately, and no event is acknowledged that
is not in the log (`RedisLink`).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from pushhub.log.channel import PRIVATE_MARK, namespace
from pushhub.log.cursor import Cursor, Since, Start
from pushhub.log.read import MAX_RESPONSE_BYTES, Page, Read
from pushhub.store.base import (
    IDEMPOTENCY_SECONDS,
    Append,
    Appended,
    ChannelInfo,
    KeyReused,
    Mismatch,
    NamespaceFull,
    Outcome,
    StoreError,
    StoreUnavailable,
    TokenLease,
)
from pushhub.store.epoch import draw_epoch, fingerprint
from pushhub.store.read_range import ReadRange
from pushhub.store.redis.acks import Acks, Receipts
from pushhub.store.redis.frame import (
    EPOCH_KEY,
    FORMAT,
    LIMITS_PREFIX,
    NAMES_KEY,
    bytes_key,
    keys,
    pack,
    topics,
    unpack_entry,
    used_key,
)
from pushhub.store.redis.idle import WALK_SECONDS, IdleWalk
from pushhub.store.redis.link import RedisLink
from pushhub.store.redis.namespace_walk import NamespaceWalk
from pushhub.store.redis.open import Opener
from pushhub.store.redis.scripts import APPEND, APPEND_LIMITED, BEGIN, DELETE, READ, SCRIPTS, TOKENS
from pushhub.store.redis.server_check import ServerCheck

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.store.base import Listener
    from pushhub.store.redis.link import Ask
    from pushhub.store.redis.wire import Command, Reply

# Appends that may be on their way; more are refused, since they would wait too long. Reads are as
# many as there are channels and readers, at most.
MAX_PENDING = 20_000

# How often a read may find that Redis has begun another life since the last command. Twice in a
# row is a restart at the wrong moment; more is a server that cannot be read.
MAX_LIVES = 3

_KINDS = {start: start.value.encode() for start in Start}


class RedisStore:
    """`redis://`, `rediss://`, `unix://` and `redis+sentinel://`.

    Args:
        url: as `Opener` reads it.
        clock: seconds since 1970; None is Redis' own, which all nodes share.
        acks: the level that an acknowledged publish has reached.
        may_evict: serve although Redis may evict logs.
        idle_age: seconds without a publish after which a channel is removed; None for never.
        walk_seconds: the pause between two walks that remove idle channels.
    """

    # Silence may mean that a message was lost on its way.
    certain = False

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] | None = None,
        acks: Acks | None = None,
        *,
        may_evict: bool = False,
        idle_age: float | None = None,
        walk_seconds: float = WALK_SECONDS,
    ) -> None:
        opener = Opener(url)
        self._clock = clock
        self._acks = acks or Acks()
        self._check = ServerCheck(may_evict=may_evict)
        self._link = RedisLink(
            opener, self._prepare, self._lost, self._acks.seconds, self._check.look
        )
        self._receipts = Receipts(self._acks, self._link.send)
        self._topics = topics(opener.database)
        self._epoch = ""
        self._pending = 0
        self._idle: IdleWalk | None = None
        self._idle_task: asyncio.Task[None] | None = None
        self._namespaces = NamespaceWalk(self._link.call, self._now, walk_seconds)
        if idle_age is not None:
            self._idle = IdleWalk(self._link.call, idle_age, self._now, self._topics, walk_seconds)

    # Life

    async def open(self, listener: Listener) -> None:
        self._listener = listener
        await self._link.open(listener)
        if self._idle is not None:
            self._idle_task = asyncio.get_running_loop().create_task(self._idle.run())

    async def close(self) -> None:
        if self._idle_task is not None:
            self._idle_task.cancel()
            await asyncio.wait([self._idle_task])
        await self._namespaces.close()
        await self._link.close()

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def ready(self) -> bool:
        return self._link.ready

    @property
    def evicts(self) -> bool:
        """Whether Redis may evict logs, so that events are lost untold."""
        return self._check.evicts

    def _lost(self) -> None:
        self._receipts.lost()

    async def _prepare(self, ask: Ask) -> None:
        """Load the scripts, and see that this server will do."""
        await self._check.prepare(ask)
        for script in SCRIPTS:
            reply = await ask((b"SCRIPT", b"LOAD", script.source))
            if reply != script.sha:
                raise _refused(reply)
        await self._acks.check(ask)
        self._epoch = begun(await ask(BEGIN.call((EPOCH_KEY,), draw_epoch(), FORMAT)))

    # The log

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        outcomes: dict[int, Outcome] = {}
        count = len(appends)

        def took(index: int, reply: Reply) -> None:
            self._pending -= 1
            outcome = outcomes[index] = _outcome(appends[index], reply)
            self._report(appends[index].channel, outcome)
            if len(outcomes) == count:
                self._receipts.settle([outcomes[index] for index in range(count)], done)

        for index, append in enumerate(appends):
            self._pending += 1
            if (why := self._link.refusal) is not None:
                took(index, why)
            elif self._pending > MAX_PENDING:
                full = f"More than {MAX_PENDING} publishes wait for Redis; try again."
                took(index, StoreUnavailable(full, "busy"))
            else:
                self._link.send(self._append_command(append), partial(took, index))
        if not appends:
            done([])

    def _report(self, channel: str, outcome: Outcome) -> None:
        """Notify the listener of the end of the log by an outcome, before the feed does."""
        cursor = None
        if isinstance(outcome, Appended):
            cursor = outcome.position
            self._epoch = cursor.epoch
        elif isinstance(outcome, Mismatch):
            cursor = outcome.last
        # An event of an older epoch is in no tail by that name.
        if cursor is not None and cursor.epoch == self._epoch:
            self._listener.receipt(channel, cursor)

    def _append_command(self, append: Append) -> Command:
        name, draft, retention = append.channel, append.draft, append.retention
        meta, stream = keys(name)
        used = used_key(name, append.key) if append.key else meta
        expect = append.expect
        if expect is None:
            condition = ""
        elif expect.cursors is None:
            condition = "any"
        else:
            condition = " ".join(map(str, expect.cursors)) or "none"
        script = APPEND
        of_namespace: tuple[bytes, ...] = ()
        limit: tuple[int | str, ...] = ()
        if retention.namespace_bytes is not None:
            script = APPEND_LIMITED
            self._namespaces.include(head := namespace(name))
            of_namespace, limit = (bytes_key(head),), (retention.namespace_bytes,)
        if draft.traceparent:
            limit = (*(limit or ("",)), draft.traceparent)
        return script.call(
            (meta, stream, used, EPOCH_KEY, NAMES_KEY, *of_namespace),
            draw_epoch(),
            pack(draft),
            retention.events,
            int((retention.age or 0) * 1000),
            condition,
            fingerprint(draft).hex() if append.key else "",
            IDEMPOTENCY_SECONDS * 1000,
            self._now(),
            self._topics + name.encode(),
            "" if name.startswith(PRIVATE_MARK) else name,
            draft.id,
            *limit,
        )

    async def read(self, channel: str, since: Since, limit: int) -> Read:
        if isinstance(since, Cursor):
            place = (b"after", since.epoch, since.offset)
        else:
            place = (_KINDS[since], "", 0)
        span, events = await self._read(channel, place, limit)
        after = span.locate(since)
        if not isinstance(after, int):
            return after
        return span.page(after, events, limit)

    async def tail(self, channel: str, limit: int) -> Page:
        await self._link.feed.follow(channel)
        span, events = await self._read(channel, (b"tail", "", 0), limit)
        return span.tail(events, limit)

    async def _read(
        self, channel: str, place: tuple[bytes, str, int], limit: int
    ) -> tuple[ReadRange, list[Any]]:
        three = (*keys(channel), EPOCH_KEY)
        command = READ.call(
            three,
            *place,
            limit,
            MAX_RESPONSE_BYTES,
            self._now(),
            b"1" if channel.startswith(PRIVATE_MARK) else b"",
        )
        for _ in range(MAX_LIVES):
            if reply := await self._link.call(command):
                break
            # Another life of Redis than the known one: give it its epoch, then read.
            self._epoch = begun(
                await self._link.call(BEGIN.call((EPOCH_KEY,), draw_epoch(), FORMAT))
            )
        else:
            raise StoreUnavailable(
                "The log in Redis changes faster than it can be read; try again."
            )
        epoch, oldest, top, entries = reply
        self._epoch = epoch.decode()
        return ReadRange(self._epoch, oldest, top), [
            unpack_entry(channel, entry) for entry in entries
        ]

    async def time(self) -> float:
        if self._clock is not None:
            return self._clock() * 1000
        seconds, microseconds = await self._link.call((b"TIME",))
        return int(seconds) * 1000 + int(microseconds) / 1000

    async def count(self) -> int:
        return int(await self._link.call((b"ZCARD", NAMES_KEY)))

    async def retained(self, namespace: str) -> int:
        return await self._namespaces.retained(namespace)

    def leave(self, channel: str) -> None:
        self._link.feed.leave(channel)

    async def delete(self, channel: str) -> bool:
        command = DELETE.call(
            (*keys(channel), NAMES_KEY, EPOCH_KEY, bytes_key(namespace(channel))),
            self._topics + channel.encode(),
            channel,
            draw_epoch(),
            "" if self._idle is None else "1",
        )
        if (why := self._link.refusal) is not None:
            raise why
        kind, count = await self._link.call(command)
        if kind == b"fenced":
            raise _fenced(count)
        deleted = bool(count)
        if deleted:
            self._listener.receipt(channel, None)
        return deleted

    async def channels(self, prefix: str, after: str, limit: int) -> list[ChannelInfo]:
        least = max(b"[" + prefix.encode(), b"(" + after.encode(), key=lambda bound: bound[1:])
        if after and after >= prefix:
            least = b"(" + after.encode()
        elif not prefix:
            least = b"-"
        # No name has the byte FF: it is in no UTF-8.
        most = b"(" + prefix.encode() + b"\xff" if prefix else b"+"
        names = await self._link.call((b"ZRANGEBYLEX", NAMES_KEY, least, most, b"LIMIT", 0, limit))
        infos = await asyncio.gather(*(self._info(name.decode()) for name in names))
        return [info for info in infos if info.events]

    async def _info(self, name: str) -> ChannelInfo:
        span, _ = await self._read(name, (b"now", "", 0), 1)
        return ChannelInfo(name, span.top - span.oldest + 1, span.latest)

    def take_tokens(
        self,
        key: str,
        numbers: tuple[float, float, float, int],
        process: str,
        done: Callable[[TokenLease | None], None],
    ) -> None:
        """Lease tokens of a rate; see `SharedTokens`."""
        interval, burst, used, wanted = numbers
        keys_of_rate = (LIMITS_PREFIX + key.encode(), LIMITS_PREFIX + b"processes:")
        command = TOKENS.call(
            keys_of_rate, repr(interval), repr(burst), repr(used), wanted, process
        )

        def took(reply: Reply) -> None:
            if isinstance(reply, StoreError):
                done(None)
            else:
                granted, wait, processes = reply
                done(TokenLease(granted, wait / 1000, processes))

        self._link.send(command, took)

    def _now(self) -> bytes | int:
        return b"" if self._clock is None else int(self._clock() * 1000)

    def __repr__(self) -> str:
        return f"<RedisStore {'ready' if self.ready else 'not ready'}>"


def _outcome(append: Append, reply: Reply) -> Outcome:
    if isinstance(reply, StoreError):
        return reply
    kind = reply[0]
    if kind == b"ok":
        cursor = Cursor(reply[1].decode(), int(reply[2]))
        return Appended(cursor, append.draft.id or str(cursor), created=reply[3] == b"1")
    if kind == b"duplicate":
        cursor = Cursor(reply[1].decode(), int(reply[2]))
        present = reply[4].decode() if reply[4] != reply[1] else ""
        return Appended(cursor, reply[3].decode(), duplicate=True, present=present)
    if kind == b"mismatch":
        return Mismatch(Cursor(reply[1].decode(), int(reply[2])) if len(reply) > 1 else None)
    if kind == b"fenced":
        return _fenced(reply[1])
    if kind == b"full":
        return NamespaceFull(namespace(append.channel), append.retention.namespace_bytes or 0)
    return KeyReused()


def begun(reply: Reply) -> str:
    """The epoch in a reply of the script `begin`.

    Raises:
        StoreError: Redis refuses, or the data has another format.
    """
    if not isinstance(reply, list):
        raise _refused(reply)
    if reply[0] != b"format":
        epoch: bytes = reply[1]
        return epoch.decode()
    found = reply[1].decode()
    raise StoreError(
        f"The data in this Redis has format {found[:20]}, and this pushhub reads format {FORMAT}:"
        " use the pushhub that wrote it, or another database (docs/deploy-redis.md, Upgrading)."
    )


def _fenced(left: int) -> StoreUnavailable:
    return StoreUnavailable(
        f"The store is fenced for a planned restart of Redis, for {left / 1000:.0f} s at most;"
        " try again.",
        "fenced",
    )


def _refused(reply: Reply) -> StoreError:
    return StoreUnavailable(f"Redis refuses to serve pushhub: {str(reply).rstrip('.')}.")
