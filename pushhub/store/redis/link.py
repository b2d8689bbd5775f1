"""The two connections to Redis: one for commands, one for the feed.

When either is lost, the link opens it again, without end, with jittered pauses; meanwhile it
refuses commands immediately.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import hiredis
import structlog

from pushhub.store.base import StoreError, StoreUnavailable
from pushhub.store.redis.feed import PING_SECONDS, SILENCE_SECONDS, Feed, FeedWire
from pushhub.store.redis.wire import LOST, Command, Reply, Wire
from pushhub.store.refusals import RefusalLog

if TYPE_CHECKING:
    from pushhub.store.base import Listener
    from pushhub.store.redis.open import Opener

log = structlog.get_logger(__name__)

# How long a command may wait for its reply before the link closes the connection: publishers get an
# error quickly.
COMMAND_SECONDS = 2.0
# Pauses between attempts to connect: doubled each time, drawn between a half and the whole.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
# How often the connections are checked.
WATCH_SECONDS = 0.25

# Errors of a server that is not, or no longer, the one that was prepared. Redis 6.2 wraps the error
# of a script in a sentence of its own.
_WRONG_SERVER = re.compile(r"(?:^|[ -])(?:NOSCRIPT|READONLY|LOADING|MASTERDOWN|UNBLOCKED) ")
# Errors of a server that refuses writes; each has a sentence for the operator.
_REFUSAL = re.compile(r"\b(NOREPLICAS|OOM|READONLY|MISCONF)\b")

# How long a task may resist its cancellation: more than any attempt to connect takes.
CLOSE_SECONDS = 10.0
# Errors by which Redis refuses to write, and their reasons here. Redis 6.2 wraps them, too.
_REFUSALS = {
    "NOREPLICAS": "noreplicas",
    "OOM": "oom",
    "READONLY": "readonly",
    "MISCONF": "misconf",
}

AWAY = "Redis cannot be reached at the moment."
CLOSED = "The store is closed."
SWITCHING = "Redis is being switched to another master; try again in a moment."

Ask = Callable[[Command], Awaitable[Reply]]


class RedisLink:
    """Both connections, and the commands in flight.

    Args:
        opener: opens them.
        prepare: prepares a new connection for commands; gets a function that sends a command.
        lost: called when the connection for commands is lost, after its pending commands failed.
        patience: for how many seconds a command may keep the connection, on top of what any may.
        inspect: gets the reply to INFO memory, every `PING_SECONDS`.
    """

    def __init__(
        self,
        opener: Opener,
        prepare: Callable[[Ask], Awaitable[None]],
        lost: Callable[[], None],
        patience: float = 0.0,
        inspect: Callable[[Reply], None] = lambda reply: None,
    ) -> None:
        self._opener = opener
        self._prepare = prepare
        self._lost = lost
        self._patience = patience
        self._inspect = inspect
        # The last reason that was logged for each connection that cannot be opened.
        self._reasons: dict[str, str] = {}
        self._commands: Wire | None = None
        self.feed: Feed
        self._feed_wire: FeedWire | None = None
        self._refusals = RefusalLog(_log_refusal)
        self._unreadable = RefusalLog(_log_unreadable)
        self._unanswered = 0
        self._closing: asyncio.Event | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._commands_lost = asyncio.Event()
        self._feed_lost = asyncio.Event()

    # Life

    async def open(self, listener: Listener) -> None:
        """Connect.

        Raises:
            StoreError: a connection cannot be opened; the sentence says why.
        """
        self._loop = asyncio.get_running_loop()
        self.feed = Feed(
            self._loop, listener, self._opener.database, self._restore, self._note_unreadable
        )
        if self._opener.sentinels is not None:
            # First, so that no failover passes between the connection and the subscription.
            self._opener.sentinels.watch(self._leave)
        try:
            await self._connect_commands()
            await self._connect_feed()
        except StoreError:
            await self.close()
            raise
        self._tasks = [
            self._loop.create_task(
                self._keep("commands", self._commands_lost, self._connect_commands)
            ),
            self._loop.create_task(self._keep("feed", self._feed_lost, self._connect_feed)),
            self._loop.create_task(self._watch()),
        ]

    def _leave(self) -> None:
        """The master has moved: leave connections to any other server, however well they work."""
        sentinels = self._opener.sentinels
        for wire in (self._commands, self._feed_wire):
            if wire is not None and sentinels is not None and wire.address != sentinels.current:
                wire.abort()

    @property
    def refusal(self) -> StoreUnavailable | None:
        """Why the link refuses writes now; None if it takes them."""
        if self._closing is not None:
            return StoreUnavailable(CLOSED, "closed")
        sentinels = self._opener.sentinels
        if sentinels is not None and sentinels.switching:
            return StoreUnavailable(SWITCHING, "away")
        return None

    async def close(self) -> None:
        """Wait for commands in flight, as long as any command may take, and disconnect."""
        self._closing = asyncio.Event()
        tasks = set(self._tasks)
        end = self._loop.time() + CLOSE_SECONDS
        while tasks and self._loop.time() < end:
            for task in tasks:
                task.cancel()
            # Again and again: redis-py connects within asyncio.wait_for, which before Python 3.12
            # forgets a cancellation that arrives as the awaited task ends (CPython's gh-86296).
            _, tasks = await asyncio.wait(tasks, timeout=FIRST_PAUSE)
        if self._unanswered:
            try:
                async with asyncio.timeout(COMMAND_SECONDS + self._patience):
                    await self._closing.wait()
            except TimeoutError:
                pass
        for wire in (self._feed_wire, self._commands):
            if wire is not None:
                wire.abort()
        self._refusals.close()
        self._unreadable.close()
        await self._opener.close()

    @property
    def ready(self) -> bool:
        """Whether Redis runs commands, and the feed is live."""
        return self._commands is not None and self.feed.is_live

    async def _connect_commands(self) -> None:
        wire = await self._opener.open(Wire(self._loop, self._lost_commands))
        try:
            await self._prepare(lambda command: self._ask(wire, command))
            if wire.lost:
                raise StoreUnavailable(LOST)
        except BaseException:
            # Refused, or cancelled: no other code would close it.
            wire.abort()
            raise
        self._commands = wire
        self._commands_lost.clear()
        feed = self._feed_wire
        if feed is not None and feed.server != wire.server:
            # It is still on the former server, and receives no events of this one.
            feed.abort()
        self._restore()

    async def _connect_feed(self) -> None:
        wire = await self._opener.open(FeedWire(self._loop, self._lost_feed, self.feed))
        self._feed_wire = wire
        self._feed_lost.clear()
        commands = self._commands
        if commands is not None and commands.server != wire.server:
            commands.abort()
        self.feed.connected(wire)

    def _restore(self) -> None:
        """Restore the feed, once the log can be read and every subscription is confirmed: waiting
        readers read again.

        Also when commands alone were lost: reads that failed meanwhile are waiting for that.
        """
        if self._commands is not None and self.feed.whole:
            self.feed.restore()

    def _lost_commands(self) -> None:
        if self._commands is not None and not self._closing:
            log.warning("redis.lost", connection="commands")
        self._commands = None
        self._lost()
        self._commands_lost.set()

    def _lost_feed(self) -> None:
        if self._feed_wire is not None and not self._closing:
            log.warning("redis.lost", connection="feed")
        self._feed_wire = None
        self.feed.lost()
        self._feed_lost.set()

    async def _keep(self, name: str, lost: asyncio.Event, connect: Callable[[], Any]) -> None:
        """Connect again whenever a connection is lost. A reason is logged once, until another.

        A server, or a proxy, may accept each connection and drop it, so a pause comes before the
        next one then, too.
        """
        pause, connected = FIRST_PAUSE, -math.inf
        while True:
            await lost.wait()
            if self._loop.time() - connected > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            else:
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = min(2 * pause, LONGEST_PAUSE)
            while lost.is_set():
                try:
                    await connect()
                except Exception as error:
                    if isinstance(error, StoreError):
                        self._log_reason(name, str(error))
                    else:
                        # A mistake in the code or a library: without Redis for ever would be worse.
                        log.exception("redis.failed")
                    await asyncio.sleep(pause * random.uniform(0.5, 1))
                    pause = min(2 * pause, LONGEST_PAUSE)
            self._reasons.pop(name, None)
            connected = self._loop.time()
            log.info("redis.connected")

    def _log_reason(self, name: str, reason: str) -> None:
        say = log.debug if self._reasons.get(name) == reason else log.warning
        self._reasons[name] = reason
        say("redis.unreachable", connection=name, error=reason)

    async def _watch(self) -> None:
        """Close connections with an overdue reply: a hung server refuses no connection."""
        pinged = 0.0
        looked = self._loop.time()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            now = self._loop.time()
            stalled, looked = now - looked - 2 * WATCH_SECONDS, now
            if stalled > 0:
                # Commands may not have been sent, nor replies been read: a stall of this process
                # is no silence of the server.
                for wire in (self._commands, self._feed_wire):
                    if wire is not None:
                        wire.excuse(stalled)
            self._refusals.expire(now)
            self._unreadable.expire(now)
            commands, feed = self._commands, self._feed_wire
            if commands and commands.silent_for(now) > COMMAND_SECONDS + self._patience:
                commands.abort()
            if feed and feed.silent_for(now) > SILENCE_SECONDS:
                feed.abort()
            if now - pinged >= PING_SECONDS:
                pinged = now
                if feed:
                    feed.ping(now)
                if commands:
                    # Without publishes a lost connection would show only at the next one.
                    commands.send((b"INFO", b"memory"), self._inspect)

    # Commands

    def send(self, command: Command, take: Callable[[Reply], None]) -> None:
        """Send a command; `take` gets the reply, or a `StoreError`."""
        wire = self._commands
        if wire is None:
            take(
                StoreUnavailable(CLOSED, "closed")
                if self._closing
                else StoreUnavailable(AWAY, "away")
            )
            return
        self._unanswered += 1

        def took(reply: Reply) -> None:
            if isinstance(reply, hiredis.ReplyError):
                reply = self._failed(reply)
            take(reply)
            self._unanswered -= 1
            if self._closing and not self._unanswered:
                self._closing.set()

        wire.send(command, took)

    def _failed(self, error: Exception) -> StoreUnavailable:
        text = str(error)
        if _WRONG_SERVER.search(text):
            # Another server than before: one without the scripts, a replica by now, one that
            # starts.
            if self._commands is not None:
                self._commands.abort()
        else:
            self._refusals.note(_reason(text), text, self._loop.time())
        return StoreUnavailable(f"Redis refused the command: {text[:200]}", _reason(text))

    def _note_unreadable(self, channel: str) -> None:
        self._unreadable.note("format", channel, self._loop.time())

    async def call(self, command: Command) -> Reply:
        """The reply to a command.

        Raises:
            StoreUnavailable: Redis cannot be reached, or refuses the command.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()

        def take(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        self.send(command, take)
        reply = await future
        if isinstance(reply, StoreError):
            raise reply
        return reply

    async def _ask(self, wire: Wire, command: Command) -> Reply:
        """Send a command on a connection that is not in use yet."""
        return await wire.ask(command, COMMAND_SECONDS)

    def __repr__(self) -> str:
        return f"<RedisLink {'ready' if self.ready else 'not ready'}>"


def _log_refusal(reason: str, text: str, count: int) -> None:
    log.error("redis.refused", reason=reason, error=text[:200], count=count)


def _log_unreadable(reason: str, channel: str, count: int) -> None:
    log.warning("redis.unreadable", reason=reason, channel=channel[:200], count=count)


def _reason(text: str) -> str:
    """The word for an error of Redis."""
    found = _REFUSAL.search(text)
    return _REFUSALS[found[1]] if found else "other"
