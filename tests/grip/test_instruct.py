import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.grip.fields import Field, GripError, parse_fields, parse_pairs, unescape
from pushhub.grip.headers import is_instruct, parse_instruct
from pushhub.grip.instruct import (
    MAX_CHANNELS,
    MAX_HOLD_BODY_BYTES,
    GripSubscription,
    HoldMode,
    Instruct,
    KeepAlive,
    NextLink,
)
from pushhub.http.raw_response import RawResponse


def sent(
    *lines: str, status: int = 200, body: bytes = b"", reason: bytes | None = None
) -> RawResponse:
    """A response with these header lines."""
    pairs = (line.split(": ", 1) for line in lines)
    headers = tuple((name.encode(), value.encode()) for name, value in pairs)
    return RawResponse(status, headers, body, reason=reason)


def read(*lines: str, **more: Any) -> Instruct:
    instruct = parse_instruct(sent(*lines, **more))
    assert instruct is not None
    return instruct


def document(**members: Any) -> Instruct:
    body = json.dumps(members).encode()
    return read("Content-Type: application/grip-instruct; charset=utf-8", body=body)


def refused(*lines: str, **more: Any) -> str:
    with pytest.raises(GripError) as error:
        parse_instruct(sent(*lines, **more))
    return str(error.value)


# The grammar


def test_values_with_parameters() -> None:
    text = 'news; prev-id=7; filter=skip-self; Filter="a,;b", sport,, x;y'
    assert parse_fields(text, "h") == (
        Field("news", (("prev-id", "7"), ("filter", "skip-self"), ("filter", "a,;b"))),
        Field("sport"),
        Field("x", (("y", ""),)),
    )
    assert parse_fields(text, "h")[0].all("filter") == ("skip-self", "a,;b")
    assert parse_fields('"quoted" ; a="1" , b', "h") == (Field("quoted", (("a", "1"),)), Field("b"))


def test_a_single_value_may_have_commas() -> None:
    assert parse_fields(r"a, b\n; timeout=3", "h", list=False) == (
        Field(r"a, b\n", (("timeout", "3"),)),
    )
    assert parse_fields("", "h", list=False) == (Field(""),)
    assert parse_fields("", "h") == ()


def test_pairs() -> None:
    assert parse_pairs('user="al\\"ice", K2=v; ignored=1, bare,', "h") == (
        ("user", 'al"ice'),
        ("K2", "v"),
        ("bare", ""),
    )
    assert parse_pairs("", "h") == ()
    with pytest.raises(GripError, match="without a name"):
        parse_pairs("=x", "h")


@pytest.mark.parametrize("text", ['a; b="x', 'a; b="x\\', '"x', 'a; b="x"y'])
def test_a_quoted_string_ends_properly(text: str) -> None:
    with pytest.raises(GripError):
        parse_fields(text, "h")


@given(st.text(alphabet='ab=;," \\', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_fields, parse_pairs):
        try:
            parse(text, "h")
        except GripError:
            pass


def test_escapes() -> None:
    assert unescape(rb"a\n\r\\\x41", "x") == b"a\n\r\\A"
    for bad in (rb"\q", b"\\", rb"\x4"):
        with pytest.raises(GripError):
            unescape(bad, "x")


# Headers


def test_a_response_without_grip_is_no_instruct() -> None:
    assert parse_instruct(sent("Content-Type: text/plain", "X-Grip-Hold: response")) is None
    assert not is_instruct(sent("Content-Type: text/plain"))
    assert is_instruct(sent("gRiP-anything: x"))


def test_every_header() -> None:
    instruct = read(
        "Grip-Hold: response",
        "Grip-Channel: a; prev-id=7; filter=skip-self; filter=var-subst, b",
        "grip-channel: c",
        "Grip-Timeout: 25",
        'Grip-Set-Meta: user="al\\"ice", n=1',
        "Grip-Status: 304 Not Now",
        "Grip-Link: </gone>; rel=gone, </x>; rel=other",
        "X-Base: b",
        body=b"nothing",
    )
    assert instruct.mode is HoldMode.RESPONSE
    assert instruct.subscriptions == (
        GripSubscription("a", "7", ("skip-self", "var-subst")),
        GripSubscription("b"),
        GripSubscription("c"),
    )
    assert (instruct.timeout, instruct.meta) == (25, {"user": 'al"ice', "n": "1"})
    assert (instruct.next, instruct.gone) == (None, "/gone")
    told = instruct.response
    assert (told.status, told.reason, told.body) == (304, b"Not Now", b"nothing")
    assert told.headers == ((b"X-Base", b"b"),)


def test_a_status_without_a_reason_has_its_usual_one() -> None:
    assert read("Grip-Hold: response", "Grip-Status: 304").response.reason == b"Not Modified"
    assert read("Grip-Hold: response", "Grip-Status: 299").response.reason == b""
    assert read("Grip-Hold: response", status=201, reason=b"Mine").response.reason == b"Mine"


@pytest.mark.parametrize(
    ("value", "seconds"), [("1", 5), ("5", 5), ("55", 55), ("99999", 3600), (None, 55)]
)
def test_timeouts_are_bounded(value: str | None, seconds: int) -> None:
    lines = [] if value is None else [f"Grip-Timeout: {value}"]
    assert read("Grip-Hold: response", *lines).timeout == seconds
    instruct = parse_instruct(sent("Grip-Hold: response", "Grip-Timeout: 1"), min_timeout=1)
    assert instruct is not None
    assert instruct.timeout == 1


def test_only_exposed_headers_are_left() -> None:
    lines = ["Grip-Hold: response", "X-A: 1", "x-b: 2", "X-C: 3"]
    exposed = read(*lines, "Grip-Expose-Headers: x-a, X-B", "Grip-Expose-Headers: ,").response
    assert exposed.headers == ((b"X-A", b"1"), (b"x-b", b"2"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (".", KeepAlive(b".")),
        ("a, b; timeout=20", KeepAlive(b"a, b", 20)),
        (r"\n\x41; format=cstring; timeout=0", KeepAlive(b"\nA", 1)),
        ("aGk; format=base64; mode=interval; timeout=99999", KeepAlive(b"hi", 3600, True)),
        (".; format=raw; mode=idle", KeepAlive(b".")),
    ],
)
def test_keep_alives(value: str, expected: KeepAlive) -> None:
    assert read("Grip-Hold: stream", f"Grip-Keep-Alive: {value}").keep_alive == expected


def test_a_next_link() -> None:
    assert read("Grip-Link: </n?a=1>; rel=next; timeout=7").next == NextLink("/n?a=1", 7)
    assert read("Grip-Link: <n>; rel=next").next == NextLink("n", 120)
    assert read("Grip-Link: <n>; rel=next").mode is None


def test_of_a_channel_that_is_named_twice_the_last_counts() -> None:
    instruct = read("Grip-Hold: response", "Grip-Channel: a; prev-id=1, a; prev-id=2")
    assert instruct.subscriptions == (GripSubscription("a", "2"),)


def test_a_hold_without_channels_is_a_timer() -> None:
    assert read("Grip-Hold: response").subscriptions == ()


@pytest.mark.parametrize(
    "line",
    [
        "Grip-Hold: maybe",
        "Grip-Timeout: soon",
        "Grip-Timeout: -1",
        "Grip-Timeout: 1.5",
        "Grip-Channel: $own",
        "Grip-Channel: " + "x" * 256,
        "Grip-Channel: ; prev-id=1",
        "Grip-Channel: " + ",".join(f"c{n}" for n in range(MAX_CHANNELS + 1)),
        "Grip-Channel: a" + "; filter=x" * 6,
        "Grip-Keep-Alive: ; timeout=3",
        "Grip-Keep-Alive: .; format=rot13",
        "Grip-Keep-Alive: .; mode=often",
        "Grip-Keep-Alive: .; timeout=x",
        "Grip-Keep-Alive: !; format=base64",
        "Grip-Keep-Alive: " + "x" * 4097,
        "Grip-Set-Meta: ",
        "Grip-Set-Meta: " + ",".join(f"m{n}=1" for n in range(65)),
        "Grip-Set-Meta: a=" + "x" * 1024,
        "Grip-Status: none",
        "Grip-Status: 99",
        "Grip-Status: 1000",
        "Grip-Link: /bare; rel=next",
        "Grip-Link: <>; rel=next",
        "Grip-Link: </a b>; rel=next",
        "Grip-Link: <http://[x>; rel=next",
        "Grip-Link: </" + "x" * 5000 + ">; rel=next",
        "Grip-Link: </n>; rel=next; timeout=x",
    ],
)
def test_what_cannot_be_followed_is_refused_in_a_sentence(line: str) -> None:
    assert refused("Grip-Hold: stream", line) if "Hold" not in line else refused(line)


def test_a_held_body_has_a_bound() -> None:
    assert "100000 bytes" in refused("Grip-Hold: response", body=b"x" * (MAX_HOLD_BODY_BYTES + 1))
    read("Grip-Hold: response", body=b"x" * MAX_HOLD_BODY_BYTES)
    read("Grip-Hold: stream", body=b"x" * (MAX_HOLD_BODY_BYTES + 1))


def test_a_stream_that_names_an_item_needs_a_link() -> None:
    lines = ["Grip-Hold: stream", "Grip-Channel: a; prev-id=1"]
    assert "rel=next" in refused(*lines)
    assert read(*lines, "Grip-Link: </n>; rel=next").next is not None


# Documents


def test_a_document() -> None:
    instruct = document(
        hold={
            "mode": "stream",
            "channels": [{"name": "a", "filters": ["skip-self"]}, {"name": "b"}],
            "timeout": 9,
            "keep-alive": {"content-bin": "aGk=", "timeout": 3},
            "meta": {"user": "u"},
        },
        response={
            "code": 202,
            "reason": "Later",
            "headers": [["X-A", "1"], ["X-A", "2"]],
            "body-bin": "AAE=",
        },
    )
    assert instruct.mode is HoldMode.STREAM
    assert instruct.subscriptions == (
        GripSubscription("a", None, ("skip-self",)),
        GripSubscription("b"),
    )
    assert (instruct.timeout, instruct.meta) == (9, {"user": "u"})
    assert instruct.keep_alive == KeepAlive(b"hi", 3)
    told = instruct.response
    assert (told.status, told.reason, told.body) == (202, b"Later", b"\0\1")
    assert told.headers == ((b"X-A", b"1"), (b"X-A", b"2"))


def test_a_document_has_defaults() -> None:
    instruct = document(hold={"channels": [], "keep-alive": {"content": "."}})
    assert (instruct.mode, instruct.timeout) == (HoldMode.RESPONSE, 55)
    assert instruct.keep_alive == KeepAlive(b".")
    assert (instruct.response.status, instruct.response.body) == (200, b"")
    plain = document(response={"body": "b", "headers": {"X-A": "1"}})
    assert (plain.mode, plain.response.body) == (None, b"b")


def test_links_come_as_headers() -> None:
    body = b'{"hold": {"mode": "stream", "channels": [{"name": "a", "prev-id": "1"}]}}'
    lines = ["Content-Type: application/grip-instruct", "Grip-Link: </n>; rel=next"]
    assert read(*lines, body=body).next == NextLink("/n")


@pytest.mark.parametrize(
    "members",
    [
        {"hold": "x"},
        {"hold": {}},
        {"hold": {"channels": "a"}},
        {"hold": {"channels": ["a"]}},
        {"hold": {"channels": [{}]}},
        {"hold": {"channels": [{"name": 1}]}},
        {"hold": {"channels": [{"name": "a", "filters": "x"}]}},
        {"hold": {"channels": [{"name": "a", "filters": [1]}]}},
        {"hold": {"channels": [], "mode": "maybe"}},
        {"hold": {"channels": [], "timeout": "1"}},
        {"hold": {"channels": [], "timeout": True}},
        {"hold": {"channels": [], "timeout": -1}},
        {"hold": {"channels": [], "keep-alive": {}}},
        {"hold": {"channels": [], "keep-alive": {"content-bin": "!"}}},
        {"hold": {"channels": [], "meta": {"a": 1}}},
        {"response": {"code": 99}},
        {"response": {"code": True}},
        {"response": {"headers": "x"}},
        {"response": {"headers": ["x"]}},
        {"response": {"headers": [["a"]]}},
        {"response": {"headers": {"a b": "1"}}},
        {"response": {"headers": {"a": "1\r\nb: 2"}}},
        {"response": {"headers": {"a": 1}}},
        {"response": {"headers": [["a", "1"]] * 101}},
        {"response": {"headers": {"a": "x" * 40_000}}},
        {"response": {"body": 1}},
    ],
    ids=str,
)
def test_a_bad_document_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(GripError):
        document(**members)


@pytest.mark.parametrize("body", [b"no json", b"[]"])
def test_a_document_is_an_object(body: bytes) -> None:
    assert refused("Content-Type: application/grip-instruct", body=body)


def test_a_document_comes_with_200() -> None:
    assert "200" in refused("Content-Type: application/grip-instruct", status=201, body=b"{}")
