"""The responses of an application with and without pushhub, byte for byte."""

from __future__ import annotations

import asyncio
import gzip
import re
from typing import TYPE_CHECKING

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
                found.append(f"{target} ({encoding}):\n{theirs[:1500]}\n--- with pushhub:\n{ours[:1500]}")
    return found


async def _ask(port: int, target: str, encoding: str) -> bytes:
    """All bytes of a response, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        request = (
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
            f"Accept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
        )
        writer.write(request.encode())
        async with asyncio.timeout(_SECONDS):
            return await reader.read()
    finally:
        writer.close()


def _masked(response: bytes, masks: tuple[str, ...]) -> str:
    """The response as text, without what differs between any two responses."""
    head, _, body = response.partition(b"\r\n\r\n")
    if re.search(rb"(?im)^content-encoding: gzip", head) and not re.search(rb"(?im)^transfer-", head):
        # Django pads gzip at random.
        body = gzip.decompress(body)
        head = re.sub(rb"(?im)^content-length: .*$", b"", head)
    text = _STATUS_LINE.sub("HTTP/1.1", (head + b"\r\n\r\n" + body).decode("latin-1"))
    for mask in masks:
        text = re.sub(mask, "", text)
    return text
