"""uvicorn's protocol as a guest: pages that fail, stop in the middle, or read slowly."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.server.http1.fuzzing import InProcessServer
from tests.server.http1.table import get, post

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
READ = get(b"/v1/channels/a/events")


async def fails_at_once(receive: Receive, send: Send) -> None:
    raise RuntimeError("a page's mistake")


async def fails_in_the_middle(receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("a page's mistake")


async def stops_in_the_middle(receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def closes(receive: Receive, send: Send) -> None:
    headers = [(b"connection", b"close"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


async def echoes(receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    await asyncio.sleep(0)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(page: Callable[[Receive, Send], Awaitable[None]], *pieces: bytes) -> bytes:
    """The responses of a server whose only page is this one."""
    front = InProcessServer()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await page(receive, send)

    front.app.pages = app  # type: ignore[assignment]
    answer = front.feed(pieces)
    front.close()
    # uvicorn logs the errors of pages; nothing else may be logged.
    assert all(
        str(complaint).startswith(("Exception in ASGI", "ASGI")) for complaint in front.complaints
    )
    return answer


def test_a_page_that_fails() -> None:
    answer = serve(fails_at_once, get(b"/x") + READ)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("page", [fails_in_the_middle, stops_in_the_middle])
def test_a_page_that_ends_too_soon(page: Callable[[Receive, Send], Awaitable[None]]) -> None:
    """The connection ends, so that the client sees it; nothing of ours comes after."""
    answer = serve(page, get(b"/x") + READ)
    assert answer.endswith(b"half\r\n")


def test_a_page_that_closes() -> None:
    answer = serve(closes, get(b"/x") + READ)
    assert answer.endswith(b"\r\n\r\nok")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_a_page_gets_its_body_and_none_of_the_next(chunked: bool) -> None:
    body = b"GET /smuggled HTTP/1.1\r\n\r\n" * 10_000
    if chunked:
        raw = b"%x\r\n" % len(body) + body + b"\r\n0\r\nX: y\r\n\r\n"
        request = post(raw, b"Transfer-Encoding: chunked", target=b"/x")
    else:
        request = post(body, b"Content-Length: %d" % len(body), target=b"/x")
    raw = (request + READ) * 2
    answer = serve(echoes, *[raw[at : at + 5000] for at in range(0, len(raw), 5000)])
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    assert answer.count(body) == 2


def test_a_body_that_is_none_is_refused_while_the_page_waits_for_it() -> None:
    request = post(b"5\r\nhello", b"Transfer-Encoding: chunked", target=b"/x")
    answer = serve(echoes, request + b"no\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("ended", [False, True], ids=["stopped", "gone"])
@pytest.mark.slow
def test_a_body_that_never_ends(ended: bool) -> None:
    """A client that stops within a body is disconnected after a while; after a disconnect the page
    ends immediately.
    """
    front = InProcessServer()
    front.context.body_seconds = 60.0 if ended else 0.3

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await echoes(receive, send)

    front.app.pages = app  # type: ignore[assignment]
    half = post(b"half", b"Content-Length: 8", target=b"/x")
    assert front.feed([half], ends=ended) == b""
    assert not front.complaints
    front.close()
