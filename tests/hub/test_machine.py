"""Hub and log against a model of thirty lines: every reader sees each event once and in order, or
is told of a gap; and nobody waits for what is there.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pushhub.hub.hub import Hub
from pushhub.log.cursor import Cursor, Start, parse_cursor
from pushhub.polls.base import ChannelRead
from pushhub.polls.feed import FeedPoll
from pushhub.polls.multi import MultiPoll
from tests.hub.scripted import Recorder, ScriptedStore, ask, publish, settled
from tests.hub.virtual import VirtualLoop
from tests.lanes import examples

CHANNELS = ["a", "b"]
READERS = 2


@dataclass
class Log:
    """The model of a channel: what was published, and from where on it is kept."""

    top: int = 0
    oldest: int = 1

    def publish(self, count: int, keep: int) -> None:
        self.top += count
        self.oldest = max(self.oldest, self.top - keep + 1)


@dataclass
class Reader:
    """Where a reader is in each channel, and the poll that it waits for."""

    at: dict[str, Cursor]
    asked: list[str]
    waiting: Recorder | None = None


class HubMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.readers = [Reader({}, []) for _ in range(READERS)]
        self.start()

    def start(self) -> None:
        self.store = ScriptedStore()
        self.hub = Hub(self.store, uniform=lambda low, high: high)
        self.run(self.hub.open())
        self.logs = {channel: Log() for channel in CHANNELS}

    def run(self, work: Any) -> None:
        self.loop.run_until_complete(work)

    # What happens

    @rule(
        channel=st.sampled_from(CHANNELS),
        count=st.sampled_from([1, 1, 1, 2, 5, 130]),
        keep=st.sampled_from([3, 200]),
    )
    def publish(self, channel: str, count: int, keep: int) -> None:
        log = self.logs[channel]
        numbers = range(log.top + 1, log.top + count + 1)
        log.publish(count, keep)

        async def work() -> None:
            publish(self.hub, channel, *numbers, events=keep)
            await settled()

        self.run(work())

    @rule(channel=st.sampled_from(CHANNELS))
    def delete(self, channel: str) -> None:
        self.run(self.store.delete(channel))
        self.logs[channel].oldest = self.logs[channel].top + 1

    @rule(
        reader=st.integers(0, READERS - 1),
        channels=st.sampled_from([["a"], ["b"], ["a", "b"]]),
        wait=st.sampled_from([5, 5, None]),
        limit=st.sampled_from([1, 7, 1000]),
    )
    def poll(self, reader: int, channels: list[str], wait: int | None, limit: int) -> None:
        who = self.readers[reader]
        if who.waiting is not None:
            return
        since = {channel: who.at.get(channel, Start.EARLIEST) for channel in channels}
        wants = tuple(ChannelRead(channel, since[channel], limit) for channel in channels)
        who.asked = channels

        async def work() -> None:
            if len(channels) == 1:
                poll: Any = FeedPoll(channels[0], since[channels[0]], limit, wait)
            else:
                poll = MultiPoll(wants, limit, wait)
            who.waiting = ask(self.hub, poll)
            await settled()

        self.run(work())

    @rule(slow=st.booleans())
    def slow_store(self, slow: bool) -> None:
        self.store.slow = slow

    @rule(count=st.integers(1, 3))
    def answer_reads(self, count: int) -> None:
        self.run(self.store.let_go(count))

    @rule(seconds=st.sampled_from([0.1, 3.0, 6.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule()
    def restart(self) -> None:
        """A new life of the log: what was in memory is gone."""
        self.catch_up()
        self.run(self.hub.close())
        self.take_answers()
        self.start()

    # What must hold

    @invariant()
    def take_answers(self) -> None:
        for reader in self.readers:
            if reader.waiting is not None and reader.waiting:
                self.take(reader, reader.waiting)

    def take(self, reader: Reader, recorder: Recorder) -> None:
        reader.waiting = None
        status, document = recorder.response.status, recorder.document
        if status == 404:
            return
        first = reader.asked[0]
        if status == 410:
            self.told_of_gap(reader, first, document)
            return
        assert status == 200, document
        for channel, gap in document.get("gaps", {}).items():
            self.told_of_gap(reader, channel, gap)
        for event in document["events"]:
            channel = event.get("channel", first)
            at = reader.at.get(channel)
            if at is not None:
                assert event["offset"] == at.offset + 1, "missed, repeated or out of order"
            assert event["data"] == event["offset"], "another event's data"
            reader.at[channel] = parse_cursor(event["cursor"])
        if len(reader.asked) == 1:
            cursors = {first: document["cursor"]}
        else:
            cursors = document["cursors"]
        for channel, text in cursors.items():
            if channel in reader.at and channel not in document.get("gaps", {}):
                assert reader.at[channel] == parse_cursor(text), "moved past an event"
            reader.at[channel] = parse_cursor(text)

    def told_of_gap(self, reader: Reader, channel: str, gap: dict[str, str]) -> None:
        at = reader.at.pop(channel, None)
        # Who asked from the beginning stands at it, as soon as its poll has read: what comes after
        # that and is deleted before it was told is lost to it.
        offset = at.offset if at else 0
        another_life = at is not None and at.epoch != self.store.epoch
        lost = another_life or offset < self.logs[channel].oldest - 1
        assert lost, "there was no gap"
        reader.at[channel] = parse_cursor(gap["oldest"])

    @precondition(lambda self: not self.store.waiting and not self.store.slow)
    @invariant()
    def nobody_waits_for_what_is_there(self) -> None:
        self.run(settled())
        self.take_answers()
        for reader in self.readers:
            if reader.waiting is not None:
                for channel in reader.asked:
                    log, at = self.logs[channel], reader.at.get(channel)
                    offset = at.offset if at else log.oldest - 1
                    assert offset >= log.top, "it waits, and there is an event"

    def catch_up(self) -> None:
        self.store.slow = False
        while self.store.waiting:
            self.run(self.store.let_go())
        self.run(asyncio.sleep(6))
        self.take_answers()

    def teardown(self) -> None:
        self.catch_up()
        for reader in self.readers:
            assert reader.waiting is None, "a poll was never answered"
        assert self.hub.parked == self.hub.channel_waits == len(self.hub.wheel) == 0
        self.run(self.hub.close())
        self.loop.close()


HubMachine.TestCase.settings = settings(
    max_examples=examples(100), stateful_step_count=50, deadline=None
)
TestHub = HubMachine.TestCase
