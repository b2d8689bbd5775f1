"""What the client survives: restarts, cuts, refusals, lost logs. Each event comes, or a gap.

What was sent and received is a history, which `pushhub.testing.history` checks.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pushhub.testing.history import check
from pushhub_client import AsyncClient, Client, Event, Gap, HubUnreachable, Problem, async_poll
from tests.browser.compressing import CompressingProxy
from tests.browser.cutting import CuttingProxy
from tests.clients.python.both import Kind, take
from tests.ports import free_port
from tests.proxy import Proxy
from tests.serving import DRIVERS, SOON, Server, started
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHANNEL = "orders"
MOST_SECONDS = 60.0


class Restarting:
    """A hub on one port that is ended and started again."""

    def __init__(self, folder: Path, store: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._environ = {
            **{name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")},
            "PUSHHUB_STORE": store,
            "PUSHHUB_DEV": "true",
            "PUSHHUB_LOG_FORMAT": "json",
            "PUSHHUB_DRAIN_DELAY": "0.1",
            "PUSHHUB_DRAIN_SECONDS": "1",
        }
        self.start()

    def start(self) -> None:
        command = [*DRIVERS["front"][:-1], str(self.port)]
        process = started(command, self._environ, str(self._folder), False)
        self.server = Server("front", process)

    def end(self, number: signal.Signals) -> None:
        self.server.signal(number)
        self.server.wait()


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Restarting]:
    hub = Restarting(tmp_path, "sqlite:///hub.db")
    yield hub
    hub.server.stop()


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[Restarting]:
    hub = Restarting(tmp_path, "memory://")
    yield hub
    hub.server.stop()


class History:
    """All that was sent and received, as the checker of histories reads it."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self._begun = time.monotonic()

    def write(self, kind: str, **fields: Any) -> None:
        self.records.append({"type": kind, "at": time.monotonic() - self._begun, **fields})

    async def publish(self, hub: AsyncClient, numbers: range) -> None:
        """Publish, each until it is acknowledged."""
        for number in numbers:
            self.write("invoke", channel=CHANNEL, id=str(number), key=True)
            receipt = await hub.publish(CHANNEL, number, retry_seconds=MOST_SECONDS)
            self.write(
                "ok", channel=CHANNEL, id=str(number), epoch=receipt.epoch, offset=receipt.offset
            )
            # So that the faults come in the middle.
            await asyncio.sleep(0.05)

    async def read(self, hub: AsyncClient, name: str, last: int, **options: Any) -> None:
        """Read until the last event has come."""
        async with hub.subscribe(CHANNEL, since="earliest", **options) as events:
            since: str | None = None
            async for message in events:
                where = {"reader": name, "channel": CHANNEL, "since": since}
                if isinstance(message, Gap):
                    since = message.oldest
                    self.write("gap", **where, reason=message.reason, cursor=since)
                elif isinstance(message, Event):
                    epoch = message.cursor.rpartition("-")[0]
                    since = message.cursor
                    places = [[epoch, message.offset, str(message.data)]]
                    self.write("read", **where, cursor=since, events=places)
                    if message.data == last:
                        return

    def check(self) -> Any:
        report = check(self.records)
        assert not report.findings, str(report)
        assert not report.lost, str(report)
        return report


READERS: dict[str, dict[str, Any]] = {"poll": {}, "sse": {"transport": "sse"}}


async def live_through(hub: Restarting, url: str, faults: Any) -> Any:
    """Readers of both kinds and a publisher, while faults happen: the report of the history."""
    history = History()
    async with AsyncClient(url) as client, asyncio.timeout(MOST_SECONDS):
        readers = [
            asyncio.create_task(history.read(client, name, 59, **options))
            for name, options in READERS.items()
        ]
        for first in (0, 20, 40):
            publishing = asyncio.create_task(history.publish(client, range(first, first + 20)))
            await faults(history)
            await publishing
        await asyncio.gather(*readers)
    history.write("end")
    return history.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_restarts_lose_nothing(durable: Restarting, number: signal.Signals) -> None:
    async def restart(history: History) -> None:
        await asyncio.sleep(0.3)
        await asyncio.to_thread(durable.end, number)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(durable.start)

    report = await live_through(durable, durable.url, restart)
    assert (report.acknowledged, report.delivered, report.gaps) == (60, 120, 0)


async def test_cuts_of_the_network(durable: Restarting) -> None:
    async with Proxy(durable.port) as proxy:

        async def cut(history: History) -> None:
            for _ in range(3):
                await asyncio.sleep(0.2)
                proxy.cut()

        report = await live_through(durable, f"http://127.0.0.1:{proxy.port}", cut)
    assert (report.acknowledged, report.delivered, report.gaps) == (60, 120, 0)


async def test_a_log_that_is_lost_is_a_gap(forgetful: Restarting) -> None:
    async def restart(history: History) -> None:
        await asyncio.sleep(0.3)
        history.write("fault", name="restart", loses=True)
        await asyncio.to_thread(forgetful.end, signal.SIGKILL)
        await asyncio.to_thread(forgetful.start)
        history.write("heal", name="restart")

    report = await live_through(forgetful, forgetful.url, restart)
    assert report.acknowledged == 60
    assert report.gaps


def test_a_publish_is_sent_again_and_happens_once(kind: Kind, durable: Restarting) -> None:
    durable.end(signal.SIGTERM)
    with kind.client(durable.url) as hub:
        with pytest.raises(HubUnreachable):
            hub.publish(CHANNEL, 0)
        timer = threading.Timer(0.5, durable.start)
        timer.start()
        assert hub.publish(CHANNEL, 1, retry_seconds=MOST_SECONDS).offset == 1
        timer.join()
        with pytest.raises(Problem), hub.subscribe("") as events:
            next(events)
        with pytest.raises(ValueError, match="retry_seconds is 0 to 240"):
            hub.publish(CHANNEL, 1, retry_seconds=241)


async def test_a_poller_survives_a_restart(durable: Restarting) -> None:
    errors: list[Exception] = []
    url = f"{durable.url}/v1/channels/{CHANNEL}"
    async with AsyncClient(durable.url) as hub, async_poll(url, 0.2, on_error=errors.append) as got:
        await hub.publish(CHANNEL, 1)
        assert (await anext(got)).data == 1
        waiting = asyncio.ensure_future(anext(got))
        await asyncio.to_thread(durable.end, signal.SIGKILL)
        await until(lambda: errors)
        await asyncio.to_thread(durable.start)
        await hub.publish(CHANNEL, 2, retry_seconds=MOST_SECONDS)
        assert (await asyncio.wait_for(waiting, MOST_SECONDS)).data == 2
    assert isinstance(errors[0], HubUnreachable)


def test_a_synchronous_reader_survives_a_restart(durable: Restarting) -> None:
    with Client(durable.url) as hub, hub.subscribe(CHANNEL, since="earliest") as events:
        hub.publish(CHANNEL, 0)
        assert [event.data for event in take(events, 1)] == [0]

        def restart() -> None:
            durable.end(signal.SIGKILL)
            durable.start()
            hub.publish(CHANNEL, 1, retry_seconds=MOST_SECONDS)

        thread = threading.Thread(target=restart)
        thread.start()
        assert [event.data for event in take(events, 1)] == [1]
        thread.join()


async def test_a_proxy_that_delays_streams_gets_held_requests(durable: Restarting) -> None:
    """The end of a message is missing for 3 s; then the client asks with held requests."""
    async with (
        CompressingProxy(durable.port) as proxy,
        AsyncClient(f"http://127.0.0.1:{proxy.port}") as hub,
        hub.subscribe(CHANNEL, transport="sse") as events,
    ):
        waiting = asyncio.ensure_future(anext(events))
        await until(lambda: proxy.streams)
        begun = time.monotonic()
        for number in range(3):
            await hub.publish(CHANNEL, number)
            message = await waiting
            assert isinstance(message, Event)
            assert message.data == number
            waiting = asyncio.ensure_future(anext(events))
        assert time.monotonic() - begun < 3 * SOON
        assert proxy.streams == 1
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_a_proxy_that_cuts_waits_gets_shorter_ones(durable: Restarting) -> None:
    """Two cuts at one age: the third request asks for a wait that the proxy lets through."""
    async with (
        CuttingProxy(durable.port, 2.5) as proxy,
        AsyncClient(f"http://127.0.0.1:{proxy.port}") as hub,
        hub.subscribe(CHANNEL) as events,
    ):
        waiting = asyncio.ensure_future(anext(events))
        await until(lambda: events._feed.wait < 3, MOST_SECONDS)
        assert proxy.cuts >= 2
        async with AsyncClient(durable.url) as direct:
            await direct.publish(CHANNEL, 1)
        message = await asyncio.wait_for(waiting, MOST_SECONDS)
        assert isinstance(message, Event)
