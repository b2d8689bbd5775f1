"""A wait ends with the grant that it rests on, and nothing is delivered after that."""

import asyncio
from typing import Any

import orjson
import pytest

from pushhub.api.revocation_register import RevocationRegister
from pushhub.auth.revocation import Revocation, RevocationKind, Revocations
from pushhub.http.response import Part, Response
from pushhub.http.sse import OPENING
from pushhub.hub.channel_hold import ChannelHold, GrantedHold
from pushhub.hub.closed_channels import MAX_CLOSINGS
from pushhub.hub.hub import Hub
from pushhub.hub.release import LATE_SECONDS, release
from pushhub.hub.stream import EventStream
from pushhub.log.cursor import Cursor, Start
from pushhub.log.grant import EVERYTHING, NOTHING, Grant
from pushhub.polls.base import Poll
from pushhub.polls.stream import FeedStream, MultiStream
from tests.hub.scripted import (
    Recorder,
    ScriptedStore,
    feed,
    many,
    opened,
    publish,
    settled,
    value,
)


class WallClock:
    """The wall clock of a hub, which a test may set."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    def grant(self, seconds: float) -> Grant:
        """A grant that expires in so many seconds."""
        return Grant(EVERYTHING.read, expires=self() + seconds)


async def parked(hub: Hub, poll: Poll, grant: Grant) -> Recorder:
    """A hold that rests on a grant, parked; the result receives its reply."""
    recorder = Recorder()
    hold = hub.hold(poll, grant=grant)
    assert isinstance(hold, GrantedHold)
    hold.attach(recorder)
    await settled()
    assert not recorder
    return recorder


POLLS = [
    pytest.param(lambda: feed(wait=25), 200, id="feed"),
    pytest.param(lambda: value(wait=25), 404, id="value"),
    pytest.param(lambda: many("a", "b", wait=25), 200, id="many"),
]


@pytest.mark.parametrize(("poll", "status"), POLLS)
async def test_a_wait_ends_before_its_token_with_the_ordinary_nothing(
    poll: Any, status: int
) -> None:
    clock = WallClock()
    async with opened(clock=clock) as hub:
        grant = clock.grant(5)
        recorder = await parked(hub, poll(), grant)
        await asyncio.sleep(4.7)
        assert not recorder
        await recorder.written()
        assert not grant.has_ended(clock())
        assert recorder.response.status == status
        assert hub.stats.completed_by_deadline == 1


@pytest.mark.parametrize(("poll", "status"), POLLS)
async def test_no_event_is_delivered_after_the_token(poll: Any, status: int) -> None:
    """The wall clock was set forward, so the deadline on the wheel is too late."""
    clock = WallClock()
    async with opened(clock=clock) as hub:
        recorder = await parked(hub, poll(), clock.grant(5))
        clock.offset = 5.0
        publish(hub, "a", 1)
        assert recorder.response.status == 401
        assert recorder.document["type"] == "urn:pushhub:problem:unauthorized"
        challenge = b'Bearer realm="pushhub", error="invalid_token"'
        assert (b"www-authenticate", challenge) in recorder.response.headers
        assert hub.stats.completed_by_event == hub.stats.delivered == 0
        assert hub.stats.completed_by_rights == 1
        assert hub.parked == len(hub.wheel) == hub.holds_on("a") == 0


async def test_a_read_that_arrives_after_the_token_delivers_nothing() -> None:
    clock, store = WallClock(), ScriptedStore()
    async with opened(store, clock=clock) as hub:
        publish(hub, "a", 1)
        store.slow = True
        poll = feed(wait=25, since=Start.EARLIEST)
        hold = hub.hold(poll, grant=clock.grant(5))
        assert isinstance(hold, ChannelHold)
        recorder = Recorder()
        hold.attach(recorder)
        await settled()
        assert store.waiting
        clock.offset = 6.0
        store.slow = False
        await store.let_go()
        assert recorder.response.status == 401


async def test_the_same_hold_delivers_an_event_before_the_end() -> None:
    clock = WallClock()
    async with opened(clock=clock) as hub:
        recorder = await parked(hub, feed(wait=25), clock.grant(5))
        clock.offset = 4.9
        publish(hub, "a", 1)
        assert recorder.data == [1]


async def test_a_deadline_that_finds_the_token_ended_is_a_refusal() -> None:
    clock = WallClock()
    async with opened(clock=clock) as hub:
        recorder = await parked(hub, feed(wait=20), clock.grant(3600))
        clock.offset = 3600.0
        await recorder.written()
        assert recorder.response.status == 401


@pytest.mark.parametrize("grant", [NOTHING, EVERYTHING], ids=["nothing", "everything"])
async def test_a_hold_without_a_credential_pays_nothing(grant: Grant) -> None:
    async with opened() as hub:
        assert type(hub.hold(feed(), grant=grant)) is ChannelHold
        assert "latest" not in ChannelHold.__slots__


def streams() -> list[Any]:
    reads = many("a", "b").reads
    return [
        pytest.param(lambda: FeedStream("a", Start.NOW, 100, first=True), id="one"),
        pytest.param(lambda: MultiStream(reads, 100, first=True), id="many"),
    ]


async def step(stream: EventStream, written: Part | None) -> Part | None:
    """The next part of a stream, whether it is there or must be waited for."""
    found = stream.next(written)
    if found is None or isinstance(found, Part):
        return found
    recorder = Recorder()
    found.attach(recorder)
    await recorder.written()
    (part,) = recorder.replies
    assert isinstance(part, Part)
    return part


@pytest.mark.parametrize("poll", streams())
@pytest.mark.parametrize("jump", [0.0, 10.0], ids=["time", "clock"])
async def test_a_stream_ends_with_a_reason(poll: Any, jump: float) -> None:
    clock = WallClock()
    async with opened(clock=clock) as hub:
        grant = clock.grant(5)
        stream = EventStream(hub, OPENING, poll(), grant)
        part = await step(stream, None)
        while part is not None and not part.last:
            assert not grant.has_ended(clock())
            waiting = asyncio.ensure_future(step(stream, part))
            await settled()
            if jump:
                clock.offset = jump
                publish(hub, "a", "secret")
            part = await waiting
        assert part is not None
        event, data, *rest = part.body.split(b"\n")
        assert (event, rest) == (b"event: error", [b"", b""])
        assert orjson.loads(data.removeprefix(b"data: "))["status"] == 401
        assert grant.expires is not None
        assert clock() - jump - grant.expires < 0.3
        assert stream.next(part) is None


async def test_the_first_step_of_a_stream_whose_token_ended_is_the_reason() -> None:
    clock = WallClock()
    async with opened(clock=clock) as hub:
        stream = EventStream(hub, OPENING, FeedStream("a", Start.NOW, 100, first=True),
                             clock.grant(-1))  # fmt: skip
        part = stream.next(None)
        assert isinstance(part, Part)
        assert part.last
        assert b"event: error" in part.body


async def test_a_newer_request_after_the_end_gets_a_refusal() -> None:
    clock = WallClock()
    async with opened(clock=clock) as hub:
        recorder = Recorder()
        hold = hub.hold(feed(wait=25), grant=clock.grant(5))
        assert isinstance(hold, GrantedHold)
        hold.attach(recorder)
        await settled()
        clock.offset = 6.0
        assert hold.hurry()
        reply = recorder.response
        assert isinstance(reply, Response)
        assert reply.status == 401


async def test_a_hold_that_parks_after_the_revocation_ends_too() -> None:
    """Its first read was under way, so it was not on the wheel."""
    clock, store = WallClock(), ScriptedStore()
    async with opened(store, clock=clock) as hub:
        revocations = Revocations(clock)
        register = RevocationRegister(hub, revocations)
        credential = revocations.credential(token_id="t")
        grant = Grant(EVERYTHING.read, credential=credential)
        waits = await parked(hub, feed(wait=55), grant)
        store.slow = True
        reads = Recorder()
        hold = hub.hold(feed(wait=55, channel="other"), grant=grant)
        assert isinstance(hold, GrantedHold)
        hold.attach(reads)
        await settled()
        assert store.waiting
        entry = Revocation(RevocationKind.TOKEN, "t", clock(), clock() + 60)
        revocations.take(entry.shard, revocations.value(entry.shard, b"{}", entry))
        await register.sweep()
        assert waits.document["type"] == "urn:pushhub:problem:revoked"
        store.slow = False
        await store.let_go()
        begun = clock()
        await reads.written()
        assert reads.response.status == 401
        assert clock() - begun < 1


def is_a(channel: str) -> bool:
    return channel == "a"


READS = [
    pytest.param(lambda: feed(wait=25, since=Start.EARLIEST), 401, id="feed-from-the-start"),
    pytest.param(lambda: feed(wait=25, since=Start.NOW), 401, id="feed-from-now"),
    pytest.param(lambda: feed(wait=None, since=Start.EARLIEST), 401, id="plain-read"),
    pytest.param(lambda: value(wait=None), 401, id="value"),
    pytest.param(lambda: many("b", "a", wait=25), 401, id="many"),
]


@pytest.mark.parametrize(("poll", "status"), READS)
async def test_a_read_under_way_when_a_channel_is_closed_delivers_nothing(
    poll: Any, status: int
) -> None:
    """A reload makes a public channel private while the store is slow, for longer than holds that
    wait are looked for."""
    store = ScriptedStore()
    async with opened(store) as hub:
        publish(hub, "a", "secret")
        store.slow = True
        recorder = Recorder()
        hold = hub.hold(poll(), grant=NOTHING)
        assert isinstance(hold, ChannelHold)
        hold.attach(recorder)
        await settled()
        assert store.waiting
        release(hub, is_a)
        await asyncio.sleep(2 * LATE_SECONDS)
        publish(hub, "a", "another secret")
        store.slow = False
        await store.let_go()
        publish(hub, "a", "a third")
        assert recorder.response.status == status
        assert b"secret" not in recorder.response.body
        assert hub.parked == hub.holds_on("a") == hub.holds_on("b") == 0


async def test_a_read_from_a_cursor_ends_at_the_cursor() -> None:
    store = ScriptedStore()
    async with opened(store) as hub:
        publish(hub, "a", "secret")
        store.slow = True
        recorder = Recorder()
        since = Cursor(hub.store.epoch, 0)
        hold = hub.hold(feed(wait=25, since=since), grant=NOTHING)
        assert isinstance(hold, ChannelHold)
        hold.attach(recorder)
        await settled()
        release(hub, is_a)
        store.slow = False
        await store.let_go()
        assert recorder.data == []
        assert recorder.document["cursor"] == str(since)


@pytest.mark.parametrize("closed", ["a", "b"])
async def test_other_reads_under_way_go_on(closed: str) -> None:
    """Those of other channels, and those of clients whose grants read the closed one."""
    store, clock = ScriptedStore(), WallClock()
    async with opened(store, clock=clock) as hub:
        publish(hub, "a", 1)
        store.slow = True
        recorder = Recorder()
        grant = NOTHING if closed == "b" else clock.grant(60)
        hold = hub.hold(feed(wait=25, since=Start.EARLIEST), grant=grant)
        assert isinstance(hold, ChannelHold)
        hold.attach(recorder)
        await settled()
        release(hub, closed.__eq__)
        store.slow = False
        await store.let_go()
        assert recorder.data == [1]


async def part_of(step: Any) -> Part:
    """The part of a stream's step, now or when it was read."""
    await settled()
    part = step.reply if isinstance(step, ChannelHold) else step
    assert isinstance(part, Part)
    return part


@pytest.mark.parametrize("reloads", [1, MAX_CLOSINGS + 1])
async def test_a_stream_between_two_turns_ends_when_its_channel_is_closed(reloads: int) -> None:
    """A slow reader has no hold that a reload could end."""
    clock = WallClock()
    async with opened(clock=clock) as hub:
        publish(hub, "a", 1)
        poll = FeedStream("a", Start.EARLIEST, 100, first=True, wait=25)
        streams = [EventStream(hub, OPENING, poll, grant) for grant in (NOTHING, clock.grant(60))]
        firsts = [await part_of(stream.next(None)) for stream in streams]
        release(hub, is_a)
        for _ in range(reloads - 1):
            await asyncio.sleep(0.01)
            release(hub, "b".__eq__)
        publish(hub, "a", "secret")
        parts = [
            await part_of(stream.next(first)) for stream, first in zip(streams, firsts, strict=True)
        ]
        assert parts[0].last
        assert b"secret" not in parts[0].body
        assert b"no longer public" in parts[0].body
        assert b"secret" in parts[1].body, "its grant reads the channel"
        await asyncio.sleep(0.01)
        new = await part_of(EventStream(hub, OPENING, poll, NOTHING).next(None))
        assert b"secret" in new.body, "what begins now was authorised now"
