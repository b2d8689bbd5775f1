"""What is put under load: where it is, how it is spoken to, and its processes, if they are here."""

from __future__ import annotations

import secrets
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pushhub.bench.crew import Crew
from pushhub.bench.dialect import TOKEN_MARK
from pushhub.bench.publishing import BenchPublisher, PublishLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushhub.bench.dialect import Dialect
    from pushhub.bench.processes import Processes

# A server is quiet when a twentieth of a second costs it no more than a clock tick.
QUIET_SECONDS = 0.05
QUIET_CPU = 0.011
# Longer than any server needs to park what it is asked.
SETTLE_SECONDS = 10.0
# Where the processes cannot be seen, a pause must do.
PAUSE_SECONDS = 0.3

Figures = dict[str, float]
Tick = "Callable[[float], None]"


@dataclass(frozen=True, slots=True)
class Load:
    """How much of everything."""

    holds: int = 1000
    publishes: int = 20
    """How many events each channel gets while it counts."""
    seconds: float = 10.0
    """For scenarios that last, rather than count."""
    spread: bool = False
    """One channel for each hold, rather than one for all."""
    size: int = 100
    """Bytes of data in an event."""
    wait: int = 55
    """Seconds that a poll may be held, where the scenario does not say."""
    interval: float = 5.0
    """Seconds between two polls of who does not hold."""
    generators: int = 1
    """Processes that the clients live in."""
    tick: Callable[[float], None] = field(default=lambda share: None, repr=False)
    """Called with the share that is done."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load."""

    host: str
    port: int
    dialect: Dialect
    tls: bool = False
    processes: Processes | None = None
    metrics: bytes = b""
    """The whole request for its metrics, if it has any."""
    publish_port: int = 0
    """Where events are published, if not at `port`."""
    cheap: bytes = b""
    """A whole request that costs it next to nothing; without one it is the dialect's page."""
    tokens: Callable[[int], list[str]] | None = None
    """Makes tokens for so many users, if it is we who sign them."""

    @contextmanager
    def crew(self, load: Load, **changes: object) -> Iterator[Crew]:
        """Generators that speak the target's dialect, with changes to that."""
        dialect = replace(self.dialect, **{"wait": load.wait, **changes})
        crew = Crew(dialect, self.host, self.port, tls=self.tls, size=load.generators)
        with crew:
            yield crew

    def own_tokens(self, load: Load) -> tuple[list[str], dict[str, str]]:
        """A token for every client, and the change to the dialect that they need; nothing where
        tokens are not ours to make.
        """
        if self.tokens is None:
            return [], {}
        return self.tokens(load.holds), {"token": TOKEN_MARK.decode()}

    @contextmanager
    def publisher(self, load: Load) -> Iterator[BenchPublisher]:
        """A connection that publishes one event after another."""
        line = PublishLine(self.host, self.publish_port or self.port, tls=self.tls)
        with closing(BenchPublisher(line, self.dialect, load.size)) as publisher:
            yield publisher

    def line(self) -> PublishLine:
        """A connection for single requests."""
        return PublishLine(self.host, self.port, tls=self.tls)

    def cpu(self) -> float:
        """CPU seconds of its processes so far; NaN where they cannot be seen."""
        return self.processes.cpu() if self.processes else float("nan")

    def rss(self) -> float:
        """KiB of memory of its processes; NaN where they cannot be seen."""
        return self.processes.rss() / 1024 if self.processes else float("nan")

    def settle(self) -> None:
        """Wait until it has done what it was asked."""
        if self.processes is None:
            time.sleep(PAUSE_SECONDS)
            return
        end = time.monotonic() + SETTLE_SECONDS
        before = self.processes.cpu()
        while time.monotonic() < end:
            time.sleep(QUIET_SECONDS)
            now = self.processes.cpu()
            if now - before < QUIET_CPU:
                return
            before = now


def fresh_channels(load: Load) -> list[str]:
    """Names that nobody has used: one, or one for each hold."""
    run = secrets.token_hex(4)
    return [f"bench-{run}-{number}" for number in range(load.holds if load.spread else 1)]
