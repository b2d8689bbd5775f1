from http import HTTPStatus

import h11
import pytest

from pushhub.http.response import BODILESS, STATUS_LINES, Part, Response


def read(wire: bytes, method: str = "GET") -> tuple[h11.Response, bytes]:
    """Read one response as a foreign client does, and see that nothing follows it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(wire)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    return response, body


@pytest.mark.parametrize("status", STATUS_LINES)
def test_every_status_is_read(status: int) -> None:
    response, body = read(Response(status, ((b"x-a", b"1"),), b"body").wire(b"date: now\r\n"))
    assert response.status_code == status
    assert bytes(response.reason) == HTTPStatus(status).phrase.encode()
    headers = dict(response.headers)
    assert headers[b"x-a"] == b"1"
    assert headers[b"date"] == b"now"
    assert (b"content-length" in headers) is (status not in BODILESS)
    assert body == (b"" if status in BODILESS else b"body")


@pytest.mark.parametrize("body", [b"", b"x", bytes(100_000)], ids=["empty", "one", "100 kB"])
def test_the_length(body: bytes) -> None:
    response, got = read(Response(200, (), body).wire())
    assert got == body
    assert dict(response.headers) == {b"content-length": b"%d" % len(body)}


def test_head_has_the_length_and_no_body() -> None:
    response, body = read(Response(200, (), b"four").head(), "HEAD")
    assert dict(response.headers)[b"content-length"] == b"4"
    assert body == b""


def test_the_wire_follows_the_tail() -> None:
    answer = Response(200, (), b"x")
    first = answer.wire(b"a: 1\r\n")
    assert answer.wire(b"a: 1\r\n") is first
    assert b"a: 2\r\n" in answer.wire(b"a: 2\r\n")
    assert b"a: " not in answer.wire()
    assert answer.wire() == b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"


def test_with_headers_returns_another_response() -> None:
    answer = Response(200, ((b"a", b"1"),), b"x", 3)
    more = answer.with_headers((b"b", b"2"), (b"c", b"3"))
    assert answer.headers == ((b"a", b"1"),)
    assert more.headers == ((b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
    assert (more.status, more.body, more.events) == (200, b"x", 3)
    assert repr(more) == "<Response 200 1 bytes>"


def test_a_part_goes_on_unless_it_is_the_last() -> None:
    assert Part(b"x") == Part(b"x", (), last=False, events=0)
