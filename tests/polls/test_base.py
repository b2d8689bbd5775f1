import pytest

from pushhub.http.problem import Problem
from pushhub.log.cursor import Start
from pushhub.polls.base import (
    NO_HINT,
    UNKNOWN,
    ChannelRead,
    Poll,
    deleted,
    parse_limit,
    resume,
    start_of,
)
from pushhub.polls.feed import FeedPoll
from pushhub.polls.multi import MultiPoll
from pushhub.polls.stream import FeedStream, MultiStream
from pushhub.polls.value import ValuePoll
from tests.log.sample import at, event, get, page

WANT = ChannelRead("news", Start.NOW, 100)


@pytest.mark.parametrize(
    ("query", "limit"),
    [("", 100), ("since=now", 100), ("limit=1", 1), ("limit=050", 50), ("limit=1000", 1000)],
)
def test_limit(query: str, limit: int) -> None:
    assert parse_limit(get(query)) == limit


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "1001",
        "9999",
        "99999",
        "9" * 10_000,
        "1.5",
        "1e2",
        "abc",
        "+5",
        "٥",
        "５",
        "²",
    ],
    ids=lambda text: text[:9] or "empty",
)
def test_no_limit(text: str) -> None:
    with pytest.raises(Problem, match="from 1 to 1000") as refusal:
        parse_limit(get(f"limit={text}"))
    assert refusal.value.slug == "bad-request"
    assert refusal.value.members == {"limit": 1000}


def test_resume() -> None:
    assert resume(WANT, at(7)) == ChannelRead("news", at(7), 100)
    last = ChannelRead("news", Start.LAST, 1)
    assert resume(last, at(7)) is last


def test_deleted() -> None:
    problem = deleted("news")
    assert (problem.status, problem.members) == (404, {"channel": "news"})


POLLS: list[Poll] = [
    FeedPoll("news", Start.NOW, 100, 25),
    ValuePoll("news", frozenset({"e1-0"}), 25),
    MultiPoll((WANT,), 100, 25),
    FeedStream("news", Start.NOW, 100, first=False),
    MultiStream((WANT,), 100, first=False),
]


@pytest.mark.parametrize("poll", POLLS, ids=lambda poll: type(poll).__name__)
def test_whatever_can_wait_is_a_poll(poll: Poll) -> None:
    assert [want.channel for want in poll.reads] == ["news"]
    assert poll.wait
    assert poll.position("news", page(event(3))) == at(3)
    assert poll.empty({"news": at(3)}, NO_HINT)
    assert poll.error(deleted("news"))
    assert hash(poll.variant) == hash(poll.variant)
    reply = poll.reply({"news": page(event(3))})
    assert reply is not None
    assert reply.events == 1


def test_polls_with_different_replies_have_different_variants() -> None:
    variants = [
        FeedPoll("news", at(1), 100, 25).variant,
        FeedPoll("news", at(1), 50, 25).variant,
        FeedPoll("news", at(1), 100, 20).variant,
        ValuePoll("news", frozenset({"e1-1"}), 25).variant,
        ValuePoll("news", frozenset({"e1-2"}), 25).variant,
        ValuePoll("news", frozenset(), 25).variant,
        FeedStream("news", at(1), 100, first=True).variant,
        FeedStream("news", at(1), 100, first=False).variant,
        FeedStream("news", at(1), 50, first=False).variant,
    ]
    assert len(set(variants)) == len(variants)
    assert FeedPoll("old", at(2), 100, 25).variant == variants[0]


def test_a_feed_begins_where_its_client_says() -> None:
    assert start_of("earliest") is Start.EARLIEST
    with pytest.raises(Problem) as refused:
        start_of("tomorrow")
    assert refused.value.slug == "bad-cursor"


def test_a_value_has_a_position_only_by_one_tag() -> None:
    """While the log cannot be read, a client with two tags may have either value."""
    known = ChannelRead("news", Start.LAST, 1, frozenset({"e1-1"}))
    two = ChannelRead("news", Start.LAST, 1, frozenset({"e1-1", "e1-2"}))
    assert known.known_position == at(1)
    assert two.known_position == UNKNOWN
    assert WANT.known_position is None
