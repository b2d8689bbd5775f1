"""A log in Redis (6.2 and later) or Valkey, for many workers and nodes.

Scripts append and read, each in one atomic step; pub/sub carries a copy of every event to all who
follow its channel. What Redis loses shows in the epoch (`lua/epoch.lua`), and whoever has a cursor
of an older one is told of a gap.

Two connections: one for commands, one for the feed. When either is lost, it is opened again, for
ever, with jittered pauses; meanwhile publishes are refused at once, and nothing is acknowledged
that is not in the log.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import hiredis
import structlog

from pushhub.protocol.channel import PRIVATE_MARK
from pushhub.protocol.cursor import Cursor, Since, Start
from pushhub.protocol.page import MAX_ANSWER_BYTES, Page, Read
from pushhub.store.base import (
    IDEMPOTENCY_SECONDS,
    Append,
    Appended,
    ChannelInfo,
    KeyReused,
    Mismatch,
    Outcome,
    StoreError,
    StoreUnavailable,
)
from pushhub.store.identity import draw_epoch, fingerprint
from pushhub.store.redis_acks import Acks
from pushhub.store.redis_feed import PING_SECONDS, SILENCE_SECONDS, Feed, FeedWire
from pushhub.store.redis_frame import EPOCH_KEY, NAMES_KEY, pack, tag, topic, unpack_entry
from pushhub.store.redis_open import Opener
from pushhub.store.redis_scripts import APPEND, BEGIN, DELETE, READ, SCRIPTS
from pushhub.store.redis_wire import Reply, Wire
from pushhub.store.span import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.store.base import Listener
    from pushhub.store.redis_wire import Command

log = structlog.get_logger(__name__)

# How long a command may go unanswered before the connection is given up: publishers are told
# quickly.
COMMAND_SECONDS = 2.0
# Pauses between attempts to connect: doubled each time, drawn between a half and the whole.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
# How often the connections are looked at.
WATCH_SECONDS = 0.25
# Commands that may be on their way; more are refused, since they would wait too long.
MAX_PENDING = 20_000

_KINDS = {Start.EARLIEST: b"earliest", Start.NOW: b"now", Start.LAST: b"last"}


class RedisStore:
    """`redis://`, `rediss://`, `unix://` and `redis+sentinel://`.

    Args:
        url: as `Opener` reads it.
        clock: seconds since 1970; None is Redis' own, which all nodes share.
        acks: what an acknowledged publish has reached.
    """

    # Silence may mean that a message was lost on its way.
    certain = False

    def __init__(
        self, url: str, clock: Callable[[], float] | None = None, acks: Acks | None = None
    ) -> None:
        self._opener = Opener(url)
        self._clock = clock
        self._acks = acks or Acks()
        self._epoch = ""
        self._commands: Wire | None = None
        self._feed: Feed
        self._feed_wire: FeedWire | None = None
        self._pending = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._commands_lost = asyncio.Event()
        self._feed_lost = asyncio.Event()

    # Life

    async def open(self, listener: Listener) -> None:
        self._loop = asyncio.get_running_loop()
        self._feed = Feed(self._loop, listener)
        await self._connect_commands()
        await self._connect_feed()
        self._tasks = [
            self._loop.create_task(self._keep(self._commands_lost, self._connect_commands)),
            self._loop.create_task(self._keep(self._feed_lost, self._connect_feed)),
            self._loop.create_task(self._watch()),
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for wire in (self._feed_wire, self._commands):
            if wire is not None:
                wire.abort()
        await self._opener.close()

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def ready(self) -> bool:
        return self._commands is not None and self._feed.hears

    async def _connect_commands(self) -> None:
        wire = await self._opener.open(Wire(self._loop, self._lost_commands))
        for script in SCRIPTS:
            reply = await self._ask(wire, (b"SCRIPT", b"LOAD", script.source))
            if reply != script.sha:
                wire.abort()
                raise _refused(reply)
        await self._acks.check(lambda command: self._ask(wire, command))
        epoch = await self._ask(wire, BEGIN.call((EPOCH_KEY,), draw_epoch()))
        if not isinstance(epoch, bytes):
            wire.abort()
            raise _refused(epoch)
        self._epoch = epoch.decode()
        self._commands = wire
        self._commands_lost.clear()

    async def _connect_feed(self) -> None:
        wire = await self._opener.open(FeedWire(self._loop, self._lost_feed, self._feed))
        self._feed_wire = wire
        self._feed_lost.clear()
        self._feed.connected(wire)

    def _lost_commands(self) -> None:
        if self._commands is not None:
            log.warning("redis.lost", connection="commands")
        self._commands = None
        self._commands_lost.set()

    def _lost_feed(self) -> None:
        if self._feed_wire is not None:
            log.warning("redis.lost", connection="feed")
        self._feed_wire = None
        self._feed.lost()
        self._feed_lost.set()

    async def _keep(self, lost: asyncio.Event, connect: Callable[[], Any]) -> None:
        """Connect again whenever a connection is lost."""
        while True:
            await lost.wait()
            pause = FIRST_PAUSE
            while lost.is_set():
                try:
                    await connect()
                except StoreError as error:
                    log.debug("redis.unreachable", error=str(error))
                    await asyncio.sleep(pause * random.uniform(0.5, 1))
                    pause = min(2 * pause, LONGEST_PAUSE)
            log.info("redis.connected")

    async def _watch(self) -> None:
        """Give up connections on which an answer is overdue: a hung server refuses nobody."""
        pinged = 0.0
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = self._loop.time()
            if self._commands is not None and self._commands.silent_for(now) > COMMAND_SECONDS:
                self._commands.abort()
            wire = self._feed_wire
            if wire is not None:
                if wire.silent_for(now) > SILENCE_SECONDS:
                    wire.abort()
                elif now - pinged >= PING_SECONDS:
                    pinged = now
                    wire.ping(now)

    # Commands

    def _send(self, command: Command, take: Callable[[Reply], None]) -> None:
        wire = self._commands
        if wire is None:
            take(StoreUnavailable("Redis cannot be reached at the moment; nothing was published."))
            return
        if self._pending >= MAX_PENDING:
            take(StoreUnavailable(f"More than {MAX_PENDING} requests wait for Redis; try again."))
            return
        self._pending += 1

        def took(reply: Reply) -> None:
            self._pending -= 1
            if isinstance(reply, hiredis.ReplyError):
                reply = self._failed(reply)
            take(reply)

        wire.send(command, took)

    def _failed(self, error: Exception) -> StoreUnavailable:
        text = str(error)
        if text.startswith(("NOSCRIPT", "READONLY", "LOADING", "MASTERDOWN", "UNBLOCKED")):
            # Not the server it was: another that lacks the scripts, a replica by now, one that
            # starts.
            if self._commands is not None:
                self._commands.abort()
        else:
            log.error("redis.refused", error=text)
        return StoreUnavailable(f"Redis refused the command: {text[:200]}")

    async def _call(self, command: Command) -> Reply:
        future: asyncio.Future[Reply] = self._loop.create_future()

        def take(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        self._send(command, take)
        reply = await future
        if isinstance(reply, StoreError):
            raise reply
        return reply

    async def _ask(self, wire: Wire, command: Command) -> Reply:
        """Send a command on a connection that is not in use yet."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        wire.send(command, lambda reply: None if future.done() else future.set_result(reply))
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                reply = await future
        except TimeoutError:
            wire.abort()
            raise StoreUnavailable("Redis does not answer.") from None
        if isinstance(reply, StoreError):
            raise reply
        return reply

    # The log

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        outcomes: list[Outcome | None] = [None] * len(appends)
        left = len(appends)

        def settle(index: int, outcome: Outcome) -> None:
            nonlocal left
            outcomes[index] = outcome
            left -= 1
            if not left:
                self._acks.settle(outcomes, self._send, done)  # type: ignore[arg-type]

        def take(index: int, append: Append) -> Callable[[Reply], None]:
            return lambda reply: settle(index, _outcome(append, reply))

        for index, append in enumerate(appends):
            self._send(self._append_command(append), take(index, append))
        if not appends:
            done([])

    def _append_command(self, append: Append) -> Command:
        name, draft, retention = append.channel, append.draft, append.retention
        own = tag(name)
        key = own + b":k:" + append.key.encode() if append.key else own
        expect = append.expect
        if expect is None:
            condition = ""
        elif expect.cursors is None:
            condition = "any"
        else:
            condition = " ".join(map(str, expect.cursors)) or "none"
        return APPEND.call(
            (own + b":m", own + b":s", key, EPOCH_KEY, NAMES_KEY),
            draw_epoch(),
            pack(draft),
            retention.events,
            int((retention.age or 0) * 1000),
            condition,
            fingerprint(draft).hex() if append.key else "",
            IDEMPOTENCY_SECONDS * 1000,
            self._now(),
            topic(name),
            "" if name.startswith(PRIVATE_MARK) else name,
            draft.id,
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
        await self._feed.follow(channel)
        span, events = await self._read(channel, (b"tail", "", 0), limit)
        return span.tail(events, limit)

    async def _read(
        self, channel: str, place: tuple[bytes, str, int], limit: int
    ) -> tuple[Span, list[Any]]:
        own = tag(channel)
        keys = (own + b":m", own + b":s", EPOCH_KEY)
        command = READ.call(keys, *place, limit, MAX_ANSWER_BYTES, self._now())
        reply = await self._call(command)
        if not reply:
            # Another life of Redis than the one that we know: give it its epoch, then read.
            await self._begin()
            reply = await self._call(command)
        epoch, oldest, top, entries = reply
        self._epoch = epoch.decode()
        return Span(self._epoch, oldest, top), [unpack_entry(channel, entry) for entry in entries]

    async def _begin(self) -> None:
        self._epoch = (await self._call(BEGIN.call((EPOCH_KEY,), draw_epoch()))).decode()

    def leave(self, channel: str) -> None:
        self._feed.leave(channel)

    async def delete(self, channel: str) -> bool:
        own = tag(channel)
        command = DELETE.call((own + b":m", own + b":s", NAMES_KEY), topic(channel), channel)
        return bool(await self._call(command))

    async def channels(self, prefix: str, after: str, limit: int) -> list[ChannelInfo]:
        least = max(b"[" + prefix.encode(), b"(" + after.encode(), key=lambda bound: bound[1:])
        if after and after >= prefix:
            least = b"(" + after.encode()
        elif not prefix:
            least = b"-"
        # No name has the byte FF: it is in no UTF-8.
        most = b"(" + prefix.encode() + b"\xff" if prefix else b"+"
        names = await self._call((b"ZRANGEBYLEX", NAMES_KEY, least, most, b"LIMIT", 0, limit))
        return list(await asyncio.gather(*(self._info(name.decode()) for name in names)))

    async def _info(self, name: str) -> ChannelInfo:
        span, _ = await self._read(name, (b"now", "", 0), 1)
        return ChannelInfo(name, span.top - span.oldest + 1, span.latest)

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
        return Appended(cursor, append.draft.id or str(cursor))
    if kind == b"duplicate":
        return Appended(Cursor(reply[1].decode(), int(reply[2])), reply[3].decode(), duplicate=True)
    if kind == b"mismatch":
        return Mismatch(Cursor(reply[1].decode(), int(reply[2])) if len(reply) > 1 else None)
    return KeyReused()


def _refused(reply: Reply) -> StoreError:
    return StoreUnavailable(f"Redis refuses to serve pushhub: {reply}")
