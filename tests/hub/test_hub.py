"""Register, read, park; and everything that can come in between."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pushhub.http.response import Part, Response
from pushhub.http.sse import OPENING
from pushhub.hub.channel_hold import ChannelHold
from pushhub.hub.hold import Hold
from pushhub.hub.hub import Hub
from pushhub.hub.stream import EventStream
from pushhub.hub.tail_read import MAX_TAIL_READS
from pushhub.log.cursor import Cursor, Start
from pushhub.log.grant import Grant
from pushhub.log.read import Page
from pushhub.polls.base import Poll
from pushhub.polls.stream import FeedStream
from tests.hub.scripted import (
    Recorder,
    ScriptedStore,
    ask,
    cursor,
    feed,
    many,
    opened,
    park,
    publish,
    settled,
    value,
)


async def warm(hub: Hub, *channels: str) -> None:
    """Have channels in memory."""
    for channel in channels or ("a",):
        ask(hub, feed(wait=None, channel=channel))
    await settled()


# -- waiting -------------------------------------------------------------------


async def test_an_event_completes_the_hold_and_frees_its_memory() -> None:
    async with opened() as hub:
        await warm(hub)
        replies = [ask(hub, poll) for poll in (feed(), value(), many("a", "b"))]
        await settled()
        assert hub.parked == 3
        publish(hub, "a", 1)
        assert [bool(answer) for answer in replies] == [True] * 3
        assert replies[0].data == replies[2].data == [1]
        assert replies[1].response.body == b"1"
        assert hub.parked == len(hub.wheel) == hub.holds_on("a") == hub.holds_on("b") == 0
        assert hub.stats.completed_by_event == 3


async def test_an_event_of_another_channel_completes_no_hold() -> None:
    async with opened() as hub:
        await warm(hub)
        _, recorder = park(hub, feed())
        publish(hub, "b", 1)
        assert not recorder
        assert hub.parked == 1


async def test_the_wait_ends_with_the_ordinary_nothing() -> None:
    async with opened() as hub:
        publish(hub, "a", 1)
        await warm(hub)
        _, recorder = park(hub, feed(wait=20))
        await asyncio.sleep(19.8)
        assert not recorder
        await asyncio.sleep(0.4)
        expected = {"events": [], "cursor": str(cursor(hub, 1)), "up_to_date": True}
        assert recorder.document == expected
        assert hub.stats.completed_by_deadline == 1


@pytest.mark.parametrize(("drawn", "least", "most"), [(0, 16.0, 16.2), (1, 20.0, 20.2)])
async def test_the_real_end_is_up_to_a_fifth_earlier(
    drawn: float, least: float, most: float
) -> None:
    uniform = lambda low, high: low + (high - low) * drawn  # noqa: E731
    async with opened(uniform=uniform) as hub:
        await warm(hub)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        _, recorder = park(hub, feed(wait=20))
        await recorder.written()
        assert least <= loop.time() - begun <= most


async def test_a_poll_without_a_wait_is_not_held() -> None:
    async with opened() as hub:
        await warm(hub)
        for poll in (feed(wait=None), value(wait=None), many("a", wait=None)):
            assert isinstance(hub.hold(poll), Response)
        assert hub.parked == 0


async def test_a_client_that_goes_frees_its_hold() -> None:
    async with opened() as hub:
        await warm(hub)
        hold, recorder = park(hub, many("a", "b", "c"))
        await settled()
        hold.drop()
        publish(hub, "a", 1)
        assert not recorder
        assert hub.parked == len(hub.wheel) == 0
        assert [hub.holds_on(name) for name in "abc"] == [0, 0, 0]


async def test_a_driver_that_fails_does_not_stop_the_clock() -> None:
    class Failing(Recorder):
        def deliver(self, reply: object) -> None:
            raise RuntimeError("a driver's mistake")

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with opened() as hub:
        await warm(hub)
        hold = hub.hold(feed(wait=1))
        assert isinstance(hold, ChannelHold)
        hold.attach(Failing())
        _, later = park(hub, feed(wait=5))
        await asyncio.sleep(6)
        assert later


# -- races with the store ------------------------------------------------------


POLLS: dict[str, Callable[[Hub], Poll]] = {
    "cursor": lambda hub: feed(cursor(hub, 0)),
    "earliest": lambda hub: feed(Start.EARLIEST),
    "value": lambda hub: value(),
    "many": lambda hub: many("a", "b", since=cursor(hub, 0)),
}


@pytest.mark.parametrize("poll", POLLS.values(), ids=POLLS)
@pytest.mark.parametrize("moment", range(4))
async def test_an_event_while_the_hold_is_being_registered_is_delivered(
    poll: Callable[[Hub], Poll], moment: int
) -> None:
    """Reads see the log when they begin and are answered later: an event comes in between."""
    store = ScriptedStore()
    async with opened(store) as hub:
        store.slow = True
        recorder = ask(hub, poll(hub))
        for step in range(6):
            await settled()
            if step == moment:
                publish(hub, "a", "now")
            await store.let_go(1)
        store.slow = False
        await store.let_go()
        assert recorder, f"nobody was told; {hub!r}"
        if recorder.response.body != b'"now"':
            assert recorder.data == ["now"]
        assert hub.parked == 0


async def test_events_during_the_first_read_follow_it_without_a_hole() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        publish(hub, "a", 1, 2)
        store.slow = True
        recorder = ask(hub, feed(cursor(hub, 0)))
        await settled()
        publish(hub, "a", 3)
        await store.let_go()
        assert recorder.data == [1, 2, 3]
        assert ask(hub, feed(cursor(hub, 0))).data == [1, 2, 3]


async def test_readers_of_a_cold_channel_share_one_read() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        publish(hub, "a", 1)
        store.slow = True
        replies = [ask(hub, feed(Start.NOW)) for _ in range(50)]
        await settled()
        assert store.waiting == 1
        await store.let_go()
        assert hub.parked == 50
        publish(hub, "a", 2)
        assert [answer.data for answer in replies] == [[2]] * 50


async def test_a_poll_after_an_event_shares_no_read_from_before_it() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        publish(hub, "a", 1)
        await warm(hub)
        store.slow = True
        early = ask(hub, feed(Start.EARLIEST, wait=None))
        await settled()
        publish(hub, "a", 2)
        late = ask(hub, feed(Start.EARLIEST, wait=None))
        await settled()
        await store.let_go()
        assert early.data == [1]
        assert late.data == [1, 2]


async def test_a_read_that_fails_is_503_and_the_next_one_is_tried() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        publish(hub, "a", 1)
        store.failing = True
        replies = [ask(hub, feed(Start.EARLIEST)), ask(hub, feed(Start.NOW, wait=None))]
        await settled()
        for recorder in replies:
            assert recorder.response.status == 503
            assert (b"retry-after", b"1") in recorder.response.headers
        assert hub.parked == hub.holds_on("a") == 0
        store.failing = False
        again = ask(hub, feed(cursor(hub, 0)))
        await settled()
        assert again.data == [1]


async def test_one_failed_read_of_many_completes_the_poll_once() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        store.slow = True
        recorder = ask(hub, many("a", "b", "c"))
        await settled()
        store.failing = True
        await store.let_go(1)
        assert recorder.response.status == 503
        store.failing = False
        await store.let_go()
        publish(hub, "b", 1)
        assert len(recorder.replies) == 1


async def test_a_read_that_fails_late_does_not_count_a_hold_twice() -> None:
    """Of a poll of two channels one read fails, and the hold is parked. The feed is whole again, so
    the hold is read for again; only then the other read fails.
    """
    store = ScriptedStore()
    async with opened(store) as hub:
        hub.lost()
        store.slow = store.failing = True
        recorder = ask(hub, many("a", "b", since=cursor(hub, 0)))
        await settled()
        await store.let_go(1)
        assert hub.parked == 1
        hub.restored()
        await settled()
        await store.let_go(1)
        store.failing = False
        await store.let_go()
        assert (hub.parked, bool(recorder)) == (1, False)
        publish(hub, "b", 1)
        assert (hub.parked, recorder.document["events"][0]["data"]) == (0, 1)


async def test_a_client_that_goes_during_the_read_is_not_parked() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        store.slow = True
        hold, recorder = park(hub, many("a", "b"))
        await settled()
        hold.drop()
        await store.let_go()
        assert hub.parked == len(hub.wheel) == 0
        assert not recorder


async def test_an_event_that_does_not_follow_makes_the_hub_ask_the_store() -> None:
    """As when a subscription was broken for a while: the copies of some events never came."""
    store = ScriptedStore()
    async with opened(store) as hub:
        await warm(hub)
        replies = [ask(hub, feed()), ask(hub, many("a", "b"))]
        await settled()
        listener, store._listener = store._listener, Deaf()
        publish(hub, "a", 1, 2)
        store._listener = listener
        publish(hub, "a", 3)
        await settled()
        assert [answer.data for answer in replies] == [[1, 2, 3]] * 2


class Deaf:
    """Hears nothing."""

    def wake(self, event: object) -> None:
        pass

    def receipt(self, channel: str, cursor: object) -> None:
        pass

    def forget(self, channel: str) -> None:
        pass

    def lost(self) -> None:
        pass

    def restored(self) -> None:
        pass


async def test_events_that_do_not_follow_the_first_read_are_asked_for_by_everybody() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        store.slow = True
        replies = [ask(hub, feed(cursor(hub, 0))) for _ in range(3)]
        await settled()
        listener, store._listener = store._listener, Deaf()
        publish(hub, "a", 1, 2)
        store._listener = listener
        publish(hub, "a", 3)
        await store.let_go()
        await store.let_go()
        assert [bool(answer) for answer in replies] == [True] * 3
        assert [answer.data for answer in replies] == [[1, 2, 3]] * 3


async def test_a_second_read_does_not_restart_the_wait() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        await warm(hub)
        tagged = value("*", wait=20)
        publish(hub, "a", 0)
        _, recorder = park(hub, tagged)
        await asyncio.sleep(15)
        listener, store._listener = store._listener, Deaf()
        publish(hub, "a", 1)
        store._listener = listener
        publish(hub, "a", 2)
        await settled()
        assert hub.parked == 1
        await asyncio.sleep(5.3)
        assert recorder.response.status == 304


async def test_a_burst_beyond_the_tail_reaches_every_hold() -> None:
    """The fan-out of the first is not done when the last has pushed it out of the tail."""
    async with opened() as hub:
        await warm(hub)
        slow = SlowDriver()
        for _ in range(200):
            hold = hub.hold(feed(cursor(hub, 0)))
            assert isinstance(hold, ChannelHold)
            hold.attach(slow)
        publish(hub, "a", *range(150))
        for _ in range(50):
            await settled()
        assert len(slow.replies) == 200
        assert hub.parked == 0


class SlowDriver(Recorder):
    """A write takes time, so that a fan-out takes several slices."""

    def deliver(self, reply: Any) -> None:
        super().deliver(reply)
        loop: Any = asyncio.get_running_loop()
        loop._virtual.now += 0.001


async def test_a_long_fan_out_lets_others_have_their_turn() -> None:
    async with opened() as hub:
        await warm(hub)
        slow = SlowDriver()
        for _ in range(500):
            hold = hub.hold(feed())
            assert isinstance(hold, ChannelHold)
            hold.attach(slow)
        publish(hub, "a", 1)
        assert 0 < len(slow.replies) < 100
        for _ in range(5):
            await settled()
        assert len(slow.replies) == 500
        assert hub.stats.completed_by_event == 500


async def test_a_hold_between_two_slices_receives_both_events() -> None:
    async with opened() as hub:
        await warm(hub)
        slow = SlowDriver()
        for _ in range(100):
            hold = hub.hold(feed())
            assert isinstance(hold, ChannelHold)
            hold.attach(slow)
        publish(hub, "a", 1)
        publish(hub, "a", 2)
        for _ in range(5):
            await settled()
        counts = [reply.events for reply in slow.replies if isinstance(reply, Response)]
        assert len(counts) == 100
        assert set(counts) == {1, 2}


async def test_holds_of_one_variant_share_the_bytes_of_their_response() -> None:
    async with opened() as hub:
        await warm(hub)
        replies = [ask(hub, feed()) for _ in range(10)]
        publish(hub, "a", 1)
        assert len({id(answer.response) for answer in replies}) == 1


async def test_holds_at_different_places_get_what_they_lack() -> None:
    async with opened() as hub:
        publish(hub, "a", *range(5))
        await warm(hub)
        poll = value(str(cursor(hub, 5)))
        _, tagged = park(hub, poll)
        _, late = park(hub, feed(cursor(hub, 5)))
        publish(hub, "a", "x")
        assert late.data == ["x"]
        assert tagged.response.body == b'"x"'


# -- deletes -------------------------------------------------------------------


async def test_a_delete_completes_the_holds_of_its_channel_only() -> None:
    async with opened() as hub:
        publish(hub, "a", 1)
        await warm(hub, "a", "b")
        replies = [ask(hub, poll) for poll in (feed(), value("x-1", wait=30), many("a", "b"))]
        _, other = park(hub, feed(channel="b"))
        await settled()
        await hub.store.delete("a")
        assert [replies[n].response.status for n in (0, 2)] == [404, 404]
        assert not other
        assert ask(hub, value(wait=None)).replies == []
        assert hub.stats.completed_by_delete == 2


async def test_a_read_that_a_delete_overtakes_is_not_believed() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        publish(hub, "a", "deleted")
        store.slow = True
        replies = [ask(hub, value(wait=None)) for _ in range(3)]
        await settled()
        await store.delete("a")
        await store.let_go()
        await store.let_go()
        assert [recorder.response.status for recorder in replies] == [404] * 3
        store.slow = False
        after = ask(hub, value(wait=None))
        await settled()
        assert after.response.status == 404


# -- full, and leaving ---------------------------------------------------------


async def test_a_full_hub_responds_immediately_with_a_time_to_retry() -> None:
    async with opened(max_holds=2) as hub:
        await warm(hub)
        first, _ = park(hub, feed())
        park(hub, feed())
        refused = ask(hub, feed())
        assert refused.document["retry_ms"] == 5000
        assert (b"x-poll-interval", b"5") in refused.response.headers
        assert b"preference-applied" not in dict(refused.response.headers)
        assert hub.stats.refused_holds == 1
        first.drop()
        park(hub, feed())


async def test_a_drain_completes_all_holds_spread_over_its_seconds() -> None:
    async with opened() as hub:
        await warm(hub)
        replies = [ask(hub, feed()) for _ in range(1000)]
        loop = asyncio.get_running_loop()
        begun = loop.time()
        drain = asyncio.create_task(hub.drain(4))
        await asyncio.sleep(2)
        assert 400 < sum(map(bool, replies)) < 600
        await drain
        assert 3.5 < loop.time() - begun < 4.5
        assert all(answer.document["retry_ms"] == 1000 for answer in replies)
        assert hub.stats.completed_by_drain == 1000


async def test_a_shorter_drain_hurries_a_longer_one_on() -> None:
    async with opened() as hub:
        await warm(hub)
        replies = [ask(hub, feed()) for _ in range(100)]
        long = asyncio.create_task(hub.drain(1000))
        await asyncio.sleep(1)
        await hub.drain(0)
        assert all(replies)
        await asyncio.sleep(0.1)
        assert long.done()


async def test_while_it_drains_a_poll_is_held_no_longer_than_the_drain() -> None:
    async with opened() as hub:
        await warm(hub)
        park(hub, feed())
        drain = asyncio.create_task(hub.drain(3))
        await asyncio.sleep(1)
        late = ask(hub, feed(wait=50))
        cold = ask(hub, feed(wait=50, channel="cold"))
        await drain
        await asyncio.sleep(2.2)
        assert late
        assert cold
        after = ask(hub, feed(wait=50))
        assert after.document["retry_ms"] == 1000


async def test_an_event_during_a_drain_is_still_delivered() -> None:
    async with opened() as hub:
        await warm(hub)
        replies = [ask(hub, feed()) for _ in range(1000)]
        drain = asyncio.create_task(hub.drain(2))
        await asyncio.sleep(1)
        publish(hub, "a", 1)
        await settled()
        assert sum(len(answer.document["events"]) for answer in replies) > 400
        await drain


async def test_closing_completes_all_holds() -> None:
    async with opened() as hub:
        await warm(hub)
        _, recorder = park(hub, feed())
    assert recorder.response.status == 200


# -- streams -------------------------------------------------------------------


async def step(turn: Part | Hold | None) -> Part:
    """What a turn of a stream gives, now or when it comes."""
    if isinstance(turn, Part):
        return turn
    assert isinstance(turn, Hold)
    recorder = Recorder()
    turn.attach(recorder)
    await recorder.written()
    (part,) = recorder.replies
    assert isinstance(part, Part)
    return part


def stream(hub: Hub, expires: float | None = None) -> EventStream:
    return EventStream(
        hub, OPENING, FeedStream("a", Start.NOW, 100, first=True), Grant(expires=expires)
    )


async def test_a_silent_stream_gets_a_comment_every_quarter_of_a_minute() -> None:
    async with opened() as hub:
        turns = stream(hub)
        part = await step(turns.next(None))
        assert part.body.startswith(b"id: ")
        begun = asyncio.get_running_loop().time()
        for number in range(1, 4):
            part = await step(turns.next(part))
            assert part.body == b":\n\n"
            assert asyncio.get_running_loop().time() - begun == pytest.approx(15 * number, abs=1)


async def test_what_comes_between_two_turns_is_in_the_next() -> None:
    async with opened() as hub:
        turns = stream(hub)
        part = await step(turns.next(None))
        publish(hub, "a", 1, 2)
        part = await step(turns.next(part))
        assert part.body.count(b"data: ") == 2
        assert hub.parked == 0


async def test_a_stream_ends_with_its_token() -> None:
    now = [100.0]
    async with opened(clock=lambda: now[0]) as hub:
        turns = stream(hub, expires=110.0)
        part = await step(turns.next(None))
        part = await step(turns.next(part))
        now[0] = 110.0
        part = await step(turns.next(part))
        assert part.body.startswith(b"event: error\n")
        assert turns.next(part) is None


async def test_a_stream_ends_with_the_drain() -> None:
    async with opened() as hub:
        turns = stream(hub)
        part = await step(turns.next(None))
        turn = turns.next(part)
        drain = asyncio.create_task(hub.drain(1))
        part = await step(turn)
        assert (part.body, part.last) == (b"retry: 1000\n\n", True)
        assert turns.next(part) is None
        await drain


async def test_a_log_whose_end_never_fits_is_read_a_few_times_and_no_more() -> None:
    """A delete during each read makes its result void: the poll is refused, and not for ever."""

    class Forgetting(ScriptedStore):
        async def tail(self, channel: str, limit: int) -> Page:
            page = await super().tail(channel, limit)
            assert self._listener is not None
            self._listener.forget(channel)
            return page

    store = Forgetting()
    async with opened(store) as hub:
        recorder = ask(hub, feed(wait=None))
        await asyncio.sleep(1)
        assert recorder.response.status == 503
        assert store.reads == MAX_TAIL_READS + 1


# -- receipts ------------------------------------------------------------------

# An epoch that was lost: its receipt is in no tail that comes.
LOST_EPOCH = Cursor("lost", 9)


async def test_a_receipt_of_a_lost_epoch_does_not_send_every_read_to_the_store() -> None:
    """Events keep coming, so the tail never stands still, and never reaches the receipt."""
    store = ScriptedStore()
    async with opened(store) as hub:
        await warm(hub)
        publish(hub, "a", 0)
        hub.receipt("a", LOST_EPOCH)
        for number in range(1, 20):
            publish(hub, "a", number)
            before = store.reads
            recorder = ask(hub, value())
            await settled()
            assert recorder.response.body == b"%d" % number
            await asyncio.sleep(0.1)
        assert store.reads == before


@pytest.mark.parametrize("event", ["lost", "deleted"])
async def test_a_receipt_is_forgotten_when_the_tail_reaches_it(event: str) -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        await warm(hub)
        hub.receipt("a", LOST_EPOCH)
        if event == "lost":
            hub.lost()
            hub.restored()
        else:
            hub.receipt("a", None)
        await warm(hub)
        before = store.reads
        await warm(hub)
        assert store.reads == before


async def test_an_old_stream_ends_and_says_when_to_come_back() -> None:
    async with opened() as hub:
        turns = EventStream(hub, OPENING, FeedStream("a", Start.NOW, 100, first=True), seconds=20)
        part = await step(turns.next(None))
        begun = asyncio.get_running_loop().time()
        while not part.last:
            part = await step(turns.next(part))
        assert part.body.startswith(b"retry: ")
        # A fifth earlier at most, and at the next comment.
        assert 16 <= asyncio.get_running_loop().time() - begun <= 20 + 15 + 1
        assert turns.next(part) is None
