"""Requests that are refused by their head, whatever body follows."""

from tests.origin.scripted import Wire, get
from tests.serving import serve


async def test_who_is_refused_by_the_head_is_told_whatever_the_body() -> None:
    refusals = [
        (get("/nowhere", "Content-Length: 3", method="POST") + b"abc", b"404"),
        (get("/nowhere", "Content-Length: 3000000", method="POST") + b"abc", b"404"),
        (get("/nowhere", "Transfer-Encoding: chunked", method="POST"), b"404"),
        (get("/_pushhub/no-page", "Content-Length: 3", method="ODD") + b"abc", b"400"),
    ]
    with serve(routes=[{"path": "/some/*", "target": "http://127.0.0.1:1"}]) as server:
        for raw, status in refusals:
            async with await Wire.to(server.port) as wire:
                wire.send(raw)
                assert (await wire.head()).startswith(b"HTTP/1.1 " + status)
                # What is still sent resets nothing.
                wire.send(b"x" * 100_000)
                assert (await wire.rest()).endswith(b"}")
