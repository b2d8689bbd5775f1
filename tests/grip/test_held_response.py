"""Held responses and streams as polls, and the order in which they see a channel's items."""

import itertools
import json
from typing import Any

import pytest

from pushhub.grip.held_response import Continuation, HeldInstruct, HeldResponse, HoldAction
from pushhub.grip.held_stream import HeldStream, StreamAction, StreamTimer
from pushhub.grip.instruct import (
    GripSubscription,
    HoldMode,
    Instruct,
    KeepAlive,
    NextLink,
)
from pushhub.grip.item import CONTENT_TYPE
from pushhub.grip.sequence import (
    MAX_PARKED,
    ItemSequence,
    ItemSequences,
    SequencePosition,
    find_position,
)
from pushhub.http.problem import Problem
from pushhub.http.raw_response import RawResponse, reason_of
from pushhub.http.response import Part, Response
from pushhub.log.cursor import Cursor
from pushhub.log.event import Event
from pushhub.log.read import Gap, Page, Reason
from pushhub.polls.base import NO_HINT, Hint

_lives = itertools.count()


class Log:
    """The log of one channel, of a life of its own: nothing is remembered of other tests."""

    def __init__(self, channel: str = "a") -> None:
        self.channel = channel
        self.epoch = f"l{next(_lives)}"
        self.events: list[Event] = []

    def add(self, text: str = "", *, time: int = 0, **members: Any) -> Event:
        """Publish an item; `members` are the item's, with `_` for `-`."""
        item = {name.replace("_", "-"): value for name, value in members.items()}
        item.setdefault(
            "formats", {"http-response": {"body": text}, "http-stream": {"content": text}}
        )
        data = json.dumps(item).encode()
        offset = len(self.events) + 1
        event = Event(
            self.channel, self.epoch, offset, data, CONTENT_TYPE, "", item.get("id", ""), time
        )
        self.events.append(event)
        return event

    def at(self, offset: int) -> Cursor:
        return Cursor(self.epoch, offset)

    def page(self, after: int = 0) -> Page:
        return Page(tuple(self.events[after:]), self.at(len(self.events)), up_to_date=True)

    def gap(self) -> Gap:
        return Gap(Reason.TRIMMED, self.at(1), self.at(2))


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


# The order


def test_an_item_waits_for_the_one_before_it() -> None:
    log, order = Log(), ItemSequence(["0"])
    one, three, two = (log.add(id=n, prev_id=p) for n, p in (("1", "0"), ("3", "2"), ("2", "1")))
    assert ids(order.push(one)) == ["1"]
    assert order.push(three) == []
    assert order.window == 5.0
    assert ids(order.push(two)) == ["2", "3"]
    assert (order.last_id, order.parked) == ("3", [])


@pytest.mark.parametrize("members", [{}, {"prev_id": "8", "no_seq": True}, {"prev_id": "0"}])
def test_these_wait_for_nothing(members: dict[str, Any]) -> None:
    assert ItemSequence(["0", "1"]).push(Log().add(**members))


def test_where_nothing_is_known_nothing_is_missing() -> None:
    assert ItemSequence().push(Log().add(id="5", prev_id="4"))
    assert ItemSequence().last_id is None


def test_what_has_waited_long_enough_comes_all_the_same() -> None:
    log, order = Log(), ItemSequence(["0"])
    log.add(id="5", prev_id="4", time=1000)
    log.add(id="6", prev_id="5", time=1500)
    log.add(prev_id="6", time=1600)
    log.add(id="9", prev_id="8", time=3000)
    for event in log.events:
        assert order.push(event) == []
    assert [event.offset for event in order.pop_overdue()] == [1, 2, 3]
    # The rest has been waiting since it came, two seconds after the first.
    assert order.window == 2.0
    assert ids(order.pop_overdue()) == ["9"]
    assert order.pop_overdue() == []


def test_no_more_are_parked_than_there_is_room_for() -> None:
    log, order = Log(), ItemSequence(["0"])
    for n in range(MAX_PARKED):
        assert order.push(log.add(id=f"x{n}", prev_id=f"y{n}")) == []
    assert ids(order.push(log.add(id="z", prev_id="w"))) == ["x0"]
    assert len(order.parked) == MAX_PARKED
    assert "100 parked" in repr(order)


def test_orders_are_keys() -> None:
    orders = ItemSequences({"a": ItemSequence(["1"])})
    assert orders == orders
    assert orders != orders.copy()
    assert len({orders, orders.copy()}) == 2
    assert orders.copy()["a"].last_id == "1"


# Where a hold stands


def standing(
    log: Log, prev_id: str | None = None, began: int = 0, trusted: bool = False
) -> SequencePosition:
    return find_position(GripSubscription("a", prev_id), log.page(), began, trusted=trusted)


def test_what_came_while_the_origin_was_asked_is_behind_the_position() -> None:
    log = Log()
    for n, time in enumerate((100, 200, 300)):
        log.add(id=str(n), time=time)
    assert standing(log, began=200) == SequencePosition(log.at(1), ("0",))
    assert standing(log, began=301) == SequencePosition(log.at(3), ("0", "1", "2"))
    assert standing(Log(), began=5).cursor.offset == 0
    assert standing(log, began=50) == SequencePosition(log.at(0), ())


def test_a_prev_id_says_it_exactly() -> None:
    log = Log()
    log.add(id="1", time=100)
    log.add(time=150)
    log.add(id="2", time=200)
    assert standing(log, "1", began=999) == SequencePosition(log.at(1), ("1",))
    assert standing(log, "2", began=0) == SequencePosition(log.at(3), ("1", "2"))


def test_a_prev_id_that_the_log_does_not_know() -> None:
    log = Log()
    log.add(id="2", time=100)
    assert standing(log, "1", began=200) == SequencePosition(log.at(1), ("2", "1"), gap=True)
    # Asked again, the origin says the same: it is believed.
    assert standing(log, "1", began=200, trusted=True) == SequencePosition(log.at(1), ("2", "1"))
    # A channel whose items have no ids, or that is empty, proves nothing.
    assert not standing(Log(), "1").gap
    other = Log()
    other.add(time=100)
    assert not standing(other, "1", began=200).gap


def test_more_than_memory_holds_is_a_gap() -> None:
    log = Log()
    log.add(time=100)
    log.add(time=200)
    page = Page(tuple(log.events[1:]), log.at(2), up_to_date=True)
    assert find_position(GripSubscription("a"), page, 150, trusted=False).gap
    assert not find_position(GripSubscription("a"), page, 201, trusted=False).gap


# Held responses

BASE = ((b"X-Base", b"b"), (b"ETag", b'"1"'))


def instruct(*subscriptions: GripSubscription, body: bytes = b"nothing", **more: Any) -> Instruct:
    response = RawResponse(200, BASE, body)
    return Instruct(response, more.pop("mode", HoldMode.RESPONSE), subscriptions, **more)


def polled(
    log: Log, *, known: tuple[str, ...] = (), prev_id: str | None = None, **more: Any
) -> HeldResponse:
    filters = more.pop("filters", ())
    one = instruct(GripSubscription("a", prev_id, filters), **more)
    return HeldResponse(
        HeldInstruct.of(one), {"a": log.at(0)}, ItemSequences({"a": ItemSequence(known)}), 25
    )


def told(poll: HeldResponse, log: Log, after: int = 0) -> Response | None:
    return poll.reply({"a": log.page(after)})


def turned(poll: HeldResponse, log: Log) -> Continuation:
    reply = told(poll, log)
    assert isinstance(reply, Continuation)
    return reply


def test_a_push_goes_over_the_headers_of_the_held_response() -> None:
    log = Log()
    headers = {"etag": '"2"', "X-New": "n"}
    fmt = {"code": 201, "reason": "Fine", "headers": headers, "body": "made"}
    log.add(formats={"http-response": fmt})
    reply = told(polled(log), log)
    assert isinstance(reply, RawResponse)
    assert (reply.status, reply.reason, reply.body) == (201, b"Fine", b"made")
    assert reply.headers == (BASE[0], (b"etag", b'"2"'), (b"X-New", b"n"))
    assert reply.events == 1


def test_what_does_not_concern_it_is_passed_over() -> None:
    log = Log()
    log.add(formats={"http-stream": {"content": "s"}})
    log.add(formats={"http-response": {"action": "close"}})
    log.add("hers", meta={"sender": "al"}, id="7")
    poll = polled(log, filters=("skip-self",), meta={"user": "al"})
    assert told(poll, log) is None
    assert poll.reply({"a": Page((), log.at(3), up_to_date=True)}) is None
    assert poll.position("a", log.page()) == log.at(3)
    assert poll.position("a", log.page()) == log.at(3)
    # Passed over, but seen; once.
    assert list(poll.sequences["a"].seen) == ["7"]
    log.add("his", meta={"sender": "bo"})
    reply = told(poll, log)
    assert reply is not None
    assert reply.body == b"his"


def test_a_hint_has_the_origin_asked() -> None:
    log = Log()
    log.add(formats={"http-response": {"action": "hint"}})
    assert turned(polled(log), log).action is HoldAction.FETCH
    turn = turned(polled(log, prev_id="1", known=("1",)), log)
    assert turn.last_ids == (("a", "1"),)
    assert turned(polled(log, prev_id="1"), log).last_ids == (("a", "1"),)


def test_a_gap_has_the_origin_asked() -> None:
    log = Log()
    poll = polled(log)
    turn = poll.reply({"a": log.gap()})
    assert isinstance(turn, Continuation)
    assert turn.action is HoldAction.FETCH
    assert poll.position("a", log.gap()) == log.at(2)


def test_a_missing_item_has_the_origin_asked_where_it_named_one() -> None:
    log = Log()
    log.add(id="3", prev_id="2")
    assert turned(polled(log, known=("1",), prev_id="1"), log).action is HoldAction.FETCH


def test_a_missing_item_is_waited_for_elsewhere() -> None:
    log = Log()
    log.add("three", id="3", prev_id="2", time=1000)
    log.add("five", id="5", prev_id="4", time=2000)
    turn = turned(polled(log, known=("1",)), log)
    assert turn.action is HoldAction.WAIT
    assert turn.poll is not None
    assert turn.poll.reads[0].since == log.at(2)
    waiting = turn.poll.for_seconds(5, window=True)
    # The wait for the predecessor is over: what there is, is told.
    reply = waiting.empty({"a": log.at(2)}, NO_HINT)
    assert reply.body == b"three"
    # Or the predecessor comes.
    log.add("two", id="2", prev_id="1")
    found = told(waiting, log, 2)
    assert found is not None
    assert found.body == b"two"
    # When pushhub leaves, nobody waits for more.
    assert waiting.empty({"a": log.at(2)}, Hint(500)).body == b"nothing"


def test_after_the_window_it_goes_on_waiting_if_that_was_nothing_for_it() -> None:
    log = Log()
    log.add(id="3", prev_id="2", formats={"http-stream": {"content": "s"}})
    turn = turned(polled(log, known=("1",)), log)
    assert turn.poll is not None
    after = turn.poll.for_seconds(5, window=True).empty({"a": log.at(1)}, NO_HINT)
    assert isinstance(after, Continuation)
    assert after.action is HoldAction.WAIT
    # What is parked already parks it no second time.
    more = turn.poll.for_seconds(5, window=True)
    log.add(formats={"http-stream": {"content": "t"}})
    assert told(more, log, 1) is None


def test_the_end_of_the_wait_is_the_held_response() -> None:
    log = Log()
    poll = polled(log)
    for reply in (
        poll.empty({"a": log.at(0)}, NO_HINT),
        poll.error(Problem("deleted", "Gone.")),
    ):
        assert reply is poll.held.instruct.response


def test_a_patch_is_of_the_held_body() -> None:
    log = Log()
    patch = [{"op": "replace", "path": "/n", "value": 2}]
    log.add(formats={"http-response": {"body-patch": patch}})
    reply = told(polled(log, body=b'{"n":1}'), log)
    assert reply is not None
    assert reply.body == b'{"n":2}'
    bad = told(polled(log, body=b"text"), log)
    assert bad is not None
    assert bad.status == 502


def test_polls_of_one_instruct_share_responses() -> None:
    log = Log()
    one, other = polled(log), polled(log)
    assert one.variant == one.for_seconds(9).variant
    assert one.variant != other.variant


def test_events_of_several_channels_come_by_their_time() -> None:
    one, two = Log("a"), Log("b")
    one.add("later", time=20)
    two.add("sooner", time=10)
    orders = ItemSequences({"a": ItemSequence(), "b": ItemSequence()})
    hold = HeldInstruct.of(instruct(GripSubscription("a"), GripSubscription("b")))
    poll = HeldResponse(hold, {"a": one.at(0), "b": two.at(0)}, orders)
    reply = poll.reply({"a": one.page(), "b": two.page()})
    assert reply is not None
    assert reply.body == b"sooner"


# Streams


def streamed(
    log: Log, *, known: tuple[str, ...] = (), prev_id: str | None = None, **more: Any
) -> HeldStream:
    one = instruct(
        GripSubscription("a", prev_id, more.pop("filters", ())), mode=HoldMode.STREAM, **more
    )
    return HeldStream(
        HeldInstruct.of(one), {"a": log.at(0)}, ItemSequences({"a": ItemSequence(known)})
    )


LINK = NextLink("/n")


def test_a_stream_is_written_everything_that_came() -> None:
    log = Log()
    log.add("one,", id="1")
    log.add("two", id="2", prev_id="1")
    log.add(formats={"http-response": {"body": "r"}})
    poll = streamed(log)
    part = poll.reply({"a": log.page()})
    assert part == Part(b"one,two", (("a", log.at(3)),), events=2)
    assert poll.reads[0].since == log.at(3)
    assert (poll.active, poll.written) == ({"a"}, StreamTimer.NEXT_LINK)
    assert poll.turn(part) is poll
    assert poll.reply({"a": Page((), log.at(3), up_to_date=True)}) is None
    assert poll.position("a", log.page()) == log.at(3)
    assert poll.position("a", log.gap()) == log.at(2)


def test_what_is_nothing_for_a_stream_still_moves_it_on() -> None:
    log = Log()
    log.add("hers", meta={"sender": "al"})
    poll = streamed(log, filters=("skip-self",), meta={"user": "al"})
    assert poll.reply({"a": log.page()}) == Part(b"", (("a", log.at(1)),))
    assert poll.written is None


def test_a_stream_is_closed() -> None:
    log = Log()
    log.add("last")
    log.add(formats={"http-stream": {"action": "close"}})
    log.add("never")
    poll = streamed(log)
    part = poll.reply({"a": log.page()})
    assert part is not None
    assert (part.body, part.last, poll.action) == (b"last", True, StreamAction.END)


@pytest.mark.parametrize(("link", "then"), [(None, StreamAction.WAIT), (LINK, StreamAction.FETCH)])
def test_a_hint_has_the_link_followed(link: NextLink | None, then: StreamAction) -> None:
    log = Log()
    log.add(formats={"http-stream": {"action": "hint"}})
    poll = streamed(log, next=link)
    assert poll.reply({"a": log.page()})
    assert poll.action is then


def test_a_missing_item_has_the_link_followed() -> None:
    log = Log()
    log.add("three", id="3", prev_id="2")
    poll = streamed(log, known=("1",), prev_id="1", next=LINK)
    part = poll.reply({"a": log.page()})
    assert part is not None
    assert (part.body, poll.action) == (b"", StreamAction.FETCH)
    assert poll.last_ids() == (("a", "1"),)
    assert streamed(log, prev_id="9", next=LINK).last_ids() == (("a", "9"),)
    assert streamed(log, known=("1",)).last_ids() == ()


def test_a_missing_item_is_waited_for_where_there_is_no_link() -> None:
    log = Log()
    log.add("three", id="3", prev_id="2")
    poll = streamed(log, known=("1",))
    assert poll.reply({"a": log.page()}) == Part(b"", (("a", log.at(1)),))
    poll.timer = StreamTimer.WINDOW
    assert poll.empty({"a": log.at(1)}, NO_HINT) == Part(b"three", events=1)


def test_a_gap_is_filled_by_the_link_or_ends_the_stream() -> None:
    log, other = Log("a"), Log("b")
    other.add("b")
    poll = streamed(log, next=LINK)
    part = poll.reply({"a": log.gap(), "b": other.page()})
    assert part is not None
    assert (dict(part.moved)["a"], poll.action) == (log.at(1), StreamAction.FETCH)
    lost = streamed(log)
    assert lost.reply({"a": log.gap()}) == Part(b"", last=True)
    assert lost.action is StreamAction.END


def test_what_keeps_a_stream_alive() -> None:
    log = Log()
    poll = streamed(log, keep_alive=KeepAlive(b"."))
    assert poll.empty({"a": log.at(0)}, NO_HINT) == Part(b".")
    assert poll.written is StreamTimer.KEEP_ALIVE
    assert streamed(log).empty({"a": log.at(0)}, NO_HINT) == Part(b"")
    poll.timer = StreamTimer.NEXT_LINK
    assert poll.empty({"a": log.at(0)}, NO_HINT) == Part(b"")
    assert poll.action is StreamAction.FETCH
    assert poll.empty({"a": log.at(0)}, Hint(500)) == Part(b"", last=True)
    assert poll.error(Problem("deleted", "Gone.")) == Part(b"", last=True)


# Somebody else's words


def test_a_verbatim_response_is_written_as_it_was_said() -> None:
    headers = ((b"X-MiXed", b"1"), (b"Content-Length", b"9"), (b"date", b"then"), (b"TE", b"x"))
    answer = RawResponse(299, headers, b"body", reason=b"Quite Fine")
    tail = b"date: now\r\naccess-control-allow-origin: *\r\nconnection: close\r\n"
    assert answer.wire(tail) == (
        b"HTTP/1.1 299 Quite Fine\r\nX-MiXed: 1\r\ndate: then\r\nTE: x\r\n"
        b"content-length: 4\r\nconnection: close\r\n\r\nbody"
    )
    assert answer.head() == answer.wire()[: -len(b"body")]
    assert RawResponse(304, (), b"x").wire() == b"HTTP/1.1 304 Not Modified\r\n\r\n"
    assert reason_of(299) == b""


def test_a_verbatim_response_can_be_changed() -> None:
    answer = RawResponse(299, ((b"A", b"1"),), b"body", reason=b"Fine")
    assert answer.header(b"a") == b"1"
    assert answer.header(b"b") is None
    changed = answer.with_headers((b"B", b"2")).with_body(b"new")
    assert (changed.status, changed.reason, changed.body) == (299, b"Fine", b"new")
    assert changed.headers == ((b"A", b"1"), (b"B", b"2"))
