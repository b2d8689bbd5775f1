"""What is measured: pushhub's drivers and stores, what a user would write first, and the peers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.servers.naive import Naive
from benchmarks.servers.nchan import Nchan
from benchmarks.servers.pushhub import Asgi, Front, OnRedis
from benchmarks.servers.pushpin import Pushpin

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.servers.server import Server

SERVERS: dict[str, Callable[[], Server]] = {
    "front": lambda: Front("memory"),
    "front-sqlite": lambda: Front("sqlite"),
    "front-redis": OnRedis,
    "front-redis-2": lambda: OnRedis(2),
    "asgi": lambda: Asgi("memory"),
    "asgi-sqlite": lambda: Asgi("sqlite"),
    "naive": Naive,
    "nchan": Nchan,
    "pushpin": Pushpin,
}
