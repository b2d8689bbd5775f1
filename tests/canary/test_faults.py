"""Each check of the canary is red while what it checks is broken, and green afterwards."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from pushhub.canary.canary import Canary
from pushhub.canary.feed_check import FeedCheck
from pushhub.canary.listener import CHANNEL, RETENTION
from pushhub.http.problem import Problem
from pushhub.log.event import Draft
from pushhub.polls.feed import FeedPoll
from pushhub.polls.stream import FeedStream
from pushhub.polls.value import ValuePoll
from pushhub.store.base import Append, Appended
from tests.canary.running import canary_lines, running
from tests.waiting import until
from tests.wire import Client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pushhub.http.response import Response
    from tests.canary.running import Running

# A failing check takes three seconds.
pytestmark = pytest.mark.slow

CHECKS = {"listener", "feed", "publish", "hold", "stream", "value"}


def silent_stream(patch: pytest.MonkeyPatch) -> None:
    """Events of a stream are not written."""
    patch.setattr(FeedStream, "_message", lambda self, event, epoch: b"")


def endless_wait(patch: pytest.MonkeyPatch) -> None:
    """An event does not end a wait."""
    reply = FeedPoll.reply
    patch.setattr(FeedPoll, "reply", lambda self, *args: None if self.wait else reply(self, *args))


def no_value(patch: pytest.MonkeyPatch) -> None:
    """The value is not found."""

    def refuse(self: ValuePoll, *args: Any) -> Response:
        return Problem("no-value", "There is no value.").response()

    patch.setattr(ValuePoll, "reply", refuse)


def crash(patch: pytest.MonkeyPatch) -> None:
    """A check has a fault of its own."""

    async def run(self: FeedCheck) -> None:
        raise RuntimeError("a fault")

    patch.setattr(FeedCheck, "run", run)


async def test_a_sound_hub_is_green() -> None:
    async with running() as hub:
        assert hub.canary.ok() == {}, "no verdict before the first round"
        assert hub.canary.ages().keys() == CHECKS
        with capture_logs() as lines:
            for _ in range(3):
                assert await hub.red() == set()
        assert hub.canary.ok().keys() == hub.canary.seconds().keys() == CHECKS
        assert hub.canary.lost_untold == 0
        assert list(canary_lines(lines)) == []


@pytest.mark.parametrize(
    ("fault", "red"),
    [
        (silent_stream, {"stream"}),
        (endless_wait, {"hold"}),
        (no_value, {"value"}),
        (crash, {"feed"}),
    ],
)
async def test_a_broken_read_is_red(
    fault: Callable[[pytest.MonkeyPatch], None], red: set[str]
) -> None:
    async with running() as hub:
        assert await hub.red() == set()
        with capture_logs() as lines:
            with pytest.MonkeyPatch.context() as patch:
                fault(patch)
                assert await hub.red() == red
                (age,) = {hub.canary.ages()[name] for name in red}
                assert age >= max(hub.canary.ages()[name] for name in CHECKS - red)
            assert await hub.red() == set()
        (name,) = red
        assert list(canary_lines(lines)) == [
            ("canary.failed", name),
            ("canary.works_again", name),
        ], "one line for each change"
        assert hub.canary.lost_untold == 0, "the events came late, and none was lost"


async def test_a_failing_store_is_red() -> None:
    async with running() as hub:
        assert await hub.red() == set()
        hub.store.fails = True
        assert await hub.red() == CHECKS - {"listener"}
        hub.store.fails = False
        assert await hub.red() == set()
        assert hub.canary.lost_untold == 0


async def test_a_closed_listener_is_red() -> None:
    async with running() as hub:
        assert await hub.red() == set()
        hub.server.servers[0].close()
        assert await hub.red() == {"listener"}


async def test_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "hub.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        async with running(sock, unix_socket=path) as hub:
            assert await hub.red() == set()
            (tmp_path / "hub.sock").unlink()
            assert await hub.red() == {"listener"}


async def published(hub: Running) -> int:
    """The offset of an event of another node's canary."""
    (outcome,) = await hub.hub.recorded(
        Append(CHANNEL, Draft(b'{"node":"other","round":1}'), RETENTION)
    )
    assert isinstance(outcome, Appended)
    return outcome.cursor.offset


async def test_a_cut_feed_is_red() -> None:
    """The hub would repair the loss with the next event that arrives; the canary looks before."""
    async with running() as hub:
        assert await hub.red() == set()
        await published(hub)
        assert await hub.red() == set(), "an event of another node has arrived"
        hub.store.is_silent = True
        await published(hub)
        hub.store.is_silent = False
        assert await hub.red() == {"feed"}
        assert await hub.red() == set()
        assert hub.canary.lost_untold == 0, "the hub has read the event from the log"


async def test_an_event_that_is_lost_untold_counts() -> None:
    async with running() as hub:
        assert await hub.red() == set()
        hub.store.is_silent = True
        hub.store.loses.add(await published(hub))
        hub.store.is_silent = False
        await hub.canary.check()
        await hub.canary.check()
        assert hub.canary.lost_untold >= 1
        lost = hub.canary.lost_untold
        await hub.canary.check()
        assert hub.canary.lost_untold == lost, "an event is lost once"


async def test_a_told_gap_is_no_loss() -> None:
    async with running() as hub:
        assert await hub.red() == set()
        for _ in range(3):
            await published(hub)
        await hub.hub.store.delete(CHANNEL)
        await hub.canary.check()
        assert await hub.red() == set()
        assert hub.canary.lost_untold == 0


async def test_nothing_counts_the_canary() -> None:
    async with running() as hub:
        assert await hub.red() == set()
        stats = hub.hub.stats
        assert stats.publish_ok == stats.delivered == stats.dropped == 0
        assert not any(stats.completed.values())
        assert hub.hub.parked == hub.hub.channel_waits == 0
        assert hub.app.service.rejected == {}
        assert sum(stats.hold_seconds.counts) == sum(stats.wake_latency.counts) == 0


async def test_no_client_has_the_canarys_rights() -> None:
    async with running() as hub:
        assert await hub.red() == set()
        port = hub.server.servers[0].sockets[0].getsockname()[1]
        async with await Client.connect(port) as client:
            for path in ("/v1/channels/%24canary/events", "/v1/channels/$canary"):
                assert (await client.ask("GET", path)).status == 400
            for path in ("/canary/events", "/canary/value", "/_pushhub/canary/events"):
                assert (await client.ask("GET", path)).status == 404
            assert b"canary" not in (await client.ask("GET", "/v1/channels")).body


async def test_the_canary_ends_with_the_drain() -> None:
    async with running() as hub:
        assert await hub.red() == set()
        await hub.canary.close()
        assert hub.canary.ok() == hub.canary.ages() == hub.canary.seconds() == {}
        await until(lambda: not hub.hub.holds_on(CHANNEL))


async def test_a_reload_turns_it_off_and_on() -> None:
    async with running() as hub:
        assert await hub.red() == set()
        settings = hub.app.settings
        hub.app.reconfigure(settings.model_copy(update={"canary": 0.0}))
        assert hub.canary.ages() == {}
        hub.app.reconfigure(settings)
        assert hub.canary.ages().keys() == CHECKS
        assert isinstance(hub.canary, Canary)
        assert await hub.red() == set()
