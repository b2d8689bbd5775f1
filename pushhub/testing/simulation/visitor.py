"""A client that repeats its requests: memory that grows with each repetition is a leak."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.testing.simulation.http import SimulatedClient

if TYPE_CHECKING:
    from pushhub.testing.simulation.world import World

BASE = "/_pushhub"
CHANNEL = f"{BASE}/v1/channels/visit:1"
# All that a visit leaves for a while is over then: a channel's linger is 60 s.
REST_SECONDS = 120.0
# Before that a request is answered, or its client leaves.
PATIENCE_SECONDS = 3.0
# `PollCache` caches a line when its headers are known, and each when it comes for the second
# time: after so many visits every cache has all that it will have.
WARM_VISITS = 4


class Visitor:
    """Sends each node one request of each kind, with the same bytes each time."""

    def __init__(self, world: World, key: str) -> None:
        self._world = world
        admin = {"authorization": f"Bearer {key}"}
        reader = {"authorization": f"Bearer {world.token(3600.0)[0]}"}
        wait = {"prefer": "wait=1"}
        self._requests: tuple[tuple[str, str, dict[str, str], bytes], ...] = (
            ("POST", f"{CHANNEL}/events", {**admin, "idempotency-key": "visit"}, b"1"),
            ("POST", f"{BASE}/v1/publish", {}, b'[{"channel":"visit:1","data":1}]'),
            ("GET", f"{CHANNEL}/events?since=earliest", {}, b""),
            ("GET", f"{CHANNEL}/events?since=now", wait, b""),
            ("GET", f"{CHANNEL}/events?since=never", {}, b""),
            ("GET", f"{CHANNEL}/events?since=now", {"accept": "text/event-stream"}, b""),
            ("GET", CHANNEL, {}, b""),
            ("GET", CHANNEL, {**wait, "if-none-match": '"x-1"'}, b""),
            ("OPTIONS", CHANNEL, {"origin": "https://elsewhere.example"}, b""),
            ("POST", f"{BASE}/v1/poll", {}, b'{"channels":{"visit:1":"now"},"wait":1}'),
            ("GET", f"{BASE}/v1/channels/private:1/events", reader, b""),
            ("GET", f"{BASE}/v1/channels/private:1/events", {"authorization": "Bearer a.b.c"}, b""),
            ("GET", f"{BASE}/console/now", admin, b""),
            ("GET", f"{BASE}/metrics", admin, b""),
            ("GET", f"{BASE}/client.js", {}, b""),
            ("GET", f"{BASE}/nothing", {}, b""),
            ("GET", "/poll/visit", wait, b""),
            ("GET", "/poll/visit", {**wait, "if-none-match": '"v1"'}, b""),
            ("POST", "/v1/publish", {}, b"{}"),
            ("GET", "/grip/hold/t9", {}, b""),
            ("GET", "/grip/stream/t9", {}, b""),
        )

    async def visit(self, times: int) -> None:
        """Ask every node that often, then rest."""
        for _ in range(times):
            for node in self._world.nodes:
                for method, target, headers, body in self._requests:
                    await self._ask(node.name, method, target, headers, body)
        await asyncio.sleep(REST_SECONDS)

    async def _ask(
        self, node: str, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> None:
        client = SimulatedClient(self._world.network, node, "10.9.9.9")
        self._world.requests += 1
        try:
            await client.ask(method, target, headers, body, patience=PATIENCE_SECONDS)
        except (OSError, TimeoutError):
            pass  # A stream, or a hold: its client leaves.
        client.close()
