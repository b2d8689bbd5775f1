"""Whatever a request's bytes are, a server that remembers its like answers what one would that
parses every request.
"""

import asyncio
import json
import random
import re
from collections.abc import Iterator
from copy import copy

import pytest

from tests.origin.apis import Api, Asked
from tests.origin.local_front import LocalFront
from tests.origin.scripted import get

KINDS = 100
# For how long an answer may be away until the next request is sent: less, and fewer are recalled.
PAUSE_SECONDS = 0.01

TARGETS = [b"/cached/a", b"/cached/a?b", b"/public/a", b"/tagged/a", b"/cached/\xe9", b"/other"]
ODD_TARGETS = [b"http://h/cached/a", b"http://x/cached/a", b"/cached/../a", b"/cached/%61"]
HOSTS = [b"Host: localhost"] * 5 + [b"host: h", b"Host: localhost", b"Host: localhost", b"Host:h"]
TAGS = [b'If-None-Match: "1"', b'If-None-Match: "2"', b'if-none-match: "1"', b"If-None-Match: *"]
ODD_TAGS = [
    b"If-None-Match: ",
    b"If-None-Match: ,",
    b"If-None-Match: \0",
    b'If-None-Match:"1"',
    b'If-None-Match: "1" ',
    b'If-None-Match: "1"\r\n "2"',
    b'If-None-Match: "1"\nCookie: b',
    b'X: y\nIf-None-Match: "1"',
    b'If-None-Match : "1"',
    b'IF-NONE-MATCH: "1"',
    b'If-None-Match: "2"',
    b"If-None-Match: \xff",
    b"If-None-Match: " + b"y" * 257,
]
LINES = [b"Cookie: a", b"Cookie: b", b"Authorization: a", b"User-Agent: a", b"Origin: http://o"]
LINES += [b"X-Forwarded-Host: localhost", b"X-Forwarded-Proto: https", b"X-Forwarded-For: 9.9.9.9"]
ODD_LINES = [b"Connection: close", b"Connection: cookie", b"Upgrade: websocket", b"Range: bytes=0-"]
ODD_LINES += [
    b"Connection: Upgrade",
    b"Expect: 100-continue",
    b"Content-Length: 0",
    b"Host: localhost",
]
ODD_LINES += [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"", b" folded", b"X: \0"]
LAST = get("/other?last", "Connection: close")


class Echo(Api):
    """Says all that it was asked."""

    def _answer(self, asked: Asked) -> bytes:
        body = json.dumps([asked.method, asked.target, asked.headers], sort_keys=True).encode()
        head = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n' % len(body)
        return head if asked.method == "HEAD" else head + body


class Asking:
    """A kind of request, of which others differ a little."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.method = chance.choice([b"GET"] * 9 + [b"HEAD"])
        self.target = chance.choice(TARGETS)
        self.version = chance.choice([b"1.1"] * 9 + [b"1.0"])
        self.lines = [chance.choice(HOSTS), *chance.sample(LINES, chance.randrange(3))]
        if chance.random() < 0.8:
            self.insert(chance.choice(TAGS))

    def insert(self, line: bytes) -> None:
        self.lines.insert(self.chance.randrange(len(self.lines) + 1), line)

    def vary(self) -> None:
        chance = self.chance
        match chance.randrange(8):
            case 0:
                self.method = chance.choice([b"HEAD", b"get", b"POST", b"OPTIONS"])
            case 1:
                self.target = chance.choice(TARGETS + ODD_TARGETS)
            case 2:
                self.version = chance.choice([b"1.0", b"1.2"])
            case 3:
                self.insert(chance.choice(LINES + ODD_LINES))
            case 4:
                self.insert(chance.choice(TAGS + ODD_TAGS))
            case _:
                kept = [line for line in self.lines if b"one-match" not in line.lower()]
                self.lines = kept
                self.insert(chance.choice(TAGS + ODD_TAGS))

    def series(self) -> Iterator[list[bytes]]:
        """The same until it is remembered, then others of its kind."""
        yield from [[self.raw]] * 3
        for distance in (1, 1, 1, 2, 2):
            like = copy(self)
            like.lines = list(self.lines)
            for _ in range(distance):
                like.vary()
            yield like.pieces()
        yield self.pieces()

    @property
    def raw(self) -> bytes:
        first = b"%b %b HTTP/%b" % (self.method, self.target, self.version)
        return b"\r\n".join([first, *self.lines, b"", b""])

    def pieces(self) -> list[bytes]:
        raw, cut = self.raw, self.chance.randrange(1, len(self.raw))
        odd = [[raw + raw], [raw[:cut], raw[cut:]], [b"\r\n" + raw], [raw[:-2]]]
        odd += [[raw.replace(b"\r\n", b"\n")], [raw + b"more"], [raw[:cut] + b"\0" + raw[cut:]]]
        return self.chance.choice(odd) if self.chance.random() < 0.2 else [raw]


async def told(front: LocalFront, pieces: list[bytes], local: str) -> bytes:
    """All that is answered to a request, and to another on the same connection if it stays."""
    local_addr = (local, 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port, local_addr=local_addr)
    answered = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(PAUSE_SECONDS):
                answered = await reader.read(65536)
        except TimeoutError:
            pass
        writer.write(LAST)
        async with asyncio.timeout(5):
            while piece := await reader.read(65536):
                answered += piece
    except ConnectionError:
        answered += b"<reset>"
    finally:
        writer.transport.abort()
    return re.sub(rb"(?i)\r\ndate: [^\r]*|127\.0\.0\.1:\d+", b"", answered)


@pytest.mark.slow
async def test_who_remembers_answers_as_who_parses() -> None:
    chance = random.Random(1)
    given = {"trusted_proxies": ["127.0.0.2/32"], "cors_origins": ["http://o"]}
    recalled = 0
    async with (
        Echo.running() as api,
        Echo.running() as other,
        LocalFront(origin=api.url, **given) as front,
        LocalFront(origin=other.url, **given) as parsing,
    ):
        parsing.context.shared_request_cache = None
        for _ in range(KINDS):
            kind = Asking(chance)
            for pieces in kind.series():
                local = chance.choice(["127.0.0.1", "127.0.0.1", "127.0.0.2"])
                before = front.parsed
                ours, theirs = await asyncio.gather(
                    told(front, pieces, local), told(parsing, pieces, local)
                )
                assert ours == theirs, pieces
                # The last one is parsed.
                recalled += front.parsed == before + 1
    assert recalled > KINDS
