from typing import Any

import orjson
import pytest

from pushhub.http.response import Response
from pushhub.log.cursor import Start
from pushhub.log.read import Gap, Read, Reason
from pushhub.polls.base import NO_HINT, ChannelRead, Hint, deleted, poll_interval, wait_headers
from pushhub.polls.feed import FeedPoll, gap_problem
from pushhub.polls.multi import encode, merge
from tests.log.sample import GAP, at, event, page


def told(reply: Response | None) -> tuple[dict[str, Any], dict[bytes, bytes]]:
    assert reply is not None
    headers = dict(reply.headers)
    assert len(headers) == len(reply.headers)
    return orjson.loads(reply.body), headers


def test_a_page_of_events() -> None:
    first, second = event(4, b"1"), event(5, b'"two"', type="t")
    feed = FeedPoll("news", at(3), 100)
    assert feed.reads == (ChannelRead("news", at(3), 100),)
    answer = feed.reply({"news": page(first, second)})
    body, headers = told(answer)
    assert answer is not None
    assert (answer.status, answer.events) == (200, 2)
    assert body == {
        "events": [orjson.loads(first.json), orjson.loads(second.json)],
        "cursor": "e1-5",
        "up_to_date": True,
    }
    assert headers == {
        b"content-type": b"application/json",
        b"cache-control": b"no-store",
        b"vary": b"Prefer, Wait, Accept, Authorization, Cookie, Origin",
    }


def test_up_to_date_is_left_out_until_it_is_true() -> None:
    body, _ = told(FeedPoll("news", at(3), 1).reply({"news": page(event(4), up_to_date=False)}))
    assert "up_to_date" not in body


def test_every_cursor_is_of_the_present_epoch_and_an_older_event_has_its_own() -> None:
    old = event(4, epoch="e0")
    body, _ = told(FeedPoll("news", at(3), 9).reply({"news": page(old, cursor=at(4))}))
    assert body["cursor"] == "e1-4"
    (listed,) = body["events"]
    assert (listed["cursor"], listed["epoch"]) == ("e1-4", "e0")
    assert listed["id"] == old.id
    merged = merge((ChannelRead("news", at(3), 9),), {"news": page(old, cursor=at(4))}, 9)
    (listed,) = orjson.loads(encode(merged, NO_HINT))["events"]
    assert (listed["channel"], listed["cursor"], listed["epoch"]) == ("news", "e1-4", "e0")
    # In the epoch that it was published in there is nothing to tell apart.
    assert "epoch" not in orjson.loads(old.json)
    assert old.json_in("e0") is old.json
    assert old.json_in("e2") is old.json_in("e2")
    assert orjson.loads(old.json_in("e3"))["cursor"] == "e3-4"


@pytest.mark.parametrize("since", [at(0), Start.NOW, Start.EARLIEST])
def test_without_a_wait_and_an_event_the_response_is_immediate(since: Any) -> None:
    body, headers = told(FeedPoll("news", since, 9).reply({"news": page()}))
    assert body == {"events": [], "cursor": "e1-0", "up_to_date": True}
    assert b"preference-applied" not in headers


def test_nothing_new_is_waited_on() -> None:
    feed = FeedPoll("news", at(3), 9, 25)
    assert feed.wait == 25
    assert feed.reply({"news": page(cursor=at(3))}) is None
    assert feed.position("news", page(cursor=at(3))) == at(3)


def test_an_event_ends_the_wait() -> None:
    _, headers = told(FeedPoll("news", at(3), 9, 25).reply({"news": page(event(4))}))
    assert headers[b"preference-applied"] == b"wait=25"


def test_the_end_of_the_wait_is_a_success() -> None:
    answer = FeedPoll("news", Start.NOW, 9, 25).empty({"news": at(3)}, NO_HINT)
    body, headers = told(answer)
    assert (answer.status, answer.events) == (200, 0)
    assert body == {"events": [], "cursor": "e1-3", "up_to_date": True}
    assert headers[b"preference-applied"] == b"wait=25"


def test_what_the_hub_hints() -> None:
    feed = FeedPoll("news", at(3), 9, 25)
    body, headers = told(feed.empty({"news": at(3)}, Hint(1500, sure=False)))
    assert body == {"events": [], "cursor": "e1-3", "retry_ms": 1500}
    assert headers[b"preference-applied"] == b"wait=25"
    assert b"x-poll-interval" not in headers


def test_a_wait_without_room_was_not_applied() -> None:
    feed = FeedPoll("news", at(3), 9, 25)
    body, headers = told(feed.empty({"news": at(3)}, Hint(2600, waited=False)))
    assert body["retry_ms"] == 2600
    assert b"preference-applied" not in headers
    assert headers[b"x-poll-interval"] == b"3"


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("wait", [None, 25])
def test_a_gap_is_a_410(reason: Reason, wait: int | None) -> None:
    gap: Read = Gap(reason, at(3), at(9))
    feed = FeedPoll("news", at(1, "e0"), 9, wait)
    answer = feed.reply({"news": gap})
    body, headers = told(answer)
    assert answer is not None
    assert answer.status == 410
    assert body["type"] == "urn:pushhub:problem:gap"
    assert (body["reason"], body["oldest"], body["latest"]) == (reason, "e1-3", "e1-9")
    assert body["channel"] == "news"
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"cache-control"] == b"no-store"
    assert b"Prefer" in headers[b"vary"]
    assert headers.get(b"preference-applied") == (b"wait=25" if wait else None)
    assert feed.position("news", gap) == at(9)


def test_the_words_of_a_gap() -> None:
    assert [str(reason) for reason in Reason] == ["epoch", "trimmed", "ahead"]
    assert "oldest" in gap_problem("news", GAP).detail


def test_a_deleted_channel() -> None:
    body, _ = told(FeedPoll("news", at(3), 9, 25).error(deleted("news")))
    assert (body["status"], body["type"]) == (404, "urn:pushhub:problem:deleted")


@pytest.mark.parametrize(
    ("wait", "hint", "headers"),
    [
        (None, NO_HINT, ()),
        (25, NO_HINT, ((b"preference-applied", b"wait=25"),)),
        (25, Hint(100), ((b"preference-applied", b"wait=25"),)),
        (25, Hint(waited=False), ()),
        (25, Hint(100, waited=False), ((b"x-poll-interval", b"1"),)),
    ],
)
def test_applied(wait: int | None, hint: Hint, headers: object) -> None:
    assert wait_headers(wait, hint) == headers


@pytest.mark.parametrize(("ms", "seconds"), [(0, b"1"), (400, b"1"), (1600, b"2"), (60_000, b"60")])
def test_poll_interval(ms: int, seconds: bytes) -> None:
    assert poll_interval(Hint(ms)) == ((b"x-poll-interval", seconds),)
    assert poll_interval(NO_HINT) == ()
