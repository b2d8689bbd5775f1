"""A trace tells a request's life, and a hub that is not traced does not know that it could be."""

import asyncio
from typing import Any

import orjson
import pytest

from pushhub.console.trace import MAX_FOLLOWED, Note, Tracer, TraceTarget
from pushhub.grip.held_response import HeldInstruct, HeldResponse
from pushhub.grip.instruct import HoldMode, Instruct
from pushhub.grip.sequence import ItemSequences
from pushhub.http.raw_response import RawResponse
from pushhub.http.response import Part
from pushhub.http.sse import OPENING
from pushhub.hub.channel_hold import ChannelHold, InternalHold
from pushhub.hub.hold import ChainedHold, Hold
from pushhub.hub.hub import Hub
from pushhub.hub.observers import HubObservers
from pushhub.hub.readers import ClientInfo, client_of, holders
from pushhub.hub.stream import EventStream
from pushhub.log.event import Draft
from pushhub.polls.stream import FeedStream
from pushhub.store.base import Append, Retention
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

CHANNEL, CLIENT = "channel01", "client001"


class Notes(list[tuple[str, Note]]):
    """What the traces tell."""

    def take(self, id: str, note: Note) -> None:
        self.append((id, note))

    def of(self, id: str = CHANNEL) -> list[str]:
        return [note["what"] for one, note in self if one == id]

    def last(self, what: str) -> Note:
        return next(note for _, note in reversed(self) if note["what"] == what)


class Wire(Recorder):
    """A driver with a connection, as the front has."""

    def __init__(self, address: str = "10.0.0.1") -> None:
        super().__init__()
        self.transport = self
        self.address = address

    def get_extra_info(self, name: str) -> Any:
        return (self.address, 4711) if name == "peername" else None


async def warm(hub: Hub, channel: str = "a") -> None:
    ask(hub, feed(wait=None, channel=channel))
    await settled()


def traced(hub: Hub, **target: str) -> tuple[Tracer, Notes]:
    notes = Notes()
    tracer = Tracer(hub, notes.take)
    tracer.start(CHANNEL if "channel" in target else CLIENT, TraceTarget(**target))
    return tracer, notes


# -- nothing while nobody traces -----------------------------------------------


async def test_a_hub_that_is_not_traced_is_as_it_was_made() -> None:
    async with opened() as hub:
        before = set(vars(hub))
        tracer, _ = traced(hub, channel="a")
        assert set(vars(hub)) == before
        assert hub.observer is tracer
        assert tracer
        tracer.stop(CHANNEL)
        assert set(vars(hub)) == before
        assert hub.observer is None
        assert not tracer
        assert type(hub.hold(feed())) is ChannelHold


async def test_the_last_of_several_traces_takes_it_away() -> None:
    async with opened() as hub:
        tracer, notes = traced(hub, channel="a")
        tracer.start("another1", TraceTarget(channel="a"))
        tracer.stop(CHANNEL)
        tracer.stop("unknown1")
        await warm(hub)
        publish(hub, "a", 1)
        assert notes.of() == []
        assert "event" in notes.of("another1")
        tracer.stop("another1")
        assert hub.observer is None


async def test_a_trace_beside_another_observer_leaves_that_one_in_place() -> None:
    """Tracing by OpenTelemetry is one, for the whole life of a hub."""
    async with opened() as hub:
        others = Notes()
        other = Tracer(hub, others.take)
        other.start("another1", TraceTarget(channel="a"))
        tracer, notes = traced(hub, channel="a")
        both: object = hub.observer
        assert isinstance(both, HubObservers)
        await warm(hub)
        publish(hub, "a", 1)
        assert notes.of() == others.of("another1") != []
        tracer.stop(CHANNEL)
        remaining: object = hub.observer
        assert remaining is other
        other.stop("another1")
        assert hub.observer is None


# -- the life of a request -----------------------------------------------------


async def test_a_poll_has_lines_for_arrival_park_and_response() -> None:
    async with opened() as hub:
        await warm(hub)
        _, notes = traced(hub, channel="a")
        hold, recorder = park(hub, feed())
        assert type(hold) is ChannelHold
        assert notes.of() == ["poll", "park"]
        assert notes.last("poll")["since"] == {"a": "now"}
        assert (notes.last("poll")["kind"], notes.last("poll")["wait"]) == ("long-poll", 30)
        publish(hub, "a", {"x": 1})
        assert notes.of() == ["poll", "park", "publish", "event", "answer", "logged"]
        assert notes.last("event")["waiting"] == 1
        answer = notes.last("answer")
        assert (answer["status"], answer["events"]) == (200, 1)
        assert answer["bytes"] == len(recorder.response.body)
        assert answer["ms"] >= 0
        numbers = {note["hold"] for _, note in notes if "hold" in note}
        assert len(numbers) == 1
        assert recorder.data == [{"x": 1}]


async def test_an_immediate_response_is_the_same_with_a_trace() -> None:
    async with opened() as hub:
        publish(hub, "a", 1)
        await warm(hub)
        plain = ask(hub, feed(cursor(hub, 0)))
        _, notes = traced(hub, channel="a")
        outcome = hub.hold(feed(cursor(hub, 0)))
        assert isinstance(outcome, Hold)
        assert outcome.done
        recorder = Recorder()
        outcome.attach(recorder)
        assert recorder.response.body == plain.response.body
        assert notes.of() == ["poll", "answer"]


async def test_a_cold_read_is_followed_too() -> None:
    async with opened() as hub:
        publish(hub, "a", 1)
        _, notes = traced(hub, channel="a")
        recorder = ask(hub, feed(cursor(hub, 0)))
        assert notes.of() == ["poll"]
        await settled()
        assert recorder.data == [1]
        assert notes.of() == ["poll", "answer"]


async def test_a_client_that_goes_has_gone() -> None:
    async with opened() as hub:
        await warm(hub)
        _, notes = traced(hub, channel="a")
        hold, _ = park(hub, feed())
        hold.drop()
        hold.drop()
        assert notes.of() == ["poll", "park", "gone"]


async def test_the_end_of_a_wait_is_an_answer() -> None:
    async with opened() as hub:
        await warm(hub)
        _, notes = traced(hub, channel="a")
        _, recorder = park(hub, feed(wait=5))
        await asyncio.sleep(6)
        assert recorder
        assert notes.of() == ["poll", "park", "answer"]
        assert notes.last("answer")["events"] == 0


async def test_a_waiting_hold_is_followed_from_the_start_of_the_trace() -> None:
    async with opened() as hub:
        await warm(hub)
        hold, recorder = park(hub, feed())
        _, notes = traced(hub, channel="a")
        assert notes.of() == ["waiting"]
        publish(hub, "a", 1)
        assert hold.done
        assert recorder.data == [1]
        assert notes.of() == ["waiting", "publish", "event", "answer", "logged"]


async def test_a_hold_without_channels_is_not_traced() -> None:
    """A held response of GRIP waits so during a fetch from the origin."""
    instruct = Instruct(RawResponse(200, (), b""), HoldMode.RESPONSE, ())
    async with opened() as hub:
        _, notes = traced(hub, client="10.0.0.1")
        reply = hub.hold(HeldResponse(HeldInstruct.of(instruct), {}, ItemSequences(), 25))
        assert isinstance(reply, ChannelHold)
        assert notes.of(CLIENT) == []
        reply.drop()


async def test_a_hold_outlives_its_trace() -> None:
    async with opened() as hub:
        await warm(hub)
        tracer, notes = traced(hub, channel="a")
        _, recorder = park(hub, feed())
        tracer.stop(CHANNEL)
        publish(hub, "a", 1)
        assert recorder.data == [1]
        assert notes.of() == ["poll", "park"]


async def test_other_channels_are_left_alone() -> None:
    async with opened() as hub:
        await warm(hub)
        _, notes = traced(hub, channel="b")
        hold, recorder = park(hub, feed())
        assert type(hold) is ChannelHold
        publish(hub, "a", 1)
        assert recorder.data == [1]
        assert notes == []


async def test_holds_of_pushhubs_own_are_left_alone() -> None:
    async with opened() as hub:
        await warm(hub)
        before = hub.hold(feed(), InternalHold)
        _, notes = traced(hub, channel="a")
        after = hub.hold(feed(), InternalHold)
        assert type(before) is type(after) is InternalHold
        publish(hub, "a", 1)
        assert before.done
        assert after.done
        assert notes.of() == ["publish", "event", "logged"]


async def test_a_poll_of_many_is_traced_by_any_of_its_channels() -> None:
    async with opened() as hub:
        _, notes = traced(hub, channel="b")
        recorder = ask(hub, many("a", "b"))
        await settled()
        publish(hub, "b", 1)
        assert recorder
        assert notes.of() == ["poll", "park", "publish", "event", "answer", "logged"]
        assert notes.last("poll")["channels"] == 2


async def test_a_stream_has_a_line_for_each_turn() -> None:
    async with opened() as hub:
        publish(hub, "a", *range(90))
        await warm(hub)
        tracer, notes = traced(hub, channel="a")
        stream = EventStream(hub, OPENING, FeedStream("a", cursor(hub, 0), 30, first=True))
        parts, step = 0, stream.next(None)
        while isinstance(step, Part):
            parts += 1
            step = stream.next(step)
        assert isinstance(step, ChannelHold)
        wire = Wire()
        step.attach(wire)
        assert notes.of().count("answer") == parts > 2
        assert notes.last("answer")["part"]
        assert notes.last("park")["client"] == "10.0.0.1"
        publish(hub, "a", 1)
        assert wire.replies
        assert repr(tracer) == "<Tracer 1 traces, 0 holds>"


async def test_a_refused_publish_says_why() -> None:
    class Broken(ScriptedStore):
        def append(self, appends: Any, done: Any) -> None:
            from pushhub.store.base import StoreUnavailable

            done([StoreUnavailable("The disk is full.") for _ in appends])

    async with opened(Broken()) as hub:
        _, notes = traced(hub, channel="a")
        publish(hub, "a", 1)
        assert notes.of() == ["publish", "not logged"]
        assert notes.last("not logged")["why"] == "The disk is full."


async def test_a_duplicate_is_marked_in_the_trace() -> None:
    async with opened() as hub:
        _, notes = traced(hub, channel="a")
        for _ in range(2):
            append = Append("a", Draft(orjson.dumps(1)), Retention(), key="once")
            hub.publish([append], lambda outcomes: None)
        assert [n["duplicate"] for _, n in notes if n["what"] == "logged"] == [False, True]


# -- clients -------------------------------------------------------------------


async def test_a_client_is_found_by_its_address_once_it_is_known() -> None:
    async with opened() as hub:
        await warm(hub)
        tracer, notes = traced(hub, client="10.0.0.1")
        mine, other = hub.hold(feed()), hub.hold(feed())
        assert isinstance(mine, ChannelHold)
        assert isinstance(other, ChannelHold)
        assert notes == []
        mine.attach(Wire())
        other.attach(Wire("10.0.0.2"))
        assert notes.of(CLIENT) == ["poll", "park"]
        publish(hub, "a", 1)
        assert notes.of(CLIENT) == ["poll", "park", "answer"]
        assert repr(tracer) == "<Tracer 1 traces, 0 holds>"


async def test_a_client_is_found_by_its_subject_if_somebody_tells() -> None:
    async with opened() as hub:
        await warm(hub)
        tracer, notes = traced(hub, client="alice")
        poll = feed()
        tracer.decided = (poll, ClientInfo("10.0.0.9", "alice"))
        ask(hub, poll)
        assert notes.of(CLIENT) == ["poll", "park"]
        assert notes.last("park")["subject"] == "alice"
        # What was told of one poll is not true of the next.
        ask(hub, feed())
        assert notes.of(CLIENT) == ["poll", "park"]


async def test_a_clients_publishes_are_its_own() -> None:
    async with opened() as hub:
        tracer, notes = traced(hub, client="10.0.0.9")
        tracer.client = ClientInfo("10.0.0.9")
        publish(hub, "a", 1)
        tracer.client = ClientInfo("10.0.0.8")
        publish(hub, "a", 1)
        assert notes.of(CLIENT) == ["publish", "logged"]


async def test_pushhubs_own_channels_are_never_traced() -> None:
    """Else a console's trace would tell of the console that reads it, for ever."""
    async with opened() as hub:
        await warm(hub, "$console:feed")
        hold, _ = park(hub, feed(channel="$console:feed"))
        _, notes = traced(hub, client="10.0.0.1")
        again, _ = park(hub, feed(channel="$console:feed"))
        assert type(hold) is type(again) is ChannelHold
        assert notes == []


async def test_what_is_followed_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_FOLLOWED <= 10_000
    monkeypatch.setattr("pushhub.console.trace.MAX_FOLLOWED", 3)
    async with opened() as hub:
        await warm(hub)
        _, notes = traced(hub, channel="a")
        recorders = [ask(hub, feed()) for _ in range(5)]
        assert notes.of().count("park") == 3
        publish(hub, "a", 1)
        assert all(recorder.data == [1] for recorder in recorders)


# -- who waits -----------------------------------------------------------------


async def test_holders_says_who_waits_how_and_for_how_long() -> None:
    async with opened() as hub:
        await warm(hub)
        assert holders(hub.channels, hub.now(), "unknown", 10) == []
        for poll in (feed(), value(), many("a", "b")):
            hold = hub.hold(poll)
            assert isinstance(hold, ChannelHold)
            hold.attach(Wire())
        await settled()
        await asyncio.sleep(2)
        listed = holders(hub.channels, hub.now(), "a", 10)
        assert [one["kind"] for one in listed] == ["long-poll", "value", "many channels"]
        assert {one["client"] for one in listed} == {"10.0.0.1"}
        assert all(1.9 <= one["waited"] <= 2.2 for one in listed)
        assert len(holders(hub.channels, hub.now(), "a", 2)) == 2
        assert feed(wait=None).kind == "poll"


async def test_a_follower_is_asked_whom_it_answers() -> None:
    async with opened() as hub:
        await warm(hub)
        hold = hub.hold(feed())
        assert isinstance(hold, ChannelHold)
        follower = ChainedHold()
        follower.follow(hold)
        assert client_of(hold) == ClientInfo()
        follower.attach(Wire())
        assert client_of(hold) == ClientInfo("10.0.0.1")
