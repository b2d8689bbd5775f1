"""The canary of nodes that share a Redis: a feed that is cut, a server that is stopped, workers."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import TYPE_CHECKING

from tests.canary.running import running
from tests.proxy import Proxy
from tests.redis_servers import KINDS
from tests.serving import Server, serve

if TYPE_CHECKING:
    from tests.redis_servers import Rack, Shelf

SECONDS = 60.0


async def test_the_feed_of_one_node_is_cut(redis_shelf: Shelf) -> None:
    server = redis_shelf.server("valkey9")
    async with (
        Proxy(server.port) as proxy,
        running(store=f"redis://127.0.0.1:{proxy.port}/0") as near,
        running(store=server.url()) as far,
    ):
        for _ in range(2):
            assert await near.red() == set()
            assert await far.red() == set()
        proxy.swallows = True
        assert await far.red() == set(), "the other node has its own connection"
        # Its own events arrive by the feed, too, or by a repair.
        assert "feed" in await near.red()
        proxy.swallows = False
        for _ in range(2):
            assert await far.red() == set()
            assert await near.red() == set()
        assert near.canary.lost_untold == far.canary.lost_untold == 0


async def becomes(server: Server, series: str, value: float) -> None:
    """Wait for a value of a metric."""
    line = re.compile(rf"^{re.escape(series)} {value:g}$", re.MULTILINE)
    async with asyncio.timeout(SECONDS):
        while not line.search((await server.get("/metrics")).body.decode()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_stopped_redis_is_red(rack: Rack) -> None:
    """As a whole: two workers, the metrics of both, and their log lines."""
    redis = rack.start(KINDS["valkey9"])
    with serve(store=redis.url(), workers=2, canary=1) as hub:
        await becomes(hub, "pushhub_workers", 2)
        await becomes(hub, 'pushhub_canary_ok{check="publish"}', 1)
        await becomes(hub, 'pushhub_canary_ok{check="listener"}', 1)
        redis.signal(signal.SIGSTOP)
        await becomes(hub, 'pushhub_canary_ok{check="publish"}', 0)
        hub.output.find(re.compile(r'"check": "publish".*"canary.failed"'), SECONDS)
        redis.signal(signal.SIGCONT)
        for check in ("publish", "hold", "stream", "value", "feed"):
            await becomes(hub, f'pushhub_canary_ok{{check="{check}"}}', 1)
        hub.output.find(re.compile(r'"check": "publish".*"canary.works_again"'), SECONDS)
        await becomes(hub, "pushhub_canary_lost_untold_total", 0)
