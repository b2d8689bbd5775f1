"""Heads, one by one and one after the other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushhub.http.forwarded import TrustedProxies
from pushhub.http.problem import Problem
from pushhub.server.http1.head import MAX_HEAD_BYTES, Head, HeadParser, check_start
from tests.server.http1.table import CASES, get, post


def parse(*lines: bytes, start: bytes = b"GET /a?b=c HTTP/1.1") -> Head:
    return HeadParser().parse(b"\r\n".join([start, b"Host: x", *lines, b"", b""]))


def test_the_parts() -> None:
    head = parse(b"X-One: 1", b"x-one: 2", b"Cookie: a=b", b"COOKIE: c=d", b"X-Two:\t ol\xe9 \t")
    assert (head.method, head.path, head.query) == ("GET", "/a", "b=c")
    assert head.headers == {
        "host": "x",
        "x-one": "1, 2",
        "cookie": "a=b; c=d",
        "x-two": "ol\xe9",
    }
    assert (head.keep, head.length, head.expects, head.http_1_0) == (True, 0, False, False)
    request = head.request(b"body", "1.2.3.4", TrustedProxies([]))
    assert (request.method, request.path, request.query_string) == ("GET", "/a", "b=c")
    assert (request.body, request.client) == (b"body", "1.2.3.4")


@pytest.mark.parametrize(
    ("lines", "keep"),
    [
        ((), True),
        ((b"Connection: close",), False),
        ((b"Connection: x ,Close",), False),
        ((b"Connection: closed",), True),
        ((b"Connection: x", b"Connection: close"), False),
    ],
)
def test_connection_headers(lines: tuple[bytes, ...], keep: bool) -> None:
    assert parse(*lines).keep is keep


def test_connection_headers_in_http_1_0() -> None:
    start = b"GET / HTTP/1.0"
    assert not parse(start=start).keep
    assert parse(b"Connection: Keep-Alive", start=start).keep


@pytest.mark.parametrize(
    ("lines", "length", "expects"),
    [
        ((b"Content-Length: 12",), 12, False),
        ((b"Content-Length: 012 \t",), 12, False),
        ((b"Transfer-Encoding: Chunked",), None, False),
        ((b"Transfer-Encoding: chunked", b"Expect: 100-Continue"), None, True),
        ((b"Content-Length: 1", b"Expect: 100-continue"), 1, True),
        ((b"Content-Length: 0", b"Expect: 100-continue"), 0, False),
        ((b"Content-Length: 1", b"Expect: more"), 1, False),
    ],
)
def test_framing(lines: tuple[bytes, ...], length: int | None, expects: bool) -> None:
    head = parse(*lines, start=b"POST / HTTP/1.1")
    assert (head.length, head.expects) == (length, expects)


@pytest.mark.parametrize(
    ("lines", "upgrades"),
    [
        ((b"Upgrade: websocket", b"Connection: keep-alive, Upgrade"), True),
        ((b"Upgrade: websocket",), False),
        ((b"Upgrade: h2c", b"Connection: Upgrade"), False),
        ((b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 1"), False),
    ],
)
def test_upgrades(lines: tuple[bytes, ...], upgrades: bool) -> None:
    assert parse(*lines).upgrades is upgrades


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        (b"/", "/", "", "x"),
        (b"/a?b?c", "/a", "b?c", "x"),
        (b"http://h:8/a?b", "/a", "b", "h:8"),
        (b"HTTPS://h", "/", "", "h"),
        (b"http://h?q", "/", "q", "h"),
        (b"http://[::1]/", "/", "", "[::1]"),
    ],
)
def test_targets(target: bytes, path: str, query: str, host: str) -> None:
    head = parse(start=b"GET " + target + b" HTTP/1.1")
    assert (head.path, head.query, head.headers["host"]) == (path, query, host)
    again = HeadParser().parse(head.in_origin_form())
    assert (again.path, again.query, again.headers) == (path, query, head.headers)
    assert again.http_1_0 == head.http_1_0


def test_one_parser_serves_all_connections() -> None:
    """Whatever one head was, the next is read: they belong to different clients."""
    parser = HeadParser()
    for case in CASES:
        end = case.raw.find(b"\r\n\r\n") + 4
        if end >= 4:
            try:
                parser.parse(case.raw[:end])
            except Problem:
                pass
            assert parser.parse(get(b"/next")).path == "/next", case.id


@pytest.mark.parametrize("passing", [True, False])
def test_a_host_beyond_ascii_is_refused(passing: bool) -> None:
    parser = HeadParser(passing=passing)
    with pytest.raises(Problem) as refused:
        parser.parse(b"GET http://\xcf/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert refused.value.slug == "bad-request"


@given(st.binary(max_size=200), st.sampled_from(CASES))
def test_a_head_or_a_problem(noise: bytes, case: object) -> None:
    parser = HeadParser()
    for raw in (noise + b"\r\n\r\n", get(b"/" + noise), get(b"/", noise), post(b"", noise)):
        try:
            path = parser.parse(raw[: raw.index(b"\r\n\r\n") + 4]).path
        except Problem:
            continue
        assert path.startswith("/") or path == "*"
    assert parser.parse(get(b"/next")).path == "/next"


@given(st.sampled_from([case.raw for case in CASES]), st.integers(0, 2000))
def test_the_start_of_a_valid_head_is_never_refused(raw: bytes, cut: int) -> None:
    """Whatever is a head in the end is none of what `check_start` refuses."""
    raw = raw.lstrip(b"\r\n")
    end = raw.find(b"\r\n\r\n") + 4
    if end < 4:
        return
    try:
        HeadParser().parse(raw[:end])
    except Problem:
        return
    start = raw[: min(max(cut, 1), end - 1)]
    # A CR whose LF has not come yet.
    check_start(start)


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"GET /\n", 400),
        (b"GET /\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: y\n", 400),
        (b"A" * 33, 400),
        (b"GET /" + b"a" * 9000, 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_HEAD_BYTES // 6), 431),
    ],
)
def test_starts_of_no_head_are_refused(start: bytes, status: int) -> None:
    with pytest.raises(Problem) as caught:
        check_start(start)
    assert caught.value.status == status
