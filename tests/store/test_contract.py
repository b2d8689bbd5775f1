"""What every store promises, against each of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pushhub.log.cursor import Cursor, Start
from pushhub.log.event import MAX_EVENT_BYTES, Draft, Event
from pushhub.log.read import MAX_RESPONSE_BYTES, Gap, Page, Reason
from pushhub.store.base import (
    ANY_VALUE,
    IDEMPOTENCY_SECONDS,
    NO_VALUE,
    REGISTER,
    Append,
    Appended,
    ChannelInfo,
    Expect,
    KeyReused,
    Mismatch,
    Outcome,
    Retention,
    StoreUnavailable,
    append,
)
from pushhub.store.read_range import LEAST_FLOOR
from tests.store.labs import Clock, Lab, Recorder, insist, item, opened, publish
from tests.waiting import NEWS_SECONDS, until

if TYPE_CHECKING:
    from pushhub.store.base import Store


async def page(store: Store, channel: str, since: Cursor | Start, limit: int = 1000) -> Page:
    read = await store.read(channel, since, limit)
    assert isinstance(read, Page), read
    return read


async def gap(store: Store, channel: str, since: Cursor) -> Gap:
    read = await store.read(channel, since, 10)
    assert isinstance(read, Gap), read
    return read


def offsets(read: Page) -> list[int]:
    return [event.offset for event in read.events]


def at(store: Store, offset: int) -> Cursor:
    return Cursor(store.epoch, offset)


def told(what: list[Event | str]) -> list[bytes | str]:
    """The data of events, and the names of what was deleted."""
    return [thing if isinstance(thing, str) else thing.data for thing in what]


# -- append and read -----------------------------------------------------------


async def test_an_event_keeps_all_it_was_published_with(store: Store, clock: Clock) -> None:
    draft = Draft(b"\x00\xff", "application/octet-stream", "beep", "mine")
    [outcome] = await append(store, Append("a", draft))
    assert outcome == Appended(at(store, 1), "mine")
    [event] = (await page(store, "a", Start.EARLIEST)).events
    assert (event.channel, event.epoch, event.offset) == ("a", store.epoch, 1)
    assert (event.data, event.content_type, event.type, event.id) == (
        b"\x00\xff",
        "application/octet-stream",
        "beep",
        "mine",
    )
    assert event.time == int(clock.now * 1000)


async def test_an_id_is_by_default_the_cursor(store: Store) -> None:
    [outcome] = await publish(store, item())
    assert outcome.id == str(outcome.cursor)
    assert (await page(store, "a", Start.LAST)).events[0].id == outcome.id


async def test_offsets_are_contiguous_in_each_channel(store: Store) -> None:
    outcomes = await publish(store, *[item(str(i), channel="ab"[i % 2]) for i in range(300)])
    assert [outcome.cursor.offset for outcome in outcomes] == [i // 2 + 1 for i in range(300)]
    read = await page(store, "b", Start.EARLIEST)
    assert offsets(read) == list(range(1, 151))
    assert [event.data for event in read.events] == [b"%d" % i for i in range(1, 300, 2)]


async def test_concurrent_appends_get_one_offset_each(store: Store) -> None:
    outcomes = await asyncio.gather(*(append(store, item(str(i))) for i in range(700)))
    assert sorted(insist(one).cursor.offset for [one] in outcomes) == list(range(1, 701))
    assert offsets(await page(store, "a", Start.EARLIEST)) == list(range(1, 701))


async def test_read_from_every_position(store: Store) -> None:
    await publish(store, *[item(str(i)) for i in range(5)])
    assert await page(store, "a", Start.NOW) == Page((), at(store, 5), True)
    last = await page(store, "a", Start.LAST)
    assert (offsets(last), last.cursor, last.up_to_date) == ([5], at(store, 5), True)
    everything = await page(store, "a", Start.EARLIEST)
    assert (offsets(everything), everything.cursor) == ([1, 2, 3, 4, 5], at(store, 5))
    some = await page(store, "a", at(store, 2))
    assert (offsets(some), some.cursor, some.up_to_date) == ([3, 4, 5], at(store, 5), True)
    assert await page(store, "a", at(store, 5)) == Page((), at(store, 5), True)


async def test_a_limit_leaves_the_rest_for_the_next_read(store: Store) -> None:
    await publish(store, *[item(str(i)) for i in range(5)])
    read = await page(store, "a", Start.EARLIEST, 2)
    assert (offsets(read), read.cursor, read.up_to_date) == ([1, 2], at(store, 2), False)
    read = await page(store, "a", read.cursor, 3)
    assert (offsets(read), read.up_to_date) == ([3, 4, 5], True)


async def test_an_answer_is_about_a_mebibyte(store: Store) -> None:
    await publish(store, *[item("x" * MAX_EVENT_BYTES) for _ in range(9)])
    cursor, seen = Cursor(store.epoch, 0), []
    for _ in range(3):
        read = await page(store, "a", cursor)
        assert 1 <= len(read.events) <= 4
        assert sum(event.size for event in read.events) <= MAX_RESPONSE_BYTES
        seen += offsets(read)
        cursor = read.cursor
        assert read.up_to_date == (cursor.offset == 9)
    assert seen == list(range(1, 10))


async def test_the_tail_is_the_last_events(store: Store) -> None:
    await publish(store, *[item(str(i)) for i in range(9)])
    read = await store.tail("a", 3)
    assert isinstance(read, Page)
    assert (offsets(read), read.cursor, read.up_to_date) == ([7, 8, 9], at(store, 9), True)
    assert await store.tail("none", 3) == Page((), at(store, 0), True)


async def test_the_tail_is_about_a_mebibyte(store: Store) -> None:
    await publish(store, *[item("x" * MAX_EVENT_BYTES) for _ in range(6)])
    read = await store.tail("a", 100)
    assert isinstance(read, Page)
    assert offsets(read) == [4, 5, 6]
    assert read.cursor == at(store, 6)


async def test_reading_a_missing_channel_writes_nothing(store: Store) -> None:
    for start in Start:
        assert await page(store, "none", start) == Page((), at(store, 0), True)
    assert await page(store, "none", at(store, 0)) == Page((), at(store, 0), True)
    assert (await gap(store, "none", at(store, 1))).reason is Reason.AHEAD
    assert await store.delete("none") is False
    [outcome] = await publish(store, item(channel="none"))
    assert outcome.cursor.offset == 1


# -- gaps ----------------------------------------------------------------------


async def test_a_cursor_of_another_epoch_is_a_gap(store: Store) -> None:
    await publish(store, item(), item())
    other = Cursor("another", 1)
    assert await gap(store, "a", other) == Gap(Reason.EPOCH, at(store, 0), at(store, 2))
    assert await gap(store, "none", other) == Gap(Reason.EPOCH, at(store, 0), at(store, 0))


async def test_a_cursor_ahead_of_the_log_is_a_gap(store: Store) -> None:
    await publish(store, item(), item())
    assert await gap(store, "a", at(store, 3)) == Gap(Reason.AHEAD, at(store, 0), at(store, 2))


async def test_a_cursor_behind_the_kept_events_is_a_gap(store: Store) -> None:
    await publish(store, *[item(str(i), retention=Retention(events=3)) for i in range(10)])
    assert await gap(store, "a", at(store, 6)) == Gap(Reason.TRIMMED, at(store, 7), at(store, 10))
    assert offsets(await page(store, "a", at(store, 7))) == [8, 9, 10]


# -- epochs --------------------------------------------------------------------


async def test_a_reopened_store_keeps_the_log_and_its_epoch_or_neither(lab: Lab) -> None:
    async with opened(lab.make()) as store:
        [outcome] = await publish(store, item("1"))
    async with opened(lab.make()) as again:
        if lab.keeps_epoch:
            assert again.epoch == outcome.cursor.epoch
            assert offsets(await page(again, "a", Start.EARLIEST)) == [1]
            [outcome] = await publish(again, item("2"))
            assert outcome.cursor == at(again, 2)
        else:
            assert again.epoch != outcome.cursor.epoch
            assert (await gap(again, "a", outcome.cursor)).reason is Reason.EPOCH


async def test_an_epoch_can_be_part_of_a_cursor(store: Store) -> None:
    assert len(store.epoch) == 12
    assert store.epoch.isalnum()
    assert store.epoch == store.epoch.lower()


async def test_a_closed_store_refuses(lab: Lab) -> None:
    store = lab.make()
    assert store.ready is False
    await store.open(Recorder())
    assert store.ready is True
    await store.close()
    assert store.ready is False
    [outcome] = await append(store, item())
    assert isinstance(outcome, StoreUnavailable)
    await store.close()


# -- retention -----------------------------------------------------------------


async def test_retention_by_count_is_exact(store: Store) -> None:
    keep = Retention(events=4)
    for number in range(1, 12):
        await publish(store, item(retention=keep))
        read = await page(store, "a", Start.EARLIEST)
        assert offsets(read) == list(range(max(1, number - 3), number + 1))


async def test_a_smaller_retention_trims_and_a_larger_one_brings_nothing_back(store: Store) -> None:
    await publish(store, *[item(retention=Retention(events=100)) for _ in range(50)])
    await publish(store, item(retention=Retention(events=2)))
    assert offsets(await page(store, "a", Start.EARLIEST)) == [50, 51]
    await publish(store, item(retention=Retention(events=100)))
    assert offsets(await page(store, "a", Start.EARLIEST)) == [50, 51, 52]


async def test_a_longer_age_brings_nothing_back(store: Store, clock: Clock) -> None:
    await publish(store, *[item(retention=Retention(age=60)) for _ in range(3)])
    clock.advance(61)
    keep = Retention(age=600)
    await publish(store, item(retention=keep), item(retention=keep))
    assert offsets(await page(store, "a", Start.EARLIEST)) == [3, 4, 5]


async def test_aged_events_are_gone_and_are_a_gap(store: Store, clock: Clock) -> None:
    keep = Retention(age=60)
    await publish(store, item(retention=keep), item(retention=keep))
    clock.advance(40)
    await publish(store, item(retention=keep))
    clock.advance(20)
    assert offsets(await page(store, "a", Start.EARLIEST)) == [1, 2, 3]
    clock.advance(1)
    assert offsets(await page(store, "a", Start.EARLIEST)) == [3]
    assert await gap(store, "a", at(store, 1)) == Gap(Reason.TRIMMED, at(store, 2), at(store, 3))
    assert offsets(await page(store, "a", at(store, 2))) == [3]
    assert (await store.channels("", "", 9))[0].events == 1
    tail = await store.tail("a", 100)
    assert isinstance(tail, Page)
    assert offsets(tail) == [3]


async def test_the_last_event_survives_age(store: Store, clock: Clock) -> None:
    await publish(store, item(retention=Retention(age=60)), item("2", retention=Retention(age=60)))
    clock.advance(1e6)
    [event] = (await page(store, "a", Start.LAST)).events
    assert (event.offset, event.data) == (2, b"2")
    assert offsets(await page(store, "a", Start.EARLIEST)) == [2]
    assert offsets(await page(store, "a", at(store, 1))) == [2]


async def test_age_empties_a_channel_of_pushhubs_own(store: Store, clock: Clock) -> None:
    """The process that would have deleted it may have been killed, and no other knows of it."""
    keep = Retention(events=2, age=60)
    first, _ = await publish(store, item("1", "$own", keep), item("2", "$own", keep))
    assert isinstance(first, Appended)
    clock.advance(59)
    assert offsets(await page(store, "$own", Start.EARLIEST)) == [1, 2]
    clock.advance(2)
    for start in Start:
        assert await page(store, "$own", start) == Page((), at(store, 2), True)
    tail = await store.tail("$own", 100)
    assert tail == Page((), at(store, 2), True)
    assert (await gap(store, "$own", at(store, 1))).reason is Reason.TRIMMED
    expected = Append("$own", Draft(b"3"), keep, Expect(frozenset({at(store, 2)})))
    assert await append(store, expected) == [Mismatch(None)]
    assert await append(store, replace(expected, expect=ANY_VALUE)) == [Mismatch(None)]
    [third] = await append(store, replace(expected, expect=NO_VALUE))
    assert isinstance(third, Appended)
    assert third.cursor == at(store, 3)
    assert offsets(await page(store, "$own", Start.EARLIEST)) == [3]


async def test_a_register_that_had_an_age_stays(store: Store, clock: Clock) -> None:
    await publish(store, item("1", "$own", Retention(events=1, age=60)))
    await publish(store, item("2", "$own", REGISTER))
    clock.advance(1e9)
    assert offsets(await page(store, "$own", Start.EARLIEST)) == [2]


async def test_events_of_any_age_are_kept_if_asked(store: Store, clock: Clock) -> None:
    keep = Retention(age=None)
    await publish(store, item(retention=keep), item(retention=keep))
    clock.advance(1e9)
    assert offsets(await page(store, "a", Start.EARLIEST)) == [1, 2]


# -- delete --------------------------------------------------------------------


async def test_offsets_go_on_after_a_delete(store: Store) -> None:
    await publish(store, item(), item(), item())
    assert await store.delete("a") is True
    assert await store.delete("a") is False
    for start in Start:
        assert await page(store, "a", start) == Page((), at(store, 3), True)
    assert await gap(store, "a", at(store, 2)) == Gap(Reason.TRIMMED, at(store, 3), at(store, 3))
    assert await page(store, "a", at(store, 3)) == Page((), at(store, 3), True)
    assert await store.channels("", "", 10) == []
    [outcome] = await publish(store, item("4"))
    assert outcome.cursor == at(store, 4)
    assert offsets(await page(store, "a", Start.EARLIEST)) == [4]


async def test_a_delete_is_told_and_a_vain_one_is_not(store: Store, listener: Recorder) -> None:
    await store.tail("a", 1)
    await store.tail("none", 1)
    await publish(store, item("1"))
    await store.delete("a")
    await store.delete("a")
    await store.delete("none")
    await publish(store, item("2"))
    assert told(await listener.heard(store, 3)) == [b"1", "a", b"2"]


async def test_a_delete_keeps_its_place_among_the_appends(store: Store, listener: Recorder) -> None:
    await store.tail("a", 1)
    first = asyncio.ensure_future(append(store, item("1"), item("2")))
    await asyncio.sleep(0)
    deleted = asyncio.ensure_future(store.delete("a"))
    await asyncio.sleep(0)
    await append(store, item("3"))
    assert (await deleted, len(await first)) == (True, 2)
    assert told(await listener.heard(store, 4)) == [b"1", b"2", "a", b"3"]
    assert offsets(await page(store, "a", Start.EARLIEST)) == [3]


# -- compare and set -----------------------------------------------------------


async def test_expect_no_value(store: Store) -> None:
    first = replace(item(), expect=NO_VALUE)
    [outcome] = await publish(store, first)
    assert await append(store, first) == [Mismatch(outcome.cursor)]
    await store.delete("a")
    await publish(store, first)


async def test_expect_any_value(store: Store) -> None:
    later = replace(item(), expect=ANY_VALUE)
    assert await append(store, later) == [Mismatch(None)]
    assert await store.channels("", "", 10) == []
    await publish(store, item(), later)
    await store.delete("a")
    assert await append(store, later) == [Mismatch(None)]


async def test_expect_one_of_some_values(store: Store) -> None:
    [one] = await publish(store, item("1"))
    expect = Expect(frozenset({Cursor("another", 1), one.cursor}))
    [two] = await publish(store, replace(item("2"), expect=expect))
    assert await append(store, replace(item("3"), expect=expect)) == [Mismatch(two.cursor)]
    wrong = Expect(frozenset({Cursor("another", 2)}))
    assert await append(store, replace(item("3"), expect=wrong)) == [Mismatch(two.cursor)]
    assert (await page(store, "a", Start.LAST)).events[0].data == b"2"


async def test_one_of_a_hundred_writers_wins_a_register(store: Store) -> None:
    last: Cursor | None = None
    for number in range(10):
        expect = NO_VALUE if last is None else Expect(frozenset({last}))
        drafts = [Draft(b"%d" % (number * 100 + writer)) for writer in range(100)]
        tries = (append(store, Append("$lease", d, REGISTER, expect)) for d in drafts)
        outcomes = [outcome for [outcome] in await asyncio.gather(*tries)]
        [winner] = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
        assert outcomes.count(Mismatch(winner.cursor)) == 99
        [event] = (await page(store, "$lease", Start.EARLIEST)).events
        assert event.cursor == winner.cursor
        assert event.data == drafts[outcomes.index(winner)].data
        last = winner.cursor


async def test_a_register_keeps_one_event_whatever_its_age(store: Store, clock: Clock) -> None:
    await publish(store, *[item(str(i), "$lease", REGISTER) for i in range(50)])
    clock.advance(1e9)
    read = await page(store, "$lease", Start.EARLIEST)
    assert [event.data for event in read.events] == [b"49"]
    assert (await gap(store, "$lease", at(store, 48))).reason is Reason.TRIMMED


# -- idempotency ---------------------------------------------------------------


def keyed(text: str = "1", key: str = "k", channel: str = "a", **more: str) -> Append:
    return Append(channel, Draft(text.encode(), **more), key=key)


async def test_the_same_key_and_content_is_one_event(store: Store, listener: Recorder) -> None:
    await store.tail("a", 1)
    [first, second] = await publish(store, keyed(), keyed())
    assert first == Appended(at(store, 1), f"{store.epoch}-1")
    assert second == Appended(first.cursor, first.id, duplicate=True)
    assert await publish(store, keyed()) == [second]
    assert offsets(await page(store, "a", Start.EARLIEST)) == [1]
    await publish(store, item("2"))
    assert told(await listener.heard(store, 2)) == [b"1", b"2"]


@pytest.mark.parametrize(
    "other",
    [keyed("2"), keyed(content_type="text/plain"), keyed(type="beep"), keyed(id="mine")],
    ids=["data", "content type", "type", "id"],
)
async def test_a_key_with_other_content_is_refused(store: Store, other: Append) -> None:
    await publish(store, keyed())
    assert await append(store, other) == [KeyReused()]
    assert offsets(await page(store, "a", Start.EARLIEST)) == [1]


async def test_a_key_is_its_channels_own(store: Store) -> None:
    outcomes = await publish(store, keyed(channel="a"), keyed(channel="b"), keyed(key="other"))
    assert [outcome.duplicate for outcome in outcomes] == [False] * 3


async def test_a_key_is_forgotten_in_time(store: Store, clock: Clock) -> None:
    await publish(store, keyed())
    clock.advance(IDEMPOTENCY_SECONDS)
    assert (await publish(store, keyed()))[0].duplicate
    clock.advance(1)
    [outcome] = await publish(store, keyed("2"))
    assert outcome == Appended(at(store, 2), f"{store.epoch}-2")
    assert (await publish(store, keyed("2")))[0].duplicate


async def test_a_key_outlives_its_event(store: Store) -> None:
    [first] = await publish(store, keyed(id="mine"))
    await publish(store, *[item(retention=Retention(events=1)) for _ in range(5)])
    [second] = await publish(store, keyed(id="mine"))
    assert second == Appended(first.cursor, "mine", duplicate=True)
    await store.delete("a")
    assert await publish(store, keyed(id="mine")) == [second]


async def test_a_retried_condition_is_a_duplicate_and_no_mismatch(store: Store) -> None:
    once = replace(keyed(), expect=NO_VALUE)
    await publish(store, once)
    assert (await publish(store, once))[0].duplicate


async def test_a_refused_append_does_not_use_up_its_key(store: Store) -> None:
    assert await append(store, replace(keyed(), expect=ANY_VALUE)) == [Mismatch(None)]
    assert (await publish(store, keyed("2")))[0].duplicate is False


# -- batches, and the order of things ------------------------------------------


async def test_appends_of_a_batch_are_atomic_each_alone(store: Store) -> None:
    await publish(store, keyed("1"))
    outcomes = await append(
        store,
        item("2"),
        replace(item("no"), expect=NO_VALUE),
        keyed("no"),
        item("3"),
        item("other", channel="b"),
    )
    kinds: list[type[Outcome]] = [Appended, Mismatch, KeyReused, Appended, Appended]
    assert [type(outcome) for outcome in outcomes] == kinds
    read = await page(store, "a", Start.EARLIEST)
    assert [event.data for event in read.events] == [b"1", b"2", b"3"]
    assert await append(store) == []


async def test_the_listener_is_woken_before_the_append_is_answered(
    store: Store, listener: Recorder
) -> None:
    await store.tail("a", 1)
    await store.tail("b", 1)
    settled = asyncio.Event()
    woken: list[int] = []

    def done(outcomes: list[Outcome]) -> None:
        woken.append(len(listener.told))
        if len(woken) == 3:
            settled.set()

    for _ in range(3):
        store.append([item(), item(channel="b")], done)
    await settled.wait()
    if store.certain:
        assert [count >= 2 * (n + 1) for n, count in enumerate(woken)] == [True] * 3
    events = [event for event in await listener.heard(store, 6) if isinstance(event, Event)]
    assert [e.offset for e in events if e.channel == "a"] == [1, 2, 3]
    assert events == [Event(c, store.epoch, n, b"") for n in (1, 2, 3) for c in "ab"]


async def test_what_was_woken_can_be_read(lab: Lab) -> None:
    reads = []

    class Reader(Recorder):
        def wake(self, event: Event) -> None:
            before = Cursor(event.epoch, event.offset - 1)
            reads.append(asyncio.ensure_future(store.read("a", before, 1)))

    store = lab.make()
    async with opened(store, Reader()):
        await store.tail("a", 1)
        for number in range(20):
            await publish(store, item(str(number)))
        if not store.certain:
            await until(lambda: len(reads) == 20)
        found = [read.events[0].data for read in await asyncio.gather(*reads)]  # type: ignore[union-attr]
    assert found == [b"%d" % number for number in range(20)]


async def test_who_gives_up_waiting_takes_nothing_back(store: Store) -> None:
    waiting = asyncio.ensure_future(append(store, item()))
    await asyncio.sleep(0)
    waiting.cancel()
    await publish(store, item())
    assert offsets(await page(store, "a", Start.EARLIEST)) == [1, 2]


async def test_closing_settles_what_was_begun(lab: Lab) -> None:
    store, listener = lab.make(), Recorder()
    await store.open(listener)
    settled: list[Outcome] = []
    for number in range(1500):
        store.append([item(str(number))], settled.extend)
    await store.close()
    assert len(settled) == 1500
    assert {type(outcome) for outcome in settled} == {Appended}
    assert not store.certain or len(listener.told) == 1500


# -- the list ------------------------------------------------------------------


async def test_channels_are_listed_in_pages_by_name(store: Store) -> None:
    names = ["news:b", "news:é", "news:a", "news:\U0001f600", "news", "nfs", "a", "$own", "news:Z"]
    await publish(store, *[item(channel=name) for name in names], item(channel="news:b"))
    listed = await store.channels("", "", 100)
    public = sorted((name for name in names if name != "$own"), key=str.encode)
    assert [info.channel for info in listed] == public
    assert ChannelInfo("news:b", 2, at(store, 2)) in listed
    news = [name for name in public if name.startswith("news:")]
    assert [info.channel for info in await store.channels("news:", "", 100)] == news
    assert [info.channel for info in await store.channels("news:", "", 2)] == news[:2]
    assert [info.channel for info in await store.channels("news:", news[1], 2)] == news[2:4]
    assert await store.channels("news:", "nfs", 100) == []
    assert await store.channels("$", "", 100) == []


# -- idle channels -------------------------------------------------------------

IDLE_AGE = 100.0
ANY_AGE = Retention(age=None)


async def removed(store: Store, channel: str) -> None:
    """Wait until a channel that had few events is removed: it begins above the mark then."""
    async with asyncio.timeout(NEWS_SECONDS):
        while (await page(store, channel, Start.NOW)).cursor.offset < LEAST_FLOOR:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_an_idle_channel_is_removed_and_told(
    lab: Lab, clock: Clock, listener: Recorder
) -> None:
    async with opened(lab.make(IDLE_AGE), listener) as store:
        await store.tail("a", 1)
        await publish(store, *[item(text, "a", ANY_AGE) for text in "12"], item("1", "b", ANY_AGE))
        clock.advance(IDLE_AGE / 2)
        await publish(store, item("2", "b", ANY_AGE))
        clock.advance(IDLE_AGE / 2 + 1)
        await publish(store, item("1", "c"))
        await removed(store, "a")
        assert [info.channel for info in await store.channels("", "", 9)] == ["b", "c"]
        assert await store.count() == 2
        await until(lambda: "a" in listener.told)
        assert [thing for thing in listener.told if isinstance(thing, str)] == ["a"]
        assert offsets(await page(store, "b", Start.EARLIEST)) == [1, 2]


async def test_no_cursor_from_before_fits_what_comes_after(lab: Lab, clock: Clock) -> None:
    async with opened(lab.make(IDLE_AGE)) as store:
        before = await publish(store, *[item(str(number)) for number in range(3)])
        old = [at(store, 0), *(one.cursor for one in before)]
        clock.advance(IDLE_AGE + 1)
        await publish(store, item(channel="b"))
        await removed(store, "a")
        # While it is gone, each reader is told that something may be missing.
        for cursor in old:
            assert (await gap(store, "a", cursor)).reason is Reason.TRIMMED
        now = await page(store, "a", Start.NOW)
        assert now == Page((), at(store, LEAST_FLOOR), True)
        assert await store.tail("a", 5) == now
        # A writer with an old ETag does not overwrite what is new.
        [back] = await publish(store, item("back"))
        assert back.cursor == at(store, LEAST_FLOOR + 1)
        expect = Expect(frozenset(one.cursor for one in before))
        assert await append(store, replace(item("x"), expect=expect)) == [Mismatch(back.cursor)]
        for cursor in old:
            assert (await gap(store, "a", cursor)).reason is Reason.TRIMMED
        # A reader from the time without the channel misses nothing, and is told of no gap.
        assert offsets(await page(store, "a", now.cursor)) == [LEAST_FLOOR + 1]
        epoch = store.epoch
    # The mark outlives the setting.
    async with opened(lab.make()) as store:
        [fresh] = await publish(store, item(channel="new"))
        assert fresh.cursor.offset == (LEAST_FLOOR + 1 if lab.keeps_epoch else 1)
        assert (store.epoch == epoch) is lab.keeps_epoch


async def test_the_mark_is_above_every_removed_offset(lab: Lab, clock: Clock) -> None:
    async with opened(lab.make(IDLE_AGE)) as store:
        await publish(store, *[item("x", retention=Retention(events=1)) for _ in range(1030)])
        last = at(store, 1030)
        clock.advance(IDLE_AGE + 1)
        await publish(store, item(channel="b"))
        async with asyncio.timeout(NEWS_SECONDS):
            while (await page(store, "none", Start.NOW)).cursor.offset < 1030:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        [back] = await publish(store, item("back"))
        assert back.cursor == at(store, 2 * LEAST_FLOOR + 1)
        assert (await gap(store, "a", last)).reason is Reason.TRIMMED


async def test_registers_stay_and_deleted_channels_go(lab: Lab, clock: Clock) -> None:
    async with opened(lab.make(IDLE_AGE)) as store:
        await publish(store, item("secret", "$account", REGISTER), item("1", "$gone"))
        await publish(store, item("1", "deleted"))
        await store.delete("$gone")
        await store.delete("deleted")
        assert (await page(store, "deleted", Start.NOW)).cursor == at(store, 1)
        clock.advance(IDLE_AGE + 1)
        await publish(store, item(channel="b"))
        await removed(store, "$gone")
        await removed(store, "deleted")
        assert [event.data for event in (await page(store, "$account", Start.LAST)).events] == [
            b"secret"
        ]


async def test_nothing_is_removed_by_default(lab: Lab, clock: Clock) -> None:
    async with opened(lab.make()) as store:
        await publish(store, item(retention=ANY_AGE))
        clock.advance(1e9)
        await publish(store, item(channel="b"))
        await asyncio.sleep(0.2)  # several walks, if there were any
        assert await store.count() == 2
        assert offsets(await page(store, "a", Start.EARLIEST)) == [1]
