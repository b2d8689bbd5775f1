"""An application behind the relay that counts, behind a hub with the routes lines of its module."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.apps.relay import Relay
from tests.serving import Server, serve, until_held

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.apps.application import Application, Place
    from tests.wire import Client

METRICS = "/_pushhub/metrics"
# The time beyond the interval within which a change is told: a fetch, and the way to the client.
LATE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Stage:
    """One application and everything in front of it."""

    application: Application
    place: Place
    relay: Relay
    hub: Server

    @property
    def interval(self) -> float:
        """The seconds between two fetches: the default of a route, if its lines name none."""
        return max(float(route.get("interval", 1)) for route in self.application.route_tables)

    @property
    def log_of_always_new(self) -> re.Pattern[str]:
        target = re.escape(json.dumps(self.application.always_new)[1:-1])
        return re.compile(rf"origin\.always_new.*{target}|{target}.*origin\.always_new")

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A connection to the hub."""
        async with await self.hub.connect() as client:
            yield client

    async def held(self, count: int) -> None:
        """Wait until the hub holds exactly so many requests."""
        async with self.client() as client:
            await until_held(client, count, metrics=METRICS)


@contextmanager
def staged(application: Application, folder: Path) -> Iterator[Stage]:
    with (
        application.running(folder) as place,
        Relay(place.port) as relay,
        serve(origin=f"http://127.0.0.1:{relay.port}", routes=application.route_tables) as hub,
    ):
        yield Stage(application, place, relay, hub)
