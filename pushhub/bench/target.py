"""The server under load: its address, its dialect, and its processes on this machine."""

from __future__ import annotations

import secrets
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pushhub.bench.dialect import TOKEN_MARK
from pushhub.bench.generator_pool import GeneratorPool
from pushhub.bench.publishing import BenchPublisher, RequestConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushhub.bench.dialect import Dialect
    from pushhub.bench.processes import Processes

# A server is quiet if it uses at most a clock tick of CPU in a twentieth of a second.
QUIET_SECONDS = 0.05
QUIET_CPU = 0.011
# Longer than any server needs to hold all polls.
SETTLE_SECONDS = 10.0
# The pause for a server whose processes are on another machine.
PAUSE_SECONDS = 0.3

Figures = dict[str, float]
Tick = "Callable[[float], None]"


@dataclass(frozen=True, slots=True)
class Load:
    """The size of a load."""

    holds: int = 1000
    publishes: int = 20
    """The events of each channel while the generators count."""
    seconds: float = 10.0
    """The duration of scenarios that have one."""
    spread: bool = False
    """One channel for each hold, instead of one for all."""
    size: int = 100
    """Bytes of data in an event."""
    wait: int = 55
    """The longest wait of a poll in seconds, unless the scenario has its own."""
    interval: float = 5.0
    """Seconds between two polls of a client that does not wait."""
    generators: int = 1
    """The number of generator processes."""
    tick: Callable[[float], None] = field(default=lambda share: None, repr=False)
    """Called with the completed share of the run."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load."""

    host: str
    port: int
    dialect: Dialect
    tls: bool = False
    processes: Processes | None = None
    metrics: bytes = b""
    """A whole request for the metrics; empty without metrics."""
    publish_port: int = 0
    """The port for publishes, if not `port`."""
    cheap: bytes = b""
    """A whole request with nearly no cost; without one it is the dialect's page."""
    tokens: Callable[[int], list[str]] | None = None
    """Makes tokens for a number of users, if the run can sign them."""

    @contextmanager
    def generators(self, load: Load, **changes: object) -> Iterator[GeneratorPool]:
        """Generators with the target's dialect, and changes to that."""
        dialect = replace(self.dialect, **{"wait": load.wait, **changes})
        pool = GeneratorPool(dialect, self.host, self.port, tls=self.tls, size=load.generators)
        with pool:
            yield pool

    def own_tokens(self, load: Load) -> tuple[list[str], dict[str, str]]:
        """A token for every client, and the change of the dialect for them; nothing if the run
        cannot sign tokens.
        """
        if self.tokens is None:
            return [], {}
        return self.tokens(load.holds), {"token": TOKEN_MARK.decode()}

    @contextmanager
    def publisher(self, load: Load) -> Iterator[BenchPublisher]:
        """A connection that publishes one event after another."""
        connection = RequestConnection(self.host, self.publish_port or self.port, tls=self.tls)
        with closing(BenchPublisher(connection, self.dialect, load.size)) as publisher:
            yield publisher

    def connect(self) -> RequestConnection:
        """A connection for single requests."""
        return RequestConnection(self.host, self.port, tls=self.tls)

    def cpu(self) -> float:
        """CPU seconds of the processes so far; NaN if they are on another machine."""
        return self.processes.cpu() if self.processes else float("nan")

    def rss(self) -> float:
        """KiB of memory of the processes; NaN if they are on another machine."""
        return self.processes.rss() / 1024 if self.processes else float("nan")

    def settle(self) -> None:
        """Wait until the server is quiet."""
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
    """New channel names: one, or one for each hold."""
    run = secrets.token_hex(4)
    return [f"bench-{run}-{number}" for number in range(load.holds if load.spread else 1)]
