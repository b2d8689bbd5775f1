"""Two nodes, the register of a session between them, and a feed that is late."""

from __future__ import annotations

from pushhub.hub.hub import Hub
from pushhub.testing.simulation.log import SharedLog, View
from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.xmpp.cluster.migration import Migration
from pushhub.xmpp.storage.key_value import KeyValueStore

SID = "s1.aaaaaaaa"
LATENCY_SECONDS, FEED_SECONDS = 0.001, 0.05


def test_a_session_is_taken_though_the_news_of_it_is_late() -> None:
    """A node remembers who had the session; what that one left is in the log, not yet in memory."""
    loop = SimulatedLoop()

    async def live() -> None:
        log = SharedLog(lambda: 1.8e9 + loop.time(), lambda: "aaaaaaaaaaaa")
        hubs = [
            Hub(View(log, lambda: LATENCY_SECONDS, lambda: FEED_SECONDS), clock=log._clock)
            for _ in range(2)
        ]
        for hub in hubs:
            await hub.open()
        first, second = (Migration(KeyValueStore(hub)) for hub in hubs)
        await first.leave(SID, b'{"n":1}', "k1")
        assert await first.take(SID, "one") == ({"n": 1}, "one")
        assert await second.take(SID, "two") == (None, "one")
        await first.leave(SID, b'{"n":2}', "k2")
        assert await second.take(SID, "two") == ({"n": 2}, "two")
        for hub in hubs:
            await hub.close()

    try:
        loop.run_until_complete(live())
    finally:
        loop.close()
