"""The state machines of the client, without I/O: the rules of docs/client.md."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pushhub_client.core.feed import Ask, Feed, Pause
from pushhub_client.core.pace import Pace, delay
from pushhub_client.core.poller import Look, Poller
from pushhub_client.core.sse import StreamBlock, StreamParser
from pushhub_client.core.token import TokenLife
from pushhub_client.core.wire import problem_of
from pushhub_client.errors import HubUnreachable, Problem
from pushhub_client.messages import Event, Gap, Refusal

BROKEN = HubUnreachable("No response.")
WAITED = {"preference-applied": "wait=25"}


def most() -> float:
    """The largest random number, so that a pause is its bound."""
    return 1.0


def feed(start: dict[str, str] | None = None, **options: Any) -> Feed:
    return Feed(start or {"a": "now"}, random=most, **options)


def event(channel: str, offset: int, epoch: str = "e") -> dict[str, Any]:
    at = f"{epoch}-{offset}"
    return {
        "channel": channel,
        "offset": offset,
        "cursor": at,
        "id": at,
        "time": "2026-01-01T00:00:00.000Z",
        "data": offset,
    }


def page(*events: dict[str, Any], cursors: dict[str, str], **more: Any) -> bytes:
    return json.dumps({"events": events, "cursors": cursors, **more}).encode()


def asked(step: object) -> dict[str, Any]:
    """The body of the request that is to be sent."""
    assert isinstance(step, Ask), step
    assert step.request.body
    body: dict[str, Any] = json.loads(step.request.body)
    return body


def live(at: str = "e-0", **options: Any) -> Feed:
    """A feed that has read all there is."""
    machine = feed(**options)
    assert asked(machine.next(0.0)) == {"channels": {"a": "now"}, "limit": 1000, "wait": 0}
    machine.responded(0.1, 200, {}, page(cursors={"a": at}))
    assert machine.take() is None
    assert machine.state == "live"
    return machine


def problem(status: int, **fields: Any) -> bytes:
    return json.dumps({"status": status, **fields}).encode()


def paused(machine: Feed, now: float) -> float:
    step = machine.next(now)
    return step.seconds if isinstance(step, Pause) else 0.0


# -- a subscription ----------------------------------------------------------------


def test_the_first_request_does_not_wait_and_the_next_is_held() -> None:
    machine = live()
    step = machine.next(1.0)
    assert asked(step) == {"channels": {"a": "e-0"}, "limit": 1000, "wait": 25}
    assert isinstance(step, Ask)
    assert step.request.timeout == 35.0


def test_an_event_counts_as_read_when_the_next_is_asked_for() -> None:
    machine = live()
    machine.next(1.0)
    body = page(event("a", 1), event("a", 2), cursors={"a": "e-2"})
    machine.responded(2.0, 200, WAITED, body)
    first = machine.take()
    assert isinstance(first, Event)
    assert (first.offset, machine.cursors) == (1, {"a": "e-0"})
    machine.take()
    assert machine.cursors == {"a": "e-1"}
    machine.commit()
    assert machine.cursors == {"a": "e-2"}


def test_what_was_read_before_is_not_read_again() -> None:
    machine = live("e-2")
    machine.next(1.0)
    machine.responded(2.0, 200, WAITED, page(event("a", 2), event("a", 3), cursors={"a": "e-3"}))
    found = machine.take()
    assert isinstance(found, Event)
    assert found.offset == 3
    assert machine.take() is None


def test_a_gap_is_a_message_and_reading_goes_on_from_the_oldest() -> None:
    machine = live("old-7")
    machine.next(1.0)
    gaps = {"a": {"reason": "epoch", "oldest": "e-0", "latest": "e-1"}}
    machine.responded(2.0, 200, {}, page(event("a", 1), cursors={"a": "e-1"}, gaps=gaps))
    assert machine.take() == Gap("a", "epoch", "e-0", "e-1")
    assert isinstance(machine.take(), Event)
    assert machine.cursors == {"a": "e-0"}


def test_gap_after_gap_is_slowed_down() -> None:
    machine = live()
    now, pauses = 1.0, []
    for number in range(4):
        machine.next(now)
        gaps = {"a": {"reason": "epoch", "oldest": f"f{number}-0", "latest": f"f{number}-0"}}
        machine.responded(now, 200, {}, page(cursors={"a": f"f{number}-0"}, gaps=gaps))
        while machine.take():
            pass
        pauses.append(machine._pause)
        machine._pause = 0.0
    assert pauses == [0.0, 2.0, 4.0, 5.0]


def test_a_wait_that_a_server_does_not_grant_is_no_loop() -> None:
    machine = live()
    machine.next(1.0)
    machine.responded(1.1, 200, {}, page(cursors={}))
    assert paused(machine, 1.1) == 5.0


def test_a_pause_that_the_hub_asks_for_is_kept() -> None:
    machine = live()
    machine.next(1.0)
    machine.responded(1.1, 200, WAITED, page(cursors={}, retry_ms=3500))
    assert paused(machine, 1.1) == 3.5


def test_failures_pause_longer_each_time_up_to_a_minute() -> None:
    machine, pauses = feed(), []
    for _ in range(9):
        assert isinstance(machine.next(0.0), Ask)
        machine.failed(0.0, BROKEN)
        pauses.append(paused(machine, 0.0))
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert machine.state == "offline"
    assert machine.error is BROKEN


def test_retry_after_is_the_least_pause() -> None:
    machine = feed()
    machine.next(0.0)
    machine.responded(0.0, 503, {"retry-after": "7"}, problem(503))
    assert paused(machine, 0.0) == 7.0


def test_a_response_that_is_not_a_hubs_is_a_failure() -> None:
    machine = feed()
    for body in (b"<html>", b"[]", b'{"events": 1}', b'{"events": [{}], "cursors": {}}'):
        machine.next(0.0)
        machine.responded(0.0, 200, {}, body)
        assert paused(machine, 0.0) > 0


def test_a_401_asks_for_a_new_token_once() -> None:
    machine = feed(renews=True)
    machine.next(0.0)
    machine.responded(0.0, 401, {}, problem(401))
    assert isinstance(machine.next(0.0), Ask)
    machine.responded(0.0, 401, {}, problem(401))
    assert paused(machine, 0.0) == 1.0
    assert machine.state == "offline"


def test_a_401_of_a_fixed_token_ends_the_subscription() -> None:
    machine = feed()
    machine.next(0.0)
    with pytest.raises(Problem):
        machine.responded(0.0, 401, {}, problem(401))
    assert machine.state == "closed"
    assert machine.next(0.0) is None


def test_a_refused_channel_does_not_end_the_others() -> None:
    machine = feed({"a": "now", "b": "now"})
    machine.next(0.0)
    machine.responded(0.0, 403, {}, problem(403, channel="b", detail="No."))
    found = machine.take()
    assert isinstance(found, Refusal)
    assert (found.channel, found.error.status) == ("b", 403)
    assert asked(machine.next(0.0))["channels"] == {"a": "now"}
    machine.responded(0.0, 403, {}, problem(403, channel="a", detail="Neither."))
    with pytest.raises(Problem, match="Neither"):
        machine.take()
    assert machine.state == "closed"


def test_a_deleted_channel_is_read_on() -> None:
    machine = live()
    machine.next(0.0)
    machine.responded(0.0, 404, {}, problem(404, channel="a"))
    assert paused(machine, 0.0) == 1.0
    assert asked(machine.next(0.0))["channels"] == {"a": "e-0"}


def test_channels_come_and_go_between_requests() -> None:
    machine = live()
    machine.next(0.0)
    machine.add("b", "earliest")
    machine.remove("a")
    # The response to the request from before is no more for anybody.
    machine.responded(1.0, 200, WAITED, page(event("a", 1), cursors={"a": "e-1"}))
    assert machine.take() is None
    assert asked(machine.next(1.0)) == {"channels": {"b": "earliest"}, "limit": 1000, "wait": 0}


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one channel"):
        Feed({}, random=most)
    for wait in (0, 56):
        with pytest.raises(ValueError, match="1 to 55"):
            Feed({"a": "now"}, random=most, wait=wait)


def test_an_error_says_what_is_wrong() -> None:
    moved = problem_of(308, {"location": "https://a/"}, b"")
    assert str(moved) == "The server redirects to https://a/; give the client that URL."
    assert str(problem_of(404, {}, b"<html>")).endswith("check the URL.")
    assert str(problem_of(502, {}, b"[]")) == "The server responded with HTTP 502."
    assert str(problem_of(400, {}, problem(400, title="T", detail="D"))) == "T: D"


# -- a stream ----------------------------------------------------------------------


def streaming() -> Feed:
    machine = live(stream=True)
    step = machine.next(10.0)
    assert isinstance(step, Ask)
    assert step.streams
    assert step.request.headers["Accept"] == "text/event-stream"
    machine.opened(10.0, {"date": "Thu, 01 Jan 2026 00:00:00 GMT"})
    return machine


def block(body: bytes) -> bytes:
    return b"data: " + body + b"\n\n"


def test_a_stream_delivers_pages_in_any_pieces() -> None:
    machine = streaming()
    text = block(page(event("a", 1), cursors={"a": "e-1"}))
    for index in range(len(text)):
        machine.listen(10.0)
        assert machine.received(10.0, text[index : index + 1])
    found = machine.take()
    assert isinstance(found, Event)
    assert found.offset == 1


def test_a_stream_that_ends_pauses_as_it_said() -> None:
    machine = streaming()
    machine.received(10.0, b"retry: 2500\n\n")
    machine.ended(30.0)
    assert paused(machine, 30.0) == 2.5


def test_a_delayed_event_makes_it_hold_requests_for_five_minutes() -> None:
    machine = streaming()
    machine.listen(10.0)
    # Published at 10.0 by the stream's clock, and 4 s under way.
    late = event("a", 1) | {"time": "2026-01-01T00:00:00.500Z"}
    assert not machine.received(14.0, block(page(late, cursors={"a": "e-1"})))
    machine.ended(14.0)
    assert isinstance(machine.take(), Event)
    step = machine.next(14.0)
    assert isinstance(step, Ask)
    assert not step.streams
    machine.responded(39.0, 200, WAITED, page(cursors={}))
    later = machine.next(14.0 + 301.0)
    assert isinstance(later, Ask)
    assert later.streams


def test_a_reader_that_is_slow_blames_no_proxy() -> None:
    machine = streaming()
    machine.listen(10.0)
    machine.received(10.0, b": comment\n\n")
    # The reader works for 20 s, and an event waits for it meanwhile.
    machine.listen(30.0)
    early = event("a", 1) | {"time": "2026-01-01T00:00:05.000Z"}
    assert machine.received(30.0, block(page(early, cursors={"a": "e-1"})))


def test_silence_and_half_a_message_end_a_stream() -> None:
    machine = streaming()
    assert machine.listen(10.0) == 10.0
    machine.received(10.0, b": beat\n\n")
    assert machine.listen(10.0) == 25.0
    machine.received(10.0, b"data: {")
    assert machine.listen(10.0) == 3.0
    machine.stalled(13.0, BROKEN)
    step = machine.next(13.0)
    assert isinstance(step, Ask)
    assert not step.streams


def test_a_block_doubles_to_a_day() -> None:
    block_, now, lengths = StreamBlock(), 0.0, []
    for _ in range(11):
        block_.block(now)
        length = block_._until - now
        lengths.append(length)
        assert block_.blocked(now + length - 1)
        now += length
        assert not block_.blocked(now)
    assert lengths[:3] == [300.0, 600.0, 1200.0]
    assert lengths[-1] == 86_400.0


def test_a_message_without_an_end_is_no_memory_without_a_bound() -> None:
    parser = StreamParser()
    for _ in range(16):
        parser.feed(b"x" * 1024 * 1024)
    with pytest.raises(ValueError, match="too long"):
        parser.feed(b"x")


# -- pauses and waits --------------------------------------------------------------


def test_two_cuts_at_one_age_shorten_the_wait_and_proven_waits_lengthen_it() -> None:
    pace = Pace(25)
    pace.died(20.0)
    assert pace.wait == 25
    pace.died(20.2)
    assert pace.wait == 15
    for _ in range(8):
        pace.lived(14.0)
    assert pace.wait == 20
    pace.died(20.0)
    assert pace.wait == 15
    for _ in range(15):
        pace.lived(14.0)
    assert pace.wait == 15
    pace.lived(14.0)
    assert pace.wait == 20


def test_a_machine_that_slept_teaches_nothing() -> None:
    pace = Pace(25)
    pace.died(3600.0)
    pace.died(3600.0)
    assert pace.wait == 25


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2.0), ("0", 0.0), ("-3", 0.0), ("soon", 0.0), (None, 0.0), ("nan", 0.0), ("1e9", 86400)],
)
def test_a_pause_of_a_server_is_a_number_above_0_and_a_day_at_most(
    text: object, seconds: float
) -> None:
    assert delay(text) == seconds


# -- a poller ----------------------------------------------------------------------


def test_a_poller_waits_where_the_server_does() -> None:
    poller = Poller(random=most)
    step = poller.next(0.0)
    assert step == Look({"Prefer": "wait=25"}, 35.0)
    assert poller.responded(0.1, 200, {"etag": '"1"', **WAITED}, b"")
    assert poller.next(0.1) == Look({"Prefer": "wait=25", "If-None-Match": '"1"'}, 35.0)
    assert not poller.responded(25.0, 304, WAITED, b"")
    assert isinstance(poller.next(25.0), Look)
    assert poller.waits


def test_a_poller_polls_where_the_server_does_not_wait() -> None:
    poller = Poller(random=most, every=3.0)
    poller.next(0.0)
    assert poller.responded(0.1, 200, {}, b"")
    assert poller.next(0.1) == Pause(3.0)


def test_a_server_that_says_that_it_waits_and_does_not_is_polled() -> None:
    poller, pauses = Poller(random=most), []
    for _ in range(8):
        step = poller.next(0.0)
        if isinstance(step, Pause):
            pauses.append(step.seconds)
            poller.next(0.0)
        poller.responded(0.0, 200, WAITED, b"")
    assert pauses == [5.0, 5.0, 5.0]


def test_a_poller_keeps_the_interval_and_the_retry_after_of_the_server() -> None:
    poller = Poller(random=most)
    poller.next(0.0)
    poller.responded(0.0, 200, {"x-poll-interval": "9"}, b"")
    assert poller.next(0.0) == Pause(9.0)
    poller.next(0.0)
    poller.responded(0.0, 503, {"retry-after": "11"}, b"")
    assert poller.next(0.0) == Pause(11.0)
    assert isinstance(poller.error, Problem)


def test_a_missing_resource_is_waited_for_without_an_etag() -> None:
    poller = Poller(random=most, etag='"1"')
    poller.next(0.0)
    assert not poller.responded(25.0, 404, WAITED, b"")
    assert poller.next(25.0) == Look({"Prefer": "wait=25"}, 35.0)


# -- tokens ------------------------------------------------------------------------


def jwt(**claims: Any) -> str:
    import base64

    return "h." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".s"


def test_a_token_is_renewed_a_tenth_before_its_end() -> None:
    life = TokenLife()
    assert life.needed(1000.0)
    life.renewed(jwt(exp=1100), 1000.0)
    assert not life.needed(1089.0)
    assert life.needed(1091.0)
    life.renewed(jwt(exp=1200), 1091.0)
    life.refused()
    assert life.needed(1091.0)


@pytest.mark.parametrize("token", ["key", "a.b.c", jwt(), jwt(exp="soon"), jwt(exp=10)])
def test_a_token_whose_end_is_unknown_is_good_until_it_is_refused(token: str) -> None:
    life = TokenLife()
    life.renewed(token, 1000.0)
    assert not life.needed(1e9)
