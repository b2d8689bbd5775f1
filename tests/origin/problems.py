"""Problem responses of a front, read as bytes."""

import json
import re

from tests.origin.scripted import Wire, get

PAGE = "http://localhost:3000"


async def refused(port: int, request: bytes, seconds: float = 10) -> tuple[int, str]:
    """The status and problem of an answer; a page of another origin can read it."""
    async with await Wire.to(port) as wire:
        wire.send(request)
        head = (await wire.head(seconds)).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        body = json.loads(await wire.exactly(length))
        # The page itself, or in development any loopback origin.
        assert re.search(rf"\naccess-control-allow-origin: (?:{PAGE}|\*)\r\n".encode(), head)
        assert body["detail"]
        # The connection is as good as before.
        wire.send(get("/_pushhub/livez"))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
    return int(head.split()[1]), body["type"].rpartition(":")[2]


def from_page(path: str) -> bytes:
    return get(path, f"Origin: {PAGE}")
