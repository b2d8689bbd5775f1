from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.log.cursor import Cursor, Since, Start
from pushhub.log.event import MAX_EVENT_BYTES
from pushhub.log.read import MAX_RESPONSE_BYTES, Page, Read
from pushhub.polls.base import NO_HINT, ChannelRead, Hint, deleted
from pushhub.polls.multi import MAX_CHANNELS, MultiPoll, MultiRequest, encode, merge, parse_many
from tests.log.sample import GAP, at, page, run_of

BIG = b'"' + b"x" * (MAX_EVENT_BYTES - 2) + b'"'


def body(**fields: Any) -> bytes:
    return orjson.dumps({"channels": {"a": "now"}} | fields)


def wants(*names: str, since: Since | None = None) -> tuple[ChannelRead, ...]:
    return tuple(ChannelRead(name, since or at(0), 100) for name in names)


def told(reply: Response | None) -> dict[str, Any]:
    assert reply is not None
    assert reply.status == 200
    parsed = orjson.loads(reply.body)
    assert isinstance(parsed, dict)
    return parsed


# -- parsing -------------------------------------------------------------------


def test_a_poll() -> None:
    channels = {"a": "now", "b": "earliest", "c/d": "e1-5"}
    asked = parse_many(body(channels=channels, wait=25, limit=7))
    assert asked == MultiRequest(
        (
            ChannelRead("a", Start.NOW, 7),
            ChannelRead("b", Start.EARLIEST, 7),
            ChannelRead("c/d", at(5), 7),
        ),
        25,
        7,
    )


def test_defaults() -> None:
    assert parse_many(body()) == MultiRequest((ChannelRead("a", Start.NOW, 100),), None, 100)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("0", None),
        ("0.0", None),
        ("-0.0", None),
        ("0.5", 1),
        ("25", 25),
        ("2.9", 2),
        ("1e9", 55),
        ("99999999999999999999", 55),
        ("1e300", 55),
    ],
)
def test_wait(text: str, wait: int | None) -> None:
    assert parse_many(b'{"channels":{"a":"now"},"wait":%b}' % text.encode()).wait == wait


def test_the_caps_are_settings() -> None:
    assert parse_many(body(wait=25), cap=5).wait == 5
    with pytest.raises(Problem, match="at most 1 channels"):
        parse_many(body(channels={"a": "now", "b": "now"}), max_channels=1)


REFUSALS: list[tuple[str, bytes, str]] = [
    ("empty", b"", "bad-body"),
    ("cut", b'{"channels":', "bad-body"),
    ("no UTF-8", b'{"channels":{"\xff":"now"}}', "bad-body"),
    ("deep", b"[" * 100_000, "bad-body"),
    ("NaN", b'{"channels":{"a":"now"},"wait":NaN}', "bad-body"),
    ("infinite wait", b'{"channels":{"a":"now"},"wait":1e999}', "bad-body"),
    ("list", b"[]", "bad-body"),
    ("number", b"1", "bad-body"),
    ("no channels", b"{}", "bad-body"),
    ("null channels", body(channels=None), "bad-body"),
    ("list of channels", body(channels=["a"]), "bad-body"),
    ("zero channels", body(channels={}), "bad-body"),
    ("unknown field", body(timeout=5), "bad-body"),
    ("negative wait", body(wait=-1), "bad-body"),
    ("text wait", body(wait="25"), "bad-body"),
    ("true wait", body(wait=True), "bad-body"),
    ("null wait", body(wait=None), "bad-body"),
    ("zero limit", body(limit=0), "bad-request"),
    ("negative limit", body(limit=-1), "bad-request"),
    ("limit too high", body(limit=1001), "bad-request"),
    ("huge limit", body(limit=2**63), "bad-request"),
    ("true limit", body(limit=True), "bad-request"),
    ("fraction of a limit", body(limit=1.5), "bad-request"),
    ("text limit", body(limit="5"), "bad-request"),
    ("empty name", body(channels={"": "now"}), "bad-channel"),
    ("control character", body(channels={"a\n": "now"}), "bad-channel"),
    ("long name", body(channels={"a" * 256: "now"}), "bad-channel"),
    ("private name", body(channels={"$a": "now"}), "bad-channel"),
    ("number for a cursor", body(channels={"a": 5}), "bad-cursor"),
    ("null for a cursor", body(channels={"a": None}), "bad-cursor"),
    ("garbage for a cursor", body(channels={"a": "garbage"}), "bad-cursor"),
    ("empty cursor", body(channels={"a": ""}), "bad-cursor"),
    ("one bad among good", body(channels={"a": "now", "b": "last"}), "bad-cursor"),
]


@pytest.mark.parametrize(
    ("text", "slug"), [(text, slug) for _, text, slug in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_refusals(text: bytes, slug: str) -> None:
    with pytest.raises(Problem) as refusal:
        parse_many(text)
    assert refusal.value.slug == slug
    assert refusal.value.status == 400
    assert orjson.loads(refusal.value.response().body)["detail"].endswith(".")


def test_a_refusal_names_the_channel_and_the_limit() -> None:
    with pytest.raises(Problem) as refusal:
        parse_many(body(channels={"a": "now", "b\r": "now"}))
    assert refusal.value.members == {"channel": "b\r"}
    with pytest.raises(Problem, match="'since'"):
        parse_many(body(since="now"))
    with pytest.raises(Problem) as refusal:
        parse_many(body(channels={f"c{n}": "now" for n in range(MAX_CHANNELS + 1)}))
    assert (refusal.value.slug, refusal.value.members) == ("too-many-channels", {"limit": 1000})


def test_as_many_channels_as_allowed() -> None:
    asked = parse_many(body(channels={f"c{n}": "now" for n in range(MAX_CHANNELS)}))
    assert len(asked.reads) == 1000


# -- merging -------------------------------------------------------------------


def test_a_busy_channel_leaves_room() -> None:
    reads = {"a": run_of("a", 1, 100), "b": run_of("b", 1, 100), "c": run_of("c", 1, 2)}
    merged = merge(wants("a", "b", "c"), reads, 10)
    assert [one.channel for one in merged.events] == ["a"] * 4 + ["b"] * 4 + ["c"] * 2
    assert merged.cursors == {"a": at(4), "b": at(4), "c": at(2)}


def test_what_does_not_fit_does_not_move() -> None:
    merged = merge(wants("a", "b"), {"a": run_of("a", 1, 5), "b": run_of("b", 1, 5)}, 1)
    assert [(one.channel, one.offset) for one in merged.events] == [("a", 1)]
    assert merged.cursors == {"a": at(1)}


def test_the_channel_with_the_oldest_event_goes_first() -> None:
    reads = {"a": run_of("a", 1, 5, time=9), "b": run_of("b", 1, 5, time=3)}
    assert merge(wants("a", "b"), reads, 1).cursors == {"b": at(1)}


def test_the_cursor_is_of_the_present_epoch() -> None:
    old = page(*run_of("a", 1, 3).events, cursor=at(3, "e2"))
    assert merge(wants("a"), {"a": old}, 2).cursors == {"a": at(2, "e2")}


def test_the_bytes() -> None:
    reads: dict[str, Read] = {name: run_of(name, 1, 4, BIG) for name in "abcdef"}
    merged = merge(wants(*"abcdef"), reads, 100)
    assert sum(one.size for one in merged.events) <= MAX_RESPONSE_BYTES
    assert merged.cursors == {"a": at(3)}
    # A small one still fits behind a large one that did not.
    reads["f"] = run_of("f", 1, 4)
    assert merge(wants(*"abcdef"), reads, 100).cursors == {"a": at(3), "f": at(4)}


def test_one_event_always_fits() -> None:
    huge = run_of("a", 1, 2, bytes(2 * MAX_RESPONSE_BYTES))
    assert merge(wants("a"), {"a": huge}, 100).cursors == {"a": at(1)}


def test_a_gap_moves_to_the_oldest() -> None:
    merged = merge(wants("a", "b"), {"a": GAP, "b": run_of("b", 1, 1)}, 10)
    assert merged.gaps == {"a": GAP}
    assert merged.cursors == {"a": at(3), "b": at(1)}


@pytest.mark.parametrize("since", [Start.NOW, Start.EARLIEST])
def test_a_word_is_given_the_cursor_that_it_meant(since: Start) -> None:
    merged = merge(wants("a", "b", since=since), {"a": page(cursor=at(7))}, 10)
    assert merged.cursors == {"a": at(7)}
    assert merge(wants("a"), {"a": page(cursor=at(0))}, 10).cursors == {}


def test_a_now_without_events_in_the_response_gets_its_cursor() -> None:
    """Else the next poll would say `now` again, and miss these events."""
    reads = {"a": run_of("a", 1, 5), "b": run_of("b", 8, 5)}
    merged = merge(wants("a", "b", since=Start.NOW), reads, 1)
    assert merged.cursors == {"a": at(1), "b": at(7)}


@st.composite
def situations(draw: st.DrawFn) -> tuple[dict[str, Page], int]:
    names = draw(st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1))
    logs = {
        name: run_of(
            name,
            draw(st.integers(1, 50)),
            draw(st.integers(1, 30)),
            BIG if draw(st.booleans()) else b"{}",
            draw(st.integers(0, 5)),
        )
        for name in names
    }
    return logs, draw(st.integers(1, 20))


@given(situations())
def test_repeated_polls_get_every_event_once_and_in_order(
    situation: tuple[dict[str, Page], int],
) -> None:
    logs, limit = situation
    position = {name: log.events[0].offset - 1 for name, log in logs.items()}
    got: dict[str, list[int]] = {name: [] for name in logs}
    for _ in range(1000):
        reads: dict[str, Read] = {
            name: page(
                *[one for one in log.events if one.offset > position[name]], cursor=log.cursor
            )
            for name, log in logs.items()
        }
        merged = merge(
            tuple(ChannelRead(name, at(position[name]), limit) for name in logs), reads, limit
        )
        assert len(merged.events) <= limit
        for one in merged.events:
            got[one.channel].append(one.offset)
        for name, cursor in merged.cursors.items():
            assert cursor.offset > position[name]
            position[name] = cursor.offset
        if not merged.events:
            break
    assert got == {name: [one.offset for one in log.events] for name, log in logs.items()}


@pytest.mark.parametrize("limit", [1, 2])
def test_no_channel_starves(limit: int) -> None:
    """Channels that are never read to their end take turns, although only some fit an answer."""
    position = dict.fromkeys("abcde", 0)
    for now in range(40):
        reads: dict[str, Read] = {
            name: page(
                *(
                    one
                    for n in range(offset, now + 5)
                    for one in run_of(name, n + 1, 1, time=n).events
                )
            )
            for name, offset in position.items()
        }
        merged = merge(
            tuple(ChannelRead(name, at(n), 9) for name, n in position.items()), reads, limit
        )
        position |= {name: cursor.offset for name, cursor in merged.cursors.items()}
    assert max(position.values()) - min(position.values()) <= 1


# -- answering -----------------------------------------------------------------


def test_encode() -> None:
    read = run_of("a", 1, 1)
    merged = merge(wants("a", "b", "c"), {"a": read, "b": GAP}, 10)
    assert orjson.loads(encode(merged, Hint(1500))) == {
        "events": [orjson.loads(read.events[0].json_with_channel)],
        "cursors": {"a": "e1-1", "b": "e1-3"},
        "gaps": {"b": {"reason": "trimmed", "oldest": "e1-3", "latest": "e1-9"}},
        "retry_ms": 1500,
    }
    assert encode(merge((), {}, 10), NO_HINT) == b'{"events":[],"cursors":{}}'


def test_a_plain_poll_gets_an_immediate_response() -> None:
    answer = MultiPoll(wants("a", since=Start.NOW), 10).reply({"a": page(cursor=at(7))})
    assert told(answer) == {"events": [], "cursors": {"a": "e1-7"}}
    assert answer is not None
    assert b"preference-applied" not in dict(answer.headers)
    assert dict(answer.headers)[b"cache-control"] == b"no-store"


def test_a_waiting_poll_parks_and_then_says_where_it_stood() -> None:
    poll = MultiPoll((ChannelRead("a", Start.NOW, 9), ChannelRead("b", at(4), 9)), 10, 25)
    assert poll.reply({"a": page(cursor=at(7)), "b": page(cursor=at(4))}) is None
    answer = poll.empty({"a": at(7), "b": at(4)}, Hint(900))
    assert told(answer) == {"events": [], "cursors": {"a": "e1-7"}, "retry_ms": 900}
    assert dict(answer.headers)[b"preference-applied"] == b"wait=25"
    full = poll.empty({"a": at(7), "b": at(4)}, Hint(900, waited=False))
    assert b"preference-applied" not in dict(full.headers)


@pytest.mark.parametrize("read", [GAP, run_of("a", 1, 1)], ids=["gap", "event"])
def test_news_of_one_channel_end_the_wait(read: Read) -> None:
    poll = MultiPoll(wants("a", "b"), 10, 25)
    answer = poll.reply({"a": read})
    assert list(told(answer)["cursors"]) == ["a"]
    assert answer is not None
    assert dict(answer.headers)[b"preference-applied"] == b"wait=25"


def test_positions() -> None:
    poll = MultiPoll(wants("a"), 10, 25)
    assert poll.position("a", page(cursor=at(7))) == Cursor("e1", 7)
    assert poll.position("a", GAP) == at(3)
    assert poll.variant is None


def test_a_deleted_channel() -> None:
    answer = MultiPoll(wants("a", "b"), 10, 25).error(deleted("b"))
    assert answer.status == 404
    assert orjson.loads(answer.body)["channel"] == "b"
