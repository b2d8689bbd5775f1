import base64
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.log.cursor import Cursor
from pushhub.log.event import (
    BINARY,
    JSON,
    MAX_EVENT_BYTES,
    RESERVED_TYPES,
    TEXT,
    Draft,
    DraftError,
    Event,
    check_label,
    draft_from_body,
    media_type,
    rfc3339,
)
from pushhub.polls.feed import FeedPoll
from tests.log.sample import at, event, page

FORM = "application/x-www-form-urlencoded"


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def parsed(one: Event) -> dict[str, Any]:
    fields = json.loads(one.json)
    assert isinstance(fields, dict)
    return fields


# -- drafts --------------------------------------------------------------------


def test_a_draft() -> None:
    draft = Draft(b"1", TEXT, "message", "id 1")
    assert (draft.data, draft.content_type, draft.type, draft.id) == (b"1", TEXT, "message", "id 1")
    assert Draft(b"1") == Draft(b"1", JSON, "", "")


def test_the_size() -> None:
    assert Draft(bytes(MAX_EVENT_BYTES), BINARY)
    with pytest.raises(DraftError, match="at most 262144 bytes"):
        Draft(bytes(MAX_EVENT_BYTES + 1), BINARY)


LABELS = {
    "empty": "",
    "space": " a ",
    "unicode": "évènement ✓",
    "255 bytes": "a" * 255,
    "255 bytes of UTF-8": "é" * 127 + "a",
}
NO_LABELS = {
    "line feed": "a\nevent: b",
    "carriage return": "a\rb",
    "line feed at the end": "a\n",
    "NUL": "a\x00",
    "tab": "a\tb",
    "DEL": "\x7f",
    "NEL": "\x85",
    "lone surrogate": "\udc80",
    "256 bytes": "a" * 256,
    "256 bytes of UTF-8": "é" * 128,
    "a megabyte": "a" * 1_000_000,
}


@pytest.mark.parametrize("text", LABELS.values(), ids=LABELS.keys())
def test_labels(text: str) -> None:
    assert check_label(text, "event id") == text
    assert Draft(b"1", JSON, text, text).id == text


@pytest.mark.parametrize("text", NO_LABELS.values(), ids=NO_LABELS.keys())
def test_no_labels(text: str) -> None:
    with pytest.raises(DraftError, match=r"^An event id has "):
        Draft(b"1", id=text)
    with pytest.raises(DraftError, match=r"^An event type has "):
        Draft(b"1", type=text)


@pytest.mark.parametrize("type", sorted(RESERVED_TYPES))
def test_reserved_types(type: str) -> None:
    with pytest.raises(DraftError, match="choose another"):
        Draft(b"1", type=type)
    assert Draft(b"1", type=type + "s", id=type)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain;charset=utf-8",
        'text/plain ; charset="utf-8"',
        "application/vnd.api+json",
        "x/y",
        "a/" + "b" * 253,
    ],
)
def test_content_types(content_type: str) -> None:
    assert Draft(b"1", content_type).content_type == content_type


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text",
        "text/",
        "/plain",
        "text/plain\r\nx-evil: 1",
        "text/plain; a=\n",
        "text/plain\n",
        "text/pläin",
        "text/plain; a=é",
        "text/plain charset=utf-8",
        "text /plain",
        " text/plain",
        "a/b/c",
        "a/" + "b" * 254,
        "a/" + "b" * 1_000_000,
    ],
    ids=lambda content_type: repr(content_type[:30]),
)
def test_no_content_types(content_type: str) -> None:
    with pytest.raises(DraftError, match="no media type"):
        Draft(b"1", content_type)


# -- bodies --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "content_type", "stored"),
    [
        (b'{"a":1}', JSON, JSON),
        (b" [1]\r\n", "application/json; charset=utf-8", JSON),
        (b"1", "Application/JSON", JSON),
        (b"1", " application/json ", JSON),
        (b'{"a":1,"a":2}', JSON, JSON),
        (b'"\\u0000"', JSON, JSON),
        (b"123456789012345678901234567890", JSON, JSON),
        (b"{}", "application/vnd.api+json", "application/vnd.api+json"),
        (b"{}", "application/ld+json; a=b", "application/ld+json; a=b"),
        (b'{"a":1}', FORM, JSON),
        (b'{"a":1}', FORM + "; charset=utf-8", JSON),
        (b'{"a":1}', "", JSON),
        (b"1", FORM, JSON),
        (b"null", FORM, JSON),
        (b"hello=world", FORM, TEXT),
        (b"hello", "", TEXT),
        (b"", "", TEXT),
        (b"", FORM, TEXT),
        (b"NaN", FORM, TEXT),
        (b"\xef\xbb\xbf1", FORM, TEXT),
        (b"\xff\xfe", FORM, BINARY),
        (b'"\xff"', "", BINARY),
        (b"{", "text/plain", "text/plain"),
        (b"\xff", "text/plain", "text/plain"),
        (b"<a", "application/xml", "application/xml"),
        (b"", BINARY, BINARY),
    ],
)
def test_bodies(body: bytes, content_type: str, stored: str) -> None:
    draft = draft_from_body(body, content_type, "t", "i")
    assert draft == Draft(body, stored, "t", "i")


@pytest.mark.parametrize("content_type", [JSON, "application/vnd.api+json"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b"[1,]", id="trailing comma"),
        pytest.param(b"1 2", id="two values"),
        pytest.param(b'1],"x":[2', id="an escape from its place"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"[Infinity]", id="Infinity"),
        pytest.param(b"1e999", id="infinite number"),
        pytest.param(b'"\xff"', id="no UTF-8"),
        pytest.param(b'"\\ud800"', id="lone surrogate"),
        pytest.param(b'"\n"', id="raw line end in a string"),
        pytest.param(b"\xef\xbb\xbf1", id="byte order mark"),
        pytest.param(b"// a\n1", id="comment"),
    ],
)
def test_no_json(body: bytes, content_type: str) -> None:
    with pytest.raises(DraftError, match="not the JSON that its content type says"):
        draft_from_body(body, content_type)


@pytest.mark.parametrize("depth", [1, 59, 60, 61, 1000, *range(1010, 1026), 100_000])
def test_json_that_is_taken_can_be_read_in_a_feed(depth: int) -> None:
    try:
        draft = draft_from_body(nested(depth), JSON)
    except DraftError:
        assert depth > 60
        return
    assert depth <= 60
    answer = FeedPoll("news", at(0), 100).reply({"news": page(event(1, draft.data))})
    assert answer is not None
    orjson.loads(answer.body)


def test_many_brackets_are_not_many_levels() -> None:
    body = b"[" + b",".join([b"[{}]"] * 2000) + b"]"
    assert draft_from_body(body, JSON).data == body


def test_a_body_too_large_is_not_parsed() -> None:
    with pytest.raises(DraftError, match="at most 262144 bytes"):
        draft_from_body(b"{" * (MAX_EVENT_BYTES + 1), JSON)


@pytest.mark.parametrize("body", [b"1", b"{"], ids=["JSON", "text"])
def test_a_body_obeys_the_rules_of_drafts(body: bytes) -> None:
    with pytest.raises(DraftError, match="choose another"):
        draft_from_body(body, "", "gap")
    with pytest.raises(DraftError, match="control characters"):
        draft_from_body(body, "", "", "a\nb")


def test_media_type() -> None:
    assert media_type(" Text/Plain ; charset=UTF-8") == "text/plain"
    assert media_type("") == ""


# -- events --------------------------------------------------------------------


def test_json_of_an_event() -> None:
    one = event(5, b'{"a": 1}', type="added", id="x", time=1_700_000_000_123)
    assert one.json == (
        b'{"offset":5,"cursor":"e1-5","id":"x","type":"added",'
        b'"time":"2023-11-14T22:13:20.123Z","data":{"a": 1}}'
    )
    assert one.json_with_channel == b'{"channel":"news",' + one.json[1:]
    assert one.json is one.json


def test_defaults_are_left_out() -> None:
    assert parsed(event(5)) == {
        "offset": 5,
        "cursor": "e1-5",
        "id": "e1-5",
        "time": "1970-01-01T00:00:00.000Z",
        "data": {},
    }


@pytest.mark.parametrize(
    ("data", "content_type", "fields"),
    [
        (b"[1]", JSON, {"data": [1]}),
        (b"[1]", "application/vnd.api+json", {"data": [1]}),
        ("é\n".encode(), TEXT, {"data": "é\n"}),
        (b"", TEXT, {"data": ""}),
        (b"a,b", "text/csv", {"data": "a,b"}),
        (b"<a/>", "application/xml", {"data": "<a/>"}),
        (b"<a/>", "Application/Atom+XML; a=b", {"data": "<a/>"}),
        (b"\xff", TEXT, {"encoding": "base64", "data": "/w=="}),
        (b"\x00\x01", BINARY, {"encoding": "base64", "data": "AAE="}),
        (b"abc", "image/png", {"encoding": "base64", "data": "YWJj"}),
    ],
)
def test_data_in_json(data: bytes, content_type: str, fields: dict[str, Any]) -> None:
    got = parsed(event(1, data, content_type))
    assert got.pop("content_type", JSON) == content_type
    assert {name: got[name] for name in got.keys() & {"data", "encoding"}} == fields


@given(st.binary(), st.sampled_from([TEXT, BINARY, "application/xml", "text/html", "a/b"]))
def test_data_comes_back_from_json(data: bytes, content_type: str) -> None:
    fields = parsed(event(1, data, content_type))
    if fields.get("encoding") == "base64":
        assert base64.b64decode(fields["data"]) == data
    else:
        assert fields["data"].encode() == data


@given(st.text(), st.text(st.characters(exclude_categories=["Cs"])))
def test_labels_are_escaped(channel: str, label: str) -> None:
    channel = channel.encode(errors="ignore").decode()
    one = event(1, channel=channel, type=label, id=label)
    fields = json.loads(one.json_with_channel)
    assert fields["channel"] == channel
    assert fields.get("type", "") == label
    assert fields["id"] == (label or "e1-1")


@pytest.mark.parametrize(
    ("data", "content_type", "text"),
    [
        (b'{"a":1}', JSON, b'{"a":1}'),
        (b"{}", "application/vnd.api+json", b"{}"),
        (b"a", TEXT, b"a"),
        (b"\xff", TEXT, b"/w=="),
        (b"a", BINARY, b"YQ=="),
    ],
)
def test_text(data: bytes, content_type: str, text: bytes) -> None:
    assert event(1, data, content_type).text == text


def test_an_event_is_where_it_was_born() -> None:
    one = Event("news", "e1", 5, b"1")
    assert one.cursor == Cursor("e1", 5)
    assert one == Event("news", "e1", 5, b"another")
    assert hash(one) == hash(Event("news", "e1", 5, b"another"))
    assert one != Event("news", "e1", 6, b"1")
    assert one != Event("news", "e2", 5, b"1")
    assert one != Event("old", "e1", 5, b"1")
    assert one != one.cursor
    assert one.size == 201
    assert repr(one) == "<Event news e1-5 1 bytes>"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1_709_164_800_010, "2024-02-29T00:00:00.010Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_rfc3339(ms: int, text: str) -> None:
    assert rfc3339(ms) == text


@pytest.mark.parametrize(
    ("data", "content_type", "payload"),
    [
        (b'{"a": 1}', JSON, {"a": 1}),
        (b"[]", "application/vnd.x+json", []),
        (b"caf\xc3\xa9", TEXT, "caf\u00e9"),
        (b"\xff", TEXT, b"\xff"),
        (b"text", BINARY, b"text"),
    ],
)
def test_payload(data: bytes, content_type: str, payload: object) -> None:
    assert Event("a", "e", 1, data, content_type).payload == payload
