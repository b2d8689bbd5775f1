"""What an acknowledged publish has reached: the master's memory, replicas, or disks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pushhub.store.base import Appended, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from pushhub.store.base import Outcome
    from pushhub.store.redis.wire import Command, Reply

    Send = Callable[[Command, Callable[[Reply], None]], None]

Done = Callable[[list["Outcome"]], None]


class AckLevel(StrEnum):
    """How far an event has come when its publish is acknowledged."""

    MEMORY = "memory"
    """In the master's memory. A crash may lose it; readers receive a gap."""
    REPLICATED = "replicated"
    """In the memory of so many replicas as well (WAIT)."""
    FSYNC = "fsync"
    """On the master's disk as well (WAITAOF; Redis 7.2, Valkey)."""


@dataclass(frozen=True, slots=True)
class Acks:
    """The wanted level; for `replicated` how many replicas; how long to wait for either, in
    milliseconds.
    """

    level: AckLevel = AckLevel.MEMORY
    replicas: int = 1
    milliseconds: int = 1000

    @property
    def command(self) -> Command | None:
        """The command after an append; its reply covers all writes of the connection."""
        match self.level:
            case AckLevel.REPLICATED:
                return (b"WAIT", self.replicas, self.milliseconds)
            case AckLevel.FSYNC:
                return (b"WAITAOF", 1, 0, self.milliseconds)
        return None

    async def check(self, ask: Callable[[Command], Awaitable[Reply]]) -> None:
        """Check that the server supports the level.

        Raises:
            StoreError: it does not.
        """
        if self.level is not AckLevel.FSYNC:
            return
        reply = await ask((b"WAITAOF", 1, 0, 1))
        if isinstance(reply, Exception):
            raise StoreError(
                "This Redis does not report what is on its disk, as 'fsync' needs: use Redis 7.2 "
                f"or Valkey with 'appendonly yes', or another level. It says: {reply}"
            )
        # With `everysec` Redis 7.4 and Valkey 9 say so before it is there (redis/redis#13793).
        reply = await ask((b"CONFIG", b"GET", b"appendfsync"))
        if not isinstance(reply, list) or b"always" not in reply:
            raise StoreError(
                "'fsync' needs a Redis with 'appendfsync always', and the right to read it by "
                "CONFIG GET: with any other setting some versions say that an event is on the "
                f"disk before it is. Set it, or use another level. It says: {reply}"
            )

    @property
    def seconds(self) -> float:
        """How long the command may block the connection."""
        return 0.0 if self.level is AckLevel.MEMORY else self.milliseconds / 1000

    def level_of(self, reply: Any) -> AckLevel:
        """The level that a reply confirms."""
        if self.level is AckLevel.REPLICATED:
            reached = isinstance(reply, int) and reply >= self.replicas
        else:
            reached = isinstance(reply, list) and bool(reply[0])
        return self.level if reached else AckLevel.MEMORY


class Receipts:
    """Finds out how far appends have come, before they are acknowledged.

    The command blocks the connection, and all commands after it, until its reply. So there is one
    at a time, and its reply covers all appends before it.
    """

    __slots__ = ("_acks", "_asked", "_next", "_send")

    def __init__(self, acks: Acks, send: Send) -> None:
        self._acks = acks
        self._send = send
        self._next: list[tuple[list[Outcome], Done]] = []
        self._asked = False

    def settle(self, outcomes: list[Outcome], done: Done) -> None:
        """Pass `outcomes` to `done`, marked with the level reached, when that is known."""
        command = self._acks.command
        if command is None or not any(isinstance(outcome, Appended) for outcome in outcomes):
            done(outcomes)
            return
        self._next.append((outcomes, done))
        if not self._asked:
            self._ask(command)

    def _ask(self, command: Command) -> None:
        batch, self._next = self._next, []
        self._asked = True

        def take(reply: Any) -> None:
            self._asked = False
            if self._next:
                self._ask(command)
            level = self._acks.level_of(reply)
            for outcomes, done in batch:
                done([_mark(outcome, level) for outcome in outcomes])

        self._send(command, take)

    def lost(self) -> None:
        """The connection is lost. Another one cannot say how far this one's appends have come."""
        batch, self._next = self._next, []
        for outcomes, done in batch:
            done([_mark(outcome, AckLevel.MEMORY) for outcome in outcomes])


def _mark(outcome: Outcome, level: AckLevel) -> Outcome:
    return replace(outcome, reached=level.value) if isinstance(outcome, Appended) else outcome
