"""The responses of an application with and without pushhub, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import TYPE_CHECKING

import h11

from tests.apps.application import ALWAYS_UNSTABLE

if TYPE_CHECKING:
    from tests.apps.application import Application
    from tests.apps.stage import Stage

_SECONDS = 30.0
# A status line of HTTP/1.0 becomes one of HTTP/1.1, as docs/origin.md says.
_CHUNKED = re.compile(rb"(?im)^transfer-encoding: chunked")
_STATUS_LINE = re.compile(r"^HTTP/1\.[01]")


async def differences(stage: Stage) -> list[str]:
    """What differs in the responses to the application's `paths`; empty if nothing does."""
    found = []
    for target in stage.application.paths:
        for encoding in ("identity", "gzip"):
            direct = await _ask(stage.place.port, target, encoding)
            through = await _ask(stage.hub.port, target, encoding)
            theirs, ours = _comparable(direct, through, stage.application)
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


def _comparable(direct: bytes, through: bytes, application: Application) -> tuple[str, str]:
    """Both responses as text, without what differs between any two responses."""
    pair = [_decoded(response) for response in (direct, through)]
    masked = [_without(application.unstable, response) for response in pair]
    if masked != pair:
        # With a value its length changes, and the framing with the length.
        masked = [_unframed(response) for response in masked]
    first, second = (_without(ALWAYS_UNSTABLE, response) for response in masked)
    return "\n\n".join(first), "\n\n".join(second)


def _decoded(response: bytes) -> tuple[str, str]:
    """Head and body; gzip that is not chunked is decoded, since Django pads gzip at random."""
    head, end, body = response.partition(b"\r\n\r\n")
    head += end[:2]
    if re.search(rb"(?im)^content-encoding: gzip", head) and not _CHUNKED.search(head):
        body = gzip.decompress(body)
        head = re.sub(rb"(?im)^content-length: .*\r\n", b"", head)
    return _STATUS_LINE.sub("HTTP/1.1", head.decode("latin-1")), body.decode("latin-1")


def _without(masks: tuple[str, ...], response: tuple[str, str]) -> tuple[str, str]:
    head, body = response
    for mask in masks:
        head, body = re.sub(mask, "", head), re.sub(mask, "", body)
    return head, body


def _unframed(response: tuple[str, str]) -> tuple[str, str]:
    """Without length or chunks."""
    head, body = response
    if _CHUNKED.search(head.encode("latin-1")):
        body = re.sub(r"(?i)(^|\r\n)[0-9a-f]+\r\n(\r\n$)?", "", body)
    return re.sub(r"(?im)^(content-length|transfer-encoding): [^\r]*\r\n", "", head), body


def _first_difference(theirs: str, ours: str) -> str:
    """The surroundings of the first byte that differs."""
    at = next(
        (n for n, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), 0
    )
    around = slice(max(0, at - 200), at + 200)
    return f"{theirs[around]!r}\n--- with pushhub:\n{ours[around]!r}"
