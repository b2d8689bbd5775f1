"""Where a body ends, however it arrives."""

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.http.body import (
    MAX_CHUNK_LINE_BYTES,
    MAX_TRAILER_BYTES,
    ChunkedBody,
    RequestBody,
    SizedBody,
)
from pushhub.http.problem import Problem

EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b' ; a="b c"', b"\t;"])
TRAILERS = st.sampled_from([b"", b"X-Sum: 1\r\n", b"A:\r\nB: \xe9\r\n"])


@st.composite
def chunked_bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body in chunks, and what it means."""
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    raw = b""
    for piece in pieces:
        size = draw(st.sampled_from([b"%x", b"%X", b"%04x"])) % len(piece)
        raw += size + draw(EXTENSIONS) + b"\r\n" + piece + b"\r\n"
    raw += draw(st.sampled_from([b"0", b"000"])) + b"\r\n" + draw(TRAILERS) + b"\r\n"
    return raw, b"".join(pieces)


def feed(body: RequestBody, data: bytes, cuts: list[int]) -> bytes:
    """Feed data cut at those places; return what the body did not take."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    rest = b""
    for begin, end in itertools.pairwise(places):
        rest += data[begin:end]
        rest = rest[body.feed(rest) :]
    return rest


CUTS = st.lists(st.integers(0, 10_000), max_size=8)


@given(chunked_bodies(), st.binary(max_size=30), CUTS)
def test_any_split_of_a_chunked_body_is_the_same_body(
    made: tuple[bytes, bytes], after: bytes, cuts: list[int]
) -> None:
    raw, payload = made
    body = ChunkedBody()
    assert feed(body, raw + after, cuts) == after
    assert body.done
    assert bytes(body.payload) == payload


@given(st.binary(max_size=60), st.binary(max_size=30), CUTS)
def test_any_split_of_a_body_of_a_length(payload: bytes, after: bytes, cuts: list[int]) -> None:
    body = SizedBody(len(payload))
    assert feed(body, payload + after, cuts) == after
    assert body.done or not payload
    assert bytes(body.payload) == payload


@given(st.text('0123456789abcdefx+- \t;="\r\n:', max_size=40), CUTS)
def test_any_split_of_rubbish_is_the_same_rubbish(text: str, cuts: list[int]) -> None:
    raw = text.encode()
    results = []
    for places in ([], cuts, list(range(len(raw)))):
        body = ChunkedBody()
        try:
            rest = feed(body, raw, places)
        except Problem:
            results.append(("refused", b"", b""))
        else:
            results.append((str(body.done), rest if body.done else b"", bytes(body.payload)))
    assert results[0] == results[1] == results[2]


@given(st.text("058a;= \t\r\n", max_size=30).map(str.encode))
def test_bodies_that_pushhub_and_h11_accept_are_the_same(raw: bytes) -> None:
    raw = b"5\r\nhello\r\n" + raw + b"\r\n0\r\n\r\n"
    body = ChunkedBody()
    try:
        taken = body.feed(raw)
    except Problem:
        return
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + raw
    )
    payload = b""
    try:
        while not isinstance(event := theirs.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                assert not body.done
                return
            if isinstance(event, h11.Data):
                payload += bytes(event.data)
    except h11.RemoteProtocolError:
        return
    assert body.done
    assert payload == bytes(body.payload)
    assert theirs.trailing_data[0] == raw[taken:]


@pytest.mark.parametrize(
    "raw",
    [
        *(b"g\r\n", b"-1\r\n", b"+1\r\n", b" 1\r\n", b"1 \r\n", b"0x1\r\n", b"1_0\r\n", b"\r\n"),
        *(b"1\n", b"1\r\r\n", b"1\r\nab", b"1\r\na\n", b"1\r\na\rb", b"1\r\na0\r\n\r\n"),
        *(b"1;\0\r\n", b"1;\x7f\r\n", b"1;\xe9\r\n", b"1000000000000000\r\n", b"\xb2\r\n"),
        *(b"0\r\n\n", b"0\r\nX\r\n", b"0\r\nX : y\r\n", b"0\r\n y\r\n", b"0\r\nX: \0\r\n"),
        *(b"1" * (MAX_CHUNK_LINE_BYTES + 1), b"1;" + b"a" * MAX_CHUNK_LINE_BYTES),
    ],
)
def test_malformed_bodies_are_refused(raw: bytes) -> None:
    with pytest.raises(Problem) as caught:
        ChunkedBody().feed(raw)
    assert caught.value.status == 400


def test_trailers_have_an_end() -> None:
    line = b"X: " + b"y" * 95 + b"\r\n"
    body = ChunkedBody()
    with pytest.raises(Problem) as caught:
        body.feed(b"0\r\n" + line * (MAX_TRAILER_BYTES // 95 + 1))
    assert caught.value.status == 431
    assert not body.payload


def test_half_a_chunk_is_no_body_yet() -> None:
    body = ChunkedBody()
    assert body.feed(b"5\r\nhel") == 6
    assert not body.done
    assert body.feed(b"lo\r\n0\r\n\r\nGET") == 9
    assert body.done


def test_a_body_is_one_of_the_two() -> None:
    with pytest.raises(AssertionError):
        RequestBody().feed(b"")
