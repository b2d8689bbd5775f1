"""What an acknowledged publish has reached: the master's memory, replicas, or disks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pushhub.store.base import Appended, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pushhub.store.base import Outcome
    from pushhub.store.redis_wire import Command, Reply

    Send = Callable[[Command, Callable[[Reply], None]], None]


class Level(StrEnum):
    """How far an event has come when its publisher is told so."""

    MEMORY = "memory"
    """In the master's memory. A crash may lose it; readers are told of the gap."""
    REPLICATED = "replicated"
    """In the memory of so many replicas as well (WAIT)."""
    FSYNC = "fsync"
    """On the master's disk as well (WAITAOF; Redis 7.2, Valkey)."""


@dataclass(frozen=True, slots=True)
class Acks:
    """The wanted level; for `replicated` how many replicas; how long to wait for either, in
    milliseconds.
    """

    level: Level = Level.MEMORY
    replicas: int = 1
    milliseconds: int = 1000

    @property
    def command(self) -> Command | None:
        """What is asked after an append; it answers for all that the connection has written."""
        match self.level:
            case Level.REPLICATED:
                return (b"WAIT", self.replicas, self.milliseconds)
            case Level.FSYNC:
                return (b"WAITAOF", 1, 0, self.milliseconds)
        return None

    async def check(self, ask: Callable[[Command], Awaitable[Reply]]) -> None:
        """See that the server knows the level.

        Raises:
            StoreError: it does not.
        """
        if self.level is Level.FSYNC:
            reply = await ask((b"WAITAOF", 0, 0, 1))
            if isinstance(reply, Exception):
                raise StoreError(
                    "This Redis has no WAITAOF, which 'fsync' needs: use Redis 7.2 or Valkey, or"
                    f" another level. It says: {reply}"
                )

    def settle(
        self, outcomes: list[Outcome], send: Send, done: Callable[[list[Outcome]], None]
    ) -> None:
        """Wait as long as the level asks, and mark what was reached."""
        command = self.command
        if command is None or not any(isinstance(outcome, Appended) for outcome in outcomes):
            done(outcomes)
            return

        def take(reply: Any) -> None:
            level = self.level if self._reached(reply) else Level.MEMORY
            done([_mark(outcome, level) for outcome in outcomes])

        send(command, take)

    def _reached(self, reply: Any) -> bool:
        if self.level is Level.REPLICATED:
            return isinstance(reply, int) and reply >= self.replicas
        return isinstance(reply, list) and bool(reply[0])


def _mark(outcome: Outcome, level: Level) -> Outcome:
    return replace(outcome, reached=level.value) if isinstance(outcome, Appended) else outcome
