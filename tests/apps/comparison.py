"""The responses of an application with and without pushhub, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import TYPE_CHECKING

import h11

if TYPE_CHECKING:
    from tests.apps.stage import Stage

_SECONDS = 30.0
# A status line of HTTP/1.0 becomes one of HTTP/1.1, as docs/origin.md says.
_STATUS_LINE = re.compile(r"^HTTP/1\.[01]")


async def differences(stage: Stage) -> list[str]:
    """What differs in the responses to the application's `paths`; empty if nothing does."""
    found = []
    for target in stage.application.paths:
        for encoding in ("identity", "gzip"):
            direct = await _ask(stage.place.port, target, encoding)
            through = await _ask(stage.hub.port, target, encoding)
            ours = _masked(through, stage.application.masks)
            theirs = _masked(direct, stage.application.masks)
            if ours != theirs:
                found.append(f"{target} ({encoding}):\n{_first_difference(theirs, ours)}")
    return found


async def _ask(port: int, target: str, encoding: str) -> bytes:
    """All bytes of a response, on a connection of its own that may stay open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    parser = h11.Connection(h11.CLIENT)
    fields = {"Host": "localhost", "Accept": "*/*", "Accept-Encoding": encoding}
    request = h11.Request(method="GET", target=target, headers=list(fields.items()))
    head = parser.send(request)
    assert head
    parser.send(h11.EndOfMessage())
    taken = b""
    try:
        writer.write(head)
        async with asyncio.timeout(_SECONDS):
            while True:
                while (event := parser.next_event()) is h11.NEED_DATA:
                    data = await reader.read(65536)
                    taken += data
                    parser.receive_data(data)
                if isinstance(event, h11.EndOfMessage):
                    return taken
                assert not isinstance(event, h11.ConnectionClosed), taken
    finally:
        writer.close()


def _masked(response: bytes, masks: tuple[str, ...]) -> str:
    """The response as text, without what differs between any two responses."""
    head, end, body = response.partition(b"\r\n\r\n")
    head += end[:2]
    if re.search(rb"(?im)^content-encoding: gzip", head) and not re.search(
        rb"(?im)^transfer-", head
    ):
        # Django pads gzip at random.
        body = gzip.decompress(body)
        head = re.sub(rb"(?im)^content-length: .*$", b"", head)
    text, head_text = body.decode("latin-1"), _STATUS_LINE.sub("HTTP/1.1", head.decode("latin-1"))
    for mask in masks:
        head_text = re.sub(mask, "", head_text)
    masked = text
    for mask in masks:
        masked = re.sub(mask, "", masked)
    if masked != text:
        # With a value its length changes, and the lengths of what it is in.
        head_text = re.sub(r"(?im)^content-length: \d+", "", head_text)
        masked = re.sub(r"(?im)^[0-9a-f]+\r\n", "", masked)
    return f"{head_text}\n\n{masked}"


def _first_difference(theirs: str, ours: str) -> str:
    """The surroundings of the first byte that differs."""
    at = next(
        (n for n, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), 0
    )
    around = slice(max(0, at - 200), at + 200)
    return f"{theirs[around]!r}\n--- with pushhub:\n{ours[around]!r}"
