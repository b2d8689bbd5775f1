"""The response of the origin reaches the client byte for byte.

Each recording is answered to a client directly and through pushhub, and the bytes are compared.
"""

import pytest

from tests.origin.scripted import Scripted, Wire, get
from tests.serving import Server

DATE = b"Date: Sun, 22 Nov 2026 19:26:22 GMT\r\n"

# Responses whose every byte stays.
VERBATIM: dict[str, bytes] = {
    "plain": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "names as sent": (
        b"HTTP/1.1 200 OK\r\nSERVER: x\r\n" + DATE + b'eTAG: "a"\r\nX-aBc: 1\r\n'
        b"content-LENGTH: 2\r\n\r\n{}"
    ),
    "no date, no server": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "repeated headers": (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nVary: Accept\r\nSet-Cookie: b=2\r\n"
        b"vary: Cookie\r\nLink: </a>; rel=next\r\nLink: </b>; rel=prev\r\n"
        b"Content-Length: 1\r\n\r\nx"
    ),
    "odd spaces": (
        b"HTTP/1.1 200 OK\r\nX-None:1\r\nX-Two:  2  \r\nX-Tab:\t3\t\r\nX-Empty:\r\n"
        b"Content-Length: 0\r\n\r\n"
    ),
    "bytes that are not UTF-8": (
        b"HTTP/1.1 200 Caf\xe9\r\nX-Name: M\xfcller \xff\x80\r\nContent-Length: 1\r\n\r\n\xff"
    ),
    "control characters": b"HTTP/1.1 200 OK\r\nX-Odd: a\x01b\x7f\x0c\r\nContent-Length: 0\r\n\r\n",
    "another reason": b"HTTP/1.1 200 Everything is fine, thanks!\r\nContent-Length: 0\r\n\r\n",
    "an empty reason": b"HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
    "no reason at all": b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
    "an odd status": b"HTTP/1.1 799 Hm\r\nContent-Length: 0\r\n\r\n",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: //elsewhere/\r\nContent-Length: 0\r\n\r\n",
    "compressed": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n\x1f\x8b\x08\0\0\0"
    ),
    "a compression that lies": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc"
    ),
    "long header": b"HTTP/1.1 200 OK\r\nX-Long: %b\r\nContent-Length: 0\r\n\r\n" % (b"y" * 30_000),
    "many headers": (
        b"HTTP/1.1 200 OK\r\n%bContent-Length: 0\r\n\r\n"
        % b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(500))
    ),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    ),
    "chunked, oddly": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"
        b'00A\r\n0123456789\r\n1;name="value"\r\nx\r\n000\r\n\r\n'
    ),
    "chunked, with trailers": (
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nX-Sum: 97\r\nx-other: M\xfcller\r\n\r\n"
    ),
    "chunked and compressed on the wire": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x8b\r\n0\r\n\r\n"
    ),
    "204": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    "204 with a length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "304": b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n' + DATE + b"\r\n",
    "304 with the length of a 200": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 512\r\n\r\n",
    "early hints": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
        b"HTTP/1.1 102 \r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    ),
    "cors of its own": (
        b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n"
    ),
    "cache headers": (
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nAge: 7\r\nVia: 1.1 cache\r\n"
        b"Warning: 110 x\r\nContent-Length: 0\r\n\r\n"
    ),
}

# Responses that a gateway changes, and what becomes of them (docs/origin.md lists the rules).
CHANGED: dict[str, tuple[bytes, bytes]] = {
    "headers of the connection": (
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\n"
        b"X-Hop: 1\r\nX-Stays: 2\r\nProxy-Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Stays: 2\r\nContent-Length: 0\r\n\r\n",
    ),
    "an offer to upgrade": (
        b"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ),
    "a closing origin": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ),
    "HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\nServer: old\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nServer: old\r\nContent-Length: 1\r\n\r\nx",
    ),
    "a folded header": (
        b"HTTP/1.1 200 OK\r\nX-Long: one\r\n\t two\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: one two\r\nContent-Length: 0\r\n\r\n",
    ),
    "a space before the colon": (
        b"HTTP/1.1 200 OK\r\nX-Odd : 1\r\nContent-Length : 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nX-Odd: 1\r\nContent-Length: 1\r\n\r\nx",
    ),
    "the same length twice": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    ),
}

AFTER = b"HTTP/1.1 200 OK\r\nX-After: yes\r\nContent-Length: 3\r\n\r\nend"


async def exchange(port: int, request: bytes, size: int) -> bytes:
    """The bytes that answer a request, and those that answer another one after it on the same
    connection: so nothing was left over.
    """
    async with await Wire.to(port) as wire:
        wire.send(request)
        answer = await wire.exactly(size)
        wire.send(get("/after"))
        return answer + await wire.exactly(len(AFTER))


@pytest.mark.parametrize("name", VERBATIM)
async def test_a_response_stays_as_it_is(name: str, front: Server, origin: Scripted) -> None:
    recording = VERBATIM[name]
    origin.acts |= {"/golden": recording, "/after": AFTER}
    direct = await exchange(origin.port, get("/golden"), len(recording))
    through = await exchange(front.port, get("/golden"), len(recording))
    assert direct == recording + AFTER
    assert through == direct


@pytest.mark.parametrize("name", CHANGED)
async def test_a_gateway_changes_no_more_than_it_must(
    name: str, front: Server, origin: Scripted
) -> None:
    recording, becomes = CHANGED[name]
    origin.acts |= {"/golden": recording, "/after": AFTER}
    assert await exchange(front.port, get("/golden"), len(becomes)) == becomes + AFTER


@pytest.mark.parametrize(
    "fields", [b"Content-Length: 512\r\n", b"Transfer-Encoding: chunked\r\n", b""]
)
async def test_head_has_no_body(fields: bytes, front: Server, origin: Scripted) -> None:
    recording = b"HTTP/1.1 200 OK\r\n" + fields + b"X-A: 1\r\n\r\n"
    origin.acts |= {"/golden": recording, "/after": AFTER}
    request = get("/golden", method="HEAD")
    assert await exchange(front.port, request, len(recording)) == recording + AFTER


async def test_a_body_without_length_ends_with_the_connection(
    front: Server, origin: Scripted
) -> None:
    head, body = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close\r\n\r\n", b"all of it\n" * 1000
    origin.acts["/golden"] = head + body
    for port in (origin.port, front.port):
        async with await Wire.to(port) as wire:
            wire.send(get("/golden"))
            assert await wire.rest() == head + body


async def test_a_client_that_closes_is_told_that_we_do(front: Server, origin: Scripted) -> None:
    origin.acts["/golden"] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
    async with await Wire.to(front.port) as wire:
        wire.send(get("/golden", "Connection: close"))
        answer = await wire.rest()
    assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"


@pytest.mark.parametrize("keeps", [True, False])
async def test_http_1_0_gets_no_chunks(keeps: bool, front: Server, origin: Scripted) -> None:
    origin.acts["/golden"] = VERBATIM["chunked, with trailers"]
    lines = ["Connection: keep-alive"] if keeps else []
    async with await Wire.to(front.port) as wire:
        wire.send(
            "\r\n".join(["GET /golden HTTP/1.0", "Host: a.localhost", *lines, "", ""]).encode()
        )
        answer = await wire.rest()
    assert answer == b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\na"


async def test_a_poller_cannot_tell(front: Server, origin: Scripted) -> None:
    """What `requests` sends and gets when it polls with an ETag, recorded once from a real server
    (Flask on werkzeug), replayed on one connection."""
    fields = (
        b"Server: Werkzeug/3.1.3 Python/3.11.7\r\n" + DATE + b"Content-Type: application/json\r\n"
    )
    changed = (
        b"HTTP/1.1 200 OK\r\n" + fields + b'Content-Length: 27\r\nETag: "v1"\r\n\r\n'
        b'{"items":[],"version":"v1"}'
    )
    same = (
        b"HTTP/1.1 304 NOT MODIFIED\r\n"
        + fields.replace(b"Content-Type: application/json\r\n", b"")
        + b'ETag: "v1"\r\n\r\n'
    )
    request = (
        "User-Agent: python-requests/2.32.5",
        "Accept-Encoding: gzip, deflate",
        "Accept: */*",
        "Connection: keep-alive",
    )
    heard: dict[int, bytes] = {}
    for port in (origin.port, front.port):
        async with await Wire.to(port) as wire:
            heard[port] = b""
            for answer, condition in [(changed, ()), *[(same, ('If-None-Match: "v1"',))] * 5]:
                origin.acts["/todo"] = answer
                wire.send(get("/todo", *request, *condition))
                heard[port] += await wire.exactly(len(answer))
    assert heard[front.port] == heard[origin.port] == changed + same * 5
    through = origin.calls[-1]
    assert through.lines[:5] == [
        b"Host: api.localhost",
        *(line.encode() for line in request[:3]),
        b'If-None-Match: "v1"',
    ]
