import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.http.response import Part
from pushhub.http.sse import KEEP_ALIVE, OPENING, message, position, stream_end
from pushhub.log.cursor import Since, Start
from pushhub.log.event import BINARY, TEXT, Draft
from pushhub.polls.base import NO_HINT, ChannelRead, Hint, deleted
from pushhub.polls.stream import FeedStream, MultiStream
from tests.log.sample import GAP, at, event, page, run_of

if TYPE_CHECKING:
    from pushhub.log.read import Read


@dataclass
class Reader:
    """An EventSource, by the letter of WHATWG HTML §9.2.6."""

    events: list[tuple[str, str, str]] = field(default_factory=list)
    last_id: str = ""
    retry: int | None = None

    def feed(self, stream: bytes) -> "Reader":
        text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
        data, kind, id = "", "", self.last_id
        lines = re.split("\r\n|\n|\r", text)
        assert lines.pop() == "", "the stream ends within a line"
        for line in lines:
            if not line:
                self.last_id = id
                if data:
                    self.events.append((kind or "message", data.removesuffix("\n"), id))
                data, kind = "", ""
                continue
            name, colon, value = line.partition(":")
            value = value.removeprefix(" ")
            if colon and not name:
                continue
            if name == "event":
                kind = value
            elif name == "data":
                data += value + "\n"
            elif name == "id" and "\0" not in value:
                id = value
            elif name == "retry" and re.fullmatch("[0-9]+", value):
                self.retry = int(value)
        assert not data, "the stream ends within an event"
        return self


def read(part: Part | None) -> Reader:
    assert part is not None
    return Reader().feed(part.body)


def as_read(data: str) -> str:
    return data.replace("\r\n", "\n").replace("\r", "\n")


labels = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=50)
texts = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("\r\n: \0")))


# -- bytes ---------------------------------------------------------------------


@given(texts, labels, labels)
def test_a_reader_gets_exactly_the_event(data: str, type: str, id: str) -> None:
    draft = Draft(data.encode(), TEXT, "" if type in {"gap", "open", "error"} else type, id)
    reader = Reader(last_id="before").feed(message(draft.data, draft.type, draft.id))
    assert reader.events == [(draft.type or "message", as_read(data), draft.id or "before")]
    assert reader.retry is None


@given(texts, st.integers(0, 10**9))
def test_the_retry(data: str, ms: int) -> None:
    reader = Reader().feed(message(data.encode(), retry_ms=ms))
    assert (reader.retry, len(reader.events)) == (ms, 1)


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (b"", b"data: \n\n"),
        (b"a", b"data: a\n\n"),
        (b" a", b"data:  a\n\n"),
        (b"a\nb", b"data: a\ndata: b\n\n"),
        (b"a\r\nb\rc\n", b"data: a\ndata: b\ndata: c\ndata: \n\n"),
        (b"\n\nevent: evil\n", b"data: \ndata: \ndata: event: evil\ndata: \n\n"),
        (b":", b"data: :\n\n"),
    ],
)
def test_lines(data: bytes, wire: bytes) -> None:
    assert message(data) == wire


def test_all_fields() -> None:
    assert message(b"1", "added", "e1-5", 9) == b"id: e1-5\nevent: added\nretry: 9\ndata: 1\n\n"


def test_what_is_no_event() -> None:
    reader = Reader().feed(position("e1-5"))
    assert (reader.last_id, reader.events) == ("e1-5", [])
    assert Reader().feed(KEEP_ALIVE) == Reader()
    assert Reader().feed(stream_end(None)) == Reader()
    assert Reader().feed(stream_end(1500)) == Reader(retry=1500)


def test_the_opening() -> None:
    headers = dict(OPENING.headers)
    assert (OPENING.status, OPENING.body) == (200, b"")
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store, no-transform"
    assert headers[b"x-accel-buffering"] == b"no"


# -- one channel ---------------------------------------------------------------


def stream(since: Since, *, first: bool = False) -> FeedStream:
    return FeedStream("news", since, 100, first=first)


@pytest.mark.parametrize(
    ("since", "id"), [(at(3), "e1-3"), (Start.NOW, "e1-3"), (Start.EARLIEST, "e1-3")]
)
def test_the_first_write_is_a_position(since: Since, id: str) -> None:
    part = stream(since, first=True).reply({"news": page(event(4), event(5))})
    assert part is not None
    assert part.body.startswith(position(id))
    assert [got[2] for got in read(part).events] == ["e1-4", "e1-5"]
    assert (part.moved, part.last, part.events) == ((("news", at(5)),), False, 2)
    quiet = stream(since, first=True).reply({"news": page(cursor=at(3))})
    assert quiet == Part(position(id), (("news", at(3)),))


def test_later_there_are_only_events() -> None:
    turn = stream(at(3))
    assert turn.reads == (ChannelRead("news", at(3), 100),)
    assert turn.reply({"news": page(cursor=at(3))}) is None
    reader = read(turn.reply({"news": page(event(4, b"[1,\n2]", type="t", id="x"))}))
    assert reader.events == [("t", "[1,\n2]", "e1-4")]


def test_the_id_is_of_the_present_epoch() -> None:
    part = stream(at(3)).reply({"news": page(event(4, epoch="e0"), cursor=at(4))})
    assert read(part).last_id == "e1-4"


def test_binary_is_base64() -> None:
    part = stream(at(3)).reply({"news": page(event(4, b"\xff\x00", BINARY))})
    assert read(part).events == [("message", "/wA=", "e1-4")]


@pytest.mark.parametrize("first", [True, False])
def test_a_gap_is_an_event_and_the_stream_goes_on_from_the_oldest(first: bool) -> None:
    turn = stream(at(1), first=first)
    part = turn.reply({"news": GAP})
    assert part is not None
    ((type, data, id),) = read(part).events
    assert (type, id) == ("gap", "e1-3")
    assert orjson.loads(data) == {"reason": "trimmed", "oldest": "e1-3", "latest": "e1-9"}
    assert part.moved == (("news", at(3)),)
    assert not part.last
    assert turn.turn(part).reads == (ChannelRead("news", at(3), 100),)


def test_turns() -> None:
    turn = FeedStream("news", Start.NOW, 7, first=True, wait=9)
    after = turn.turn(Part(b"", (("news", at(5)),)))
    assert (after.reads, after.first, after.wait) == ((ChannelRead("news", at(5), 7),), False, 9)
    assert after.turn(Part(KEEP_ALIVE)) is after


STREAMS: list[Any] = [
    FeedStream("news", Start.NOW, 100, first=True),
    MultiStream((ChannelRead("news", Start.NOW, 100),), 100, first=True),
]


@pytest.mark.parametrize("turn", STREAMS, ids=["one", "many"])
def test_silence_and_ends(turn: Any) -> None:
    assert turn.position("news", page(cursor=at(7))) == at(7)
    assert turn.position("news", GAP) == at(3)
    assert turn.empty({"news": at(7)}, NO_HINT) == Part(KEEP_ALIVE)
    assert turn.empty({"news": at(7)}, Hint(800)) == Part(b"retry: 800\n\n", last=True)
    gone = turn.error(deleted("news"))
    assert gone.last
    assert read(gone).events == []


# -- many channels -------------------------------------------------------------


def many(*, first: bool = False) -> MultiStream:
    return MultiStream(
        (ChannelRead("a", Start.NOW, 9), ChannelRead("b", at(4), 9)), 10, first=first
    )


def test_a_message_has_the_body_of_a_response() -> None:
    reads: dict[str, Read] = {"a": run_of("a", 8, 2)}
    part = many().reply(reads)
    assert part is not None
    ((type, data, id),) = read(part).events
    body = orjson.loads(data)
    assert (type, id) == ("message", "")
    assert [one["offset"] for one in body["events"]] == [8, 9]
    assert body["cursors"] == {"a": "e1-9"}
    assert (part.moved, part.events) == ((("a", at(9)),), 2)


def test_the_first_message_says_where_the_reader_stands() -> None:
    quiet: dict[str, Read] = {"a": page(cursor=at(7)), "b": page(cursor=at(4))}
    part = many(first=True).reply(quiet)
    assert orjson.loads(read(part).events[0][1]) == {"events": [], "cursors": {"a": "e1-7"}}
    assert many().reply(quiet) is None


def test_a_gap_among_many() -> None:
    part = many().reply({"a": GAP, "b": run_of("b", 5, 1)})
    assert part is not None
    ((type, data, _),) = read(part).events
    body = orjson.loads(data)
    assert type == "gap"
    assert body["gaps"] == {"a": {"reason": "trimmed", "oldest": "e1-3", "latest": "e1-9"}}
    assert body["cursors"] == {"a": "e1-3", "b": "e1-5"}
    after = many().turn(part)
    assert after.reads == (ChannelRead("a", at(3), 9), ChannelRead("b", at(5), 9))


def test_turns_of_many() -> None:
    first = many(first=True)
    second = first.turn(Part(b"", (("a", at(7)),)))
    assert second.reads == (ChannelRead("a", at(7), 9), ChannelRead("b", at(4), 9))
    assert not second.first
    assert not first.turn(Part(b"")).first
    assert second.turn(Part(KEEP_ALIVE)) is second
    assert second.variant is None
