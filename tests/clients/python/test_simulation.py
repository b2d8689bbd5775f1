"""The state machine of a subscription as an actor of the simulation: real hubs, virtual days, every
fault. The oracle checks what it delivers, as it checks the simulation's own readers.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pushhub.testing.simulation.actors import KINDS
from pushhub.testing.simulation.actors.actor import CHANNELS, Actor
from pushhub.testing.simulation.actors.faults import FAULTS
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.run import simulate
from pushhub_client.core.feed import Ask, Feed, Pause
from pushhub_client.errors import HubUnreachable
from pushhub_client.messages import Event, Gap

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.testing.simulation.world import World
    from pushhub_client.core.wire import Page

PHASES = ((180.0, 20.0), (180.0, 3600.0), (180.0, 40.0), (90.0, 86_400.0), (180.0, 10.0))
SEEDS = range(4)


class Subscriber(Actor):
    """Reads channels as `Client.subscribe` does, over the simulation's connections."""

    acts = ("event", "gap", "held", "stream", "offline")
    streams = False

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        start = dict.fromkeys(CHANNELS, "now")
        self.is_asgi = self.is_asgi and not self.streams
        self.feed = Feed(start, random=self.random.random, stream=self.streams)
        self.at: dict[str, str] = {}
        self._asked = 0.0

    async def turn(self) -> None:
        until = self.world.now() + self.random.choice((1.0, 30.0, 90.0))
        while self.world.now() < until and self.world.working.is_set() and not self.world.over:
            await self.step()

    async def step(self) -> None:
        """Do what the machine says, and take the messages that came."""
        step = self.feed.next(self.world.now())
        assert step is not None, "a subscription never ends by itself"
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        elif step.streams:
            self.count("stream")
            await self._stream(step)
        else:
            if b'"wait":0' not in (step.request.body or b""):
                self.count("held")
            await self._ask(step)
        self.take()
        if self.feed.state == "offline":
            self.count("offline")

    def take(self) -> None:
        """Report each message to the oracle, then the positions without one."""
        oracle = self.world.oracle
        while (message := self.feed.take()) is not None:
            channel = message.channel
            if isinstance(message, Gap):
                self.count("gap")
                if channel in self.at:
                    oracle.gap(self.name, channel, self.at[channel], message.reason)
                self.at[channel] = message.oldest
            elif isinstance(message, Event):
                self.count("event")
                page = {"cursor": message.cursor, "events": [message.fields]}
                self._read(channel, page, message.cursor)
        for channel, cursor in self.feed.cursors.items():
            if cursor != "now" and cursor != self.at.get(channel):
                self._read(channel, {"cursor": cursor, "events": []}, cursor)

    def _read(self, channel: str, page: Any, cursor: str) -> None:
        since = self.at.get(channel)
        if since is not None:
            oracle = self.world.oracle
            oracle.page(self.name, self.node, channel, since, page, self._asked)
        self.at[channel] = cursor

    async def _ask(self, step: Ask) -> None:
        self._asked = self.world.now()
        request = step.request
        response = await self.ask(
            request.method, "/_pushhub" + request.path, request.headers, request.body or b""
        )
        now = self.world.now()
        if response is None:
            self.feed.failed(now, HubUnreachable("No response."))
        else:
            self.feed.responded(now, response.status, response.headers, response.body)

    async def _stream(self, step: Ask) -> None:
        client: Any = self.connect()
        if client is None:
            return self.feed.failed(self.world.now(), HubUnreachable("No node."))
        self.world.requests += 1
        self._asked = self.world.now()
        request = step.request
        try:
            await client.send(
                request.method, "/_pushhub" + request.path, request.headers, request.body or b""
            )
            async with asyncio.timeout(step.request.timeout):
                response = await client.head()
            now = self.world.now()
            if response.status == 200:
                self.feed.opened(now, response.headers)
                await self._listen(client, now + self.random.choice((1.0, 20.0, 90.0)))
            else:
                self.feed.responded(now, response.status, response.headers, b"{}")
        except TimeoutError:
            self.feed.stalled(self.world.now(), HubUnreachable("The stream fell silent."))
        except OSError:
            self.feed.failed(self.world.now(), HubUnreachable("The stream broke."))
        self.leave()

    async def _listen(self, client: Any, until: float) -> None:
        """Read the stream to its end, or until the reader's own."""
        while self.world.now() < until:
            async with asyncio.timeout(self.feed.listen(self.world.now())):
                piece = await client.piece()
            if not piece or not self.feed.received(self.world.now(), piece):
                break
            self.take()
        self.feed.ended(self.world.now())

    async def finish(self) -> None:
        """Read on until all is read, and compare with the log."""
        for _ in range(200):
            caught_up = [
                self.world.log.span(channel)[::2] == _split(self.at.get(channel, "-0"))
                for channel in CHANNELS
            ]
            if all(caught_up):
                break
            await self.step()
        for channel in CHANNELS:
            self.world.oracle.ended(self.name, channel, self.at[channel])
        self.leave()


class StreamSubscriber(Subscriber):
    """The same by streams."""

    streams = True


def _split(cursor: str) -> tuple[str, int]:
    epoch, _, offset = cursor.rpartition("-")
    return epoch, int(offset)


def plan(seed: int) -> Plan:
    """Both subscribers, all publishers, and every fault."""
    nodes = (1, 2, 3)[seed % 3]
    publishers = ("publisher-0", "publisher-1", "batch-0", "idempotent-0")
    actors = ("subscriber-0", "subscriber-1", "streams-0", *publishers)
    return Plan(
        seed,
        nodes,
        nodes > 1 or seed % 2 == 1,
        False,
        (*actors, *(f"{fault}-0" for fault in FAULTS)),
        PHASES,
    )


@pytest.fixture
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "subscriber", Subscriber)
    monkeypatch.setitem(KINDS, "streams", StreamSubscriber)


@pytest.mark.slow
@pytest.mark.usefixtures("_kinds")
# The coroutines of a killed node never end; the garbage collector meets them at any time.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", SEEDS)
def test_days_pass_and_every_promise_is_kept(seed: int) -> None:
    verdict = simulate(seed, 1.0, plan(seed))
    assert verdict.findings == [], "\n".join(map(str, verdict.findings))
    assert verdict.acts["subscriber: event"]


def _loses_events(accept: Callable[[Feed, Page], None], feed: Feed, page: Page) -> None:
    accept(feed, replace(page, events=page.events[1:] if len(page.events) > 2 else page.events))


def _swallows_gaps(accept: Callable[[Feed, Page], None], feed: Feed, page: Page) -> None:
    accept(feed, replace(page, gaps={}))


@pytest.mark.slow
@pytest.mark.usefixtures("_kinds")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("fault", "kinds"),
    [(_loses_events, {"hole"}), (_swallows_gaps, {"hole", "silent-epoch"})],
    ids=["loses events", "swallows gaps"],
)
def test_a_client_with_a_fault_is_found(
    fault: Callable[..., None], kinds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = Feed._accept
    monkeypatch.setattr(Feed, "_accept", lambda feed, page: fault(accept, feed, page))
    verdicts = (simulate(seed, 1.0, plan(seed), until=kinds) for seed in SEEDS)
    assert any(finding.kind in kinds for verdict in verdicts for finding in verdict.findings)
