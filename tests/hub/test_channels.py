"""Which channels stay in memory, and how much of them."""

import asyncio

import pytest

from pushhub.hub import channels as module
from pushhub.hub.channel_hold import ChannelHold
from tests.hub.scripted import (
    ScriptedStore,
    ask,
    cursor,
    feed,
    opened,
    park,
    publish,
    settled,
    value,
)
from tests.hub.test_hub import SlowDriver


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IDLE_CHANNELS", 10)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TAILS_BYTES", 10_000)


@pytest.mark.usefixtures("few")
async def test_of_idle_channels_those_that_were_read_longest_ago_go() -> None:
    async with opened() as hub:
        _, busy = park(hub, feed(channel="busy"))
        await settled()
        for number in range(30):
            ask(hub, feed(wait=None, channel=f"c{number}"))
            await settled()
        assert len(hub.channels) == 11
        publish(hub, "busy", 1)
        assert busy.data == [1]
        assert hub.channels.get("c29")
        assert not hub.channels.get("c0")


@pytest.mark.usefixtures("few")
async def test_a_channel_that_went_is_read_again() -> None:
    async with opened() as hub:
        publish(hub, "a", 1)
        for number in range(30):
            ask(hub, feed(wait=None, channel=f"c{number}"))
        publish(hub, "a", 2)
        late = ask(hub, feed(cursor(hub, 1)))
        await settled()
        assert late.data == [2]


@pytest.mark.usefixtures("small")
async def test_tails_together_stay_within_their_bytes_when_events_come() -> None:
    async with opened() as hub:
        holds = [park(hub, feed(wait=50, channel=f"c{number}"))[0] for number in range(5)]
        await settled()
        for _ in range(20):
            for number in range(5):
                publish(hub, f"c{number}", "x" * 500)
        assert hub.channels.tail_bytes <= 10_000
        for hold in holds:
            hold.drop()
        kept = [hub.channels.get(f"c{number}") for number in range(5)]
        sizes = [channel.tail.size for channel in kept if channel and channel.tail]
        assert sum(sizes) == hub.channels.tail_bytes


@pytest.mark.usefixtures("small")
async def test_tails_together_stay_within_their_bytes_when_channels_are_read() -> None:
    async with opened() as hub:
        for number in range(50):
            publish(hub, f"c{number}", *["x" * 500] * 10)
            ask(hub, feed(wait=None, channel=f"c{number}"))
            await settled()
        assert hub.channels.tail_bytes <= 10_000


@pytest.mark.usefixtures("small")
async def test_a_busy_channel_under_pressure_misses_nothing() -> None:
    async with opened() as hub:
        seen: list[str] = []
        recorder = ask(hub, feed(cursor(hub, 0)))
        await settled()
        for number in range(60):
            publish(hub, "a", f"{2 * number:01000}", f"{2 * number + 1:01000}")
            await settled()
            while recorder:
                seen += recorder.data
                recorder = ask(hub, feed(cursor(hub, len(seen))))
                await settled()
        assert list(map(int, seen)) == list(range(120))


@pytest.mark.usefixtures("few")
async def test_an_eviction_during_a_fan_out_loses_no_hold() -> None:
    """Between two slices the channel has no holds, so it may be evicted."""
    store = ScriptedStore()
    async with opened(store) as hub:
        ask(hub, feed(wait=None))
        await settled()
        slow = SlowDriver()
        for _ in range(100):
            hold = hub.hold(feed())
            assert isinstance(hold, ChannelHold)
            hold.attach(slow)
        store.slow = True
        reading = ask(hub, feed(cursor(hub, 0), channel="a"))
        publish(hub, "a", 1)
        for number in range(40):
            ask(hub, feed(wait=None, channel=f"c{number}"))
        store.slow = False
        for _ in range(10):
            await store.let_go()
        assert len(slow.replies) == 100
        assert reading
        assert hub.parked == 0


async def test_a_hold_that_was_put_back_keeps_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IDLE_CHANNELS", 3)
    async with opened() as hub:
        publish(hub, "a", 0)
        ask(hub, feed(wait=None))
        await settled()
        ask(hub, feed())
        _, put_back = park(hub, value("*"))
        publish(hub, "a", 1)
        assert hub.holds_on("a") == 1
        for number in range(20):
            ask(hub, feed(wait=None, channel=f"c{number}"))
            await settled()
        assert hub.holds_on("a") == 1
        await hub.store.delete("a")
        assert put_back.response.status == 404
        await asyncio.sleep(0)
