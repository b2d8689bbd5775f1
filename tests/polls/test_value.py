import orjson
import pytest

from pushhub.http.etag import parse_tags
from pushhub.http.response import Response
from pushhub.log.cursor import Start
from pushhub.log.event import TEXT, Draft
from pushhub.polls.base import NO_HINT, ChannelRead, Hint, deleted
from pushhub.polls.value import ValuePoll
from tests.log.sample import GAP, at, event, page

NOTHING_YET = page(cursor=at(0))
LAST = page(event(7, "né".encode(), TEXT, time=5))


def value(condition: str = "", wait: int | None = None) -> ValuePoll:
    return ValuePoll("news", parse_tags(condition), wait)


def headers(answer: Response | None) -> dict[bytes, bytes]:
    assert answer is not None
    assert len(dict(answer.headers)) == len(answer.headers)
    return dict(answer.headers)


def test_it_reads_the_last_event() -> None:
    assert value().reads == (ChannelRead("news", Start.LAST, 1),)


def test_the_value_as_published() -> None:
    answer = value().reply({"news": LAST})
    assert answer is not None
    assert (answer.status, answer.body, answer.events) == (200, "né".encode(), 1)
    assert headers(answer) == {
        b"content-type": b"text/plain; charset=utf-8",
        b"etag": b'"e1-7"',
        b"event-id": b"e1-7",
        b"event-time": b"1970-01-01T00:00:00.005Z",
        b"cache-control": b"private, no-cache",
        b"vary": b"Prefer, Wait, Accept, Authorization, Cookie, Origin",
        b"x-content-type-options": b"nosniff",
        b"content-security-policy": b"sandbox; default-src 'none'",
        b"cross-origin-resource-policy": b"same-site",
    }


def test_a_page_as_a_value_is_a_download() -> None:
    page_of_a_stranger = page(event(7, content_type="text/html"))
    assert (
        headers(value().reply({"news": page_of_a_stranger}))[b"content-disposition"]
        == b"attachment"
    )


def test_labels_in_headers() -> None:
    got = headers(value().reply({"news": page(event(7, type="été", id="✓"))}))
    assert got[b"event-type"] == "été".encode()
    assert got[b"event-id"] == "✓".encode()


def test_no_label_can_break_a_header() -> None:
    draft = Draft(b"1", type="a: b", id="c; d")
    wire = value().reply({"news": page(event(7, type=draft.type, id=draft.id))})
    assert wire is not None
    assert b"\r\nevent-type: a: b\r\n" in wire.wire()


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("", 200),
        ('"e1-7"', 304),
        ('W/"e1-7"', 304),
        ('"e1-7-gzip"', 304),
        ("e1-7", 304),
        ('"x", "e1-7"', 304),
        ("*", 304),
        # A value never gaps: whatever does not match gets it.
        ('"e1-6"', 200),
        ('"e1-8"', 200),
        ('"e0-7"', 200),
        ('"garbage"', 200),
        ("{not a tag", 200),
    ],
)
def test_conditions(condition: str, status: int) -> None:
    answer = value(condition).reply({"news": LAST})
    assert answer is not None
    assert answer.status == status
    assert headers(answer)[b"etag"] == b'"e1-7"'
    waiting = value(condition, 25).reply({"news": LAST})
    if status == 304:
        assert answer.body == b""
        assert waiting is None
    else:
        got = headers(waiting)
        assert got[b"preference-applied"] == b"wait=25"
        assert got[b"cache-control"] == b"no-store"


def test_the_end_of_the_wait_is_304_with_the_same_etag() -> None:
    poll = value('"e1-7"', 25)
    where = poll.position("news", LAST)
    answer = poll.empty({"news": where}, NO_HINT)
    assert answer.status == 304
    assert headers(answer) == {
        b"etag": b'"e1-7"',
        b"cache-control": b"no-store",
        b"vary": b"Prefer, Wait, Accept, Authorization, Cookie, Origin",
        b"preference-applied": b"wait=25",
    }


def test_the_etag_is_the_events_own_in_every_epoch() -> None:
    old = page(event(7, epoch="e0"), cursor=at(7, "e1"))
    assert headers(value().reply({"news": old}))[b"etag"] == b'"e0-7"'
    poll = value('"e0-7"', 25)
    assert poll.reply({"news": old}) is None
    assert poll.position("news", old) == at(7, "e0")


@pytest.mark.parametrize(
    ("condition", "wait", "parks"),
    [("", None, False), ("", 25, True), ('"e1-1"', None, False), ('"e1-1"', 25, False)],
)
@pytest.mark.parametrize("read", [NOTHING_YET, GAP], ids=["empty", "gap"])
def test_no_value_yet(condition: str, wait: int | None, parks: bool, read: object) -> None:
    poll = value(condition, wait)
    answer = poll.reply({"news": read})  # type: ignore[dict-item]
    if parks:
        assert answer is None
        return
    assert answer is not None
    body = orjson.loads(answer.body)
    assert (answer.status, body["type"]) == (404, "urn:pushhub:problem:no-value")
    assert body["channel"] == "news"
    # Who comes with a condition has not waited, and is told so.
    applied = b"wait=25" if wait and not condition else None
    assert headers(answer).get(b"preference-applied") == applied


def test_no_value_at_the_end_of_the_wait() -> None:
    poll = value("", 25)
    assert poll.position("news", NOTHING_YET) == at(0)
    answer = poll.empty({"news": at(0)}, NO_HINT)
    assert answer.status == 404
    assert headers(answer)[b"preference-applied"] == b"wait=25"


def test_a_deleted_value_is_no_value() -> None:
    """Offsets go on after a delete; where there is no event there is nothing to be unchanged."""
    assert value("", 25).position("news", page(cursor=at(7))) == at(0)


def test_a_gap_stands_at_the_latest() -> None:
    assert value("", 25).position("news", GAP) == at(9)


@pytest.mark.parametrize(
    ("hint", "applied", "interval"),
    [
        (NO_HINT, b"wait=25", None),
        (Hint(1500), b"wait=25", b"2"),
        (Hint(1500, waited=False), None, b"2"),
        (Hint(waited=False), None, None),
    ],
)
@pytest.mark.parametrize("offset", [0, 7])
def test_hints(hint: Hint, applied: bytes | None, interval: bytes | None, offset: int) -> None:
    got = headers(value('"e1-7"', 25).empty({"news": at(offset)}, hint))
    assert got.get(b"preference-applied") == applied
    assert got.get(b"x-poll-interval") == interval


def test_a_deleted_channel() -> None:
    assert value("", 25).error(deleted("news")).status == 404
