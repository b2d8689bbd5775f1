"""What the origin is asked: every method and target as sent, who the client is, and exactly one
request for each one.
"""

import asyncio
import re

import pytest

from tests.origin.scripted import Call, Scripted, Wire, get
from tests.serving import Server, serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# What pushhub adds for GRIP, where the route's step is that.
OURS = (b"grip-feature", b"grip-sig")


async def through(server: Server, origin: Scripted, request: bytes) -> Call:
    """Send a request, and return what the origin got."""
    before = len(origin.calls)
    async with await Wire.to(server.port) as wire:
        wire.send(request)
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
    assert len(origin.calls) == before + 1
    return origin.calls[-1]


def own(call: Call) -> list[bytes]:
    """Its header lines, without those of GRIP."""
    return [line for line in call.lines if line.partition(b":")[0].lower() not in OURS]


@pytest.mark.parametrize(
    "method",
    [
        "DELETE",
        "PUT",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "COPY",
        "LOCK",
        "MKCOL",
        "MOVE",
        "PROPFIND",
        "PROPPATCH",
        "SEARCH",
        "UNLOCK",
        "BIND",
        "ACL",
        "REPORT",
        "MKACTIVITY",
        "CHECKOUT",
        "MERGE",
        "M-SEARCH",
        "NOTIFY",
        "SUBSCRIBE",
        "PURGE",
        "MKCALENDAR",
        "LINK",
        "QUERY",
        "BREW",
        "get",
    ],
)
async def test_every_method_passes(method: str, front: Server, origin: Scripted) -> None:
    call = await through(front, origin, get("/m", method=method))
    assert call.line == f"{method} /m HTTP/1.1"


@pytest.mark.parametrize("method", ["CONNECT", "PRI"])
async def test_what_is_no_request_for_a_resource_does_not(
    method: str, front: Server, origin: Scripted
) -> None:
    async with await Wire.to(front.port) as wire:
        wire.send(get("/m", method=method))
        assert (await wire.head()).startswith(b"HTTP/1.1 501 ")
    assert not origin.calls


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/a/../b/./c//d",
        "//evil.example/x",
        "/\\evil.example",
        "/@evil.example",
        "/%2e%2e/%00%zz%",
        "/a?b=c&&=?/?x",
        "/?",
        "/a;b=c?x=//y@z",
        "/http://evil.example/",
        "/_pushhub",
        "/_pushhubx/livez",
        "/x/_pushhub/livez",
        "/%5fpushhub/livez",
        "/caf\xe9\xff?\xc3\xa4",
        '/{x}|"<>^`',
    ],
)
async def test_a_target_is_passed_as_it_is(target: str, front: Server, origin: Scripted) -> None:
    call = await through(front, origin, get(target))
    wanted = target.removesuffix("?") if target.endswith("/?") else target
    assert call.line == f"GET {wanted} HTTP/1.1"
    assert call.all("host") == [b"api.localhost"]


async def test_a_whole_url_names_the_host(front: Server, origin: Scripted) -> None:
    call = await through(front, origin, get("http://other.localhost:81/a?b"))
    assert call.line == "GET /a?b HTTP/1.1"
    assert call.all("host") == [b"other.localhost:81"]
    assert call.all("x-forwarded-host") == [b"other.localhost:81"]


async def test_options_of_the_server_as_a_whole(front: Server, origin: Scripted) -> None:
    call = await through(front, origin, get("*", method="OPTIONS"))
    assert call.line == "OPTIONS * HTTP/1.1"


@pytest.mark.parametrize(
    "target",
    ["@evil.example/", "evil.example:80", "http://a@b/", "http:///x", "file:///x", "*", ""],
)
async def test_no_target_leads_elsewhere(target: str, front: Server, origin: Scripted) -> None:
    async with await Wire.to(front.port) as wire:
        wire.send(get(target))
        assert (await wire.head()).startswith(b"HTTP/1.1 400 ")
    assert not origin.calls


@pytest.mark.parametrize("host", ["", "a b", "evil.example/x", "a@b", "a\\b", "[::1", "\xe9"])
async def test_a_host_is_a_host_or_empty(host: str, front: Server, origin: Scripted) -> None:
    async with await Wire.to(front.port) as wire:
        wire.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
        status = (await wire.head()).split()[1]
    assert (status, len(origin.calls)) == ((b"400", 0) if host else (b"200", 1))


async def test_headers_pass_as_they_are(front: Server, origin: Scripted) -> None:
    lines = [
        "uSeR-aGeNt: x",
        "Cookie: a=1",
        "Accept: text/html",
        "Cookie: b=2",
        "accept: */*",
        "X-Bytes: M\xfcller \xff",
        "X-Empty:",
        "Authorization: Basic YTpi",
        "Via: 1.1 proxy",
        "Max-Forwards: 5",
        "Upgrade-Insecure-Requests: 1",
    ]
    call = await through(front, origin, get("/h", *lines))
    assert own(call)[1 : 1 + len(lines)] == [
        line.encode("latin-1") + (b" " if line.endswith(":") else b"") for line in lines
    ]


async def test_headers_of_the_connection_stay_with_it(front: Server, origin: Scripted) -> None:
    hop = [
        "Connection: keep-alive, X-Hop, Host, Content-Length",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "X-Hop: 1",
        "Upgrade: h2c",
        "TE: gzip",
    ]
    call = await through(front, origin, get("/h", *hop, "X-End: 1"))
    names = [line.partition(b":")[0].lower() for line in own(call)]
    assert names == [
        *(b"host", b"x-end", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    ]


async def test_who_wants_trailers_gets_them(front: Server, origin: Scripted) -> None:
    call = await through(front, origin, get("/h", "TE: trailers, gzip;q=0.5", "Connection: TE"))
    assert (call.all("te"), call.all("connection")) == ([b"trailers"], [b"TE"])


@pytest.mark.parametrize("trusted", [False, True])
async def test_the_client_is_named(origin: Scripted, trusted: bool) -> None:
    """Whoever is no proxy of ours cannot say what its client asked for."""
    url = f"http://127.0.0.1:{origin.port}"
    proxies = ["127.0.0.1"] if trusted else ["192.0.2.0/24"]
    with serve(origin=url, trusted_proxies=proxies) as front:
        await the_client_is_named(front, origin, trusted=trusted)


async def the_client_is_named(front: Server, origin: Scripted, *, trusted: bool) -> None:
    spoofed = [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Proto: https",
        "x-forwarded-for: 10.0.0.1, 10.0.0.2",
        "X-Forwarded-Host: evil.example",
    ]
    call = await through(front, origin, get("/h", *spoofed))
    before = b"203.0.113.9, 10.0.0.1, 10.0.0.2, " if trusted else b""
    assert call.all("x-forwarded-for") == [before + b"127.0.0.1"]
    assert call.all("x-forwarded-proto") == [b"https" if trusted else b"http"]
    assert call.all("x-forwarded-host") == [b"evil.example" if trusted else b"api.localhost"]


# What frameworks and servers read of a proxy that they trust.
STATEMENTS = [
    *("Forwarded", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-User"),
    *("X-Real-IP", "x-real-ip", "Client-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"),
    *("Fastly-Client-IP", "X-Cluster-Client-IP", "X-Forwarded-Ssl", "Front-End-Https"),
]


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("manner", ["x-forwarded", "forwarded", "both", "none"])
async def test_only_a_trusted_proxy_states_who_the_client_is(
    origin: Scripted, manner: str, trusted: bool
) -> None:
    proxies = ["127.0.0.1"] if trusted else ["192.0.2.0/24"]
    url = f"http://127.0.0.1:{origin.port}"
    lines = ["X-Own: spoofed-x-own", *(f"{name}: spoofed-{name.lower()}" for name in STATEMENTS)]
    believed = trusted or manner == "none"
    expected = {name.lower().encode() for name in ["X-Own", *(STATEMENTS if believed else [])]}
    with serve(origin=url, trusted_proxies=proxies, forwarded=manner) as front:
        for upgrade in ([], ["Connection: Upgrade", "Upgrade: websocket"]):
            call = await through(front, origin, get("/h", *upgrade, *lines))
            passed = re.findall(rb"spoofed-([a-z-]+)", b"\n".join(call.lines))
            assert set(passed) == expected
            if manner in ("x-forwarded", "both"):
                (addresses,) = call.all("x-forwarded-for")
                assert addresses.endswith(b"127.0.0.1")
        logged = str(front.output)
    assert ("origin.forwarding_removed" in logged) is not believed


@pytest.mark.parametrize("manner", ["x-forwarded", "forwarded", "both", "none"])
async def test_no_other_spelling_of_a_proxys_header_passes(manner: str, origin: Scripted) -> None:
    """WSGI servers read `_` as `-`, so an application would take the client's value for ours."""
    spoofed = [
        *("X_Forwarded_For", "x-forwarded_proto", "X_Forwarded-Host", "X_Real_IP", "Grip_Sig"),
        *("Content_Length", "Transfer_Encoding", "Keep_Alive", "Proxy_Connection", "X_Hop"),
        *("X_Pushhub_Subject", "CF_Connecting_IP", "X_Amzn_Oidc_Data", "True_Client_IP"),
        *(name.replace("-", "_") for name in STATEMENTS if "-" in name),
    ]
    with serve(origin=f"http://127.0.0.1:{origin.port}", forwarded=manner) as server:
        lines = [f"{name}: 6" for name in spoofed]
        call = await through(
            server, origin, get("/h", "Connection: X-Hop", *lines, "X_Own: 1", "X_Hopped: 1")
        )
    names = {line.partition(b":")[0] for line in call.lines}
    assert {name for name in names if b"_" in name} == {b"X_Own", b"X_Hopped"}


@pytest.mark.parametrize("manner", ["forwarded", "both", "none"])
async def test_the_client_is_named_as_the_settings_say(manner: str, origin: Scripted) -> None:
    with serve(origin=f"http://127.0.0.1:{origin.port}", forwarded=manner) as server:
        sent = ["Forwarded: for=10.0.0.1", "X-Forwarded-For: 10.0.0.2"]
        call = await through(server, origin, get("/h", *sent))
    ours = b'for=127.0.0.1;host="api.localhost";proto=http'
    assert call.all("forwarded") == [
        b"for=10.0.0.1" if manner == "none" else b"for=10.0.0.1, " + ours
    ]
    extra = b", 127.0.0.1" if manner == "both" else b""
    assert call.all("x-forwarded-for") == [b"10.0.0.2" + extra]


async def test_an_old_client_need_not_name_a_host(front: Server, origin: Scripted) -> None:
    call = await through(front, origin, b"GET /old HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")
    assert call.line == "GET /old HTTP/1.1"
    assert call.all("host") == [f"127.0.0.1:{origin.port}".encode()]
    assert not call.all("expect")


async def test_it_is_the_origin_that_says_continue(front: Server, origin: Scripted) -> None:
    async def act(call: Call) -> None:
        assert call.all("expect") == [b"100-continue"]
        await call.send(b"HTTP/1.1 100 Go On\r\nX-A: 1\r\n\r\n")
        assert await call.body() == b"hello"
        await call.send(OK)

    origin.acts["/up"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/up", "Expect: 100-continue", "Content-Length: 5", method="PUT"))
        assert await wire.head() == b"HTTP/1.1 100 Go On\r\nX-A: 1\r\n\r\n"
        wire.send(b"hello")
        assert await wire.exactly(len(OK)) == OK


async def test_an_origin_refuses_a_body_unseen(front: Server, origin: Scripted) -> None:
    refusal = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"

    async def act(call: Call) -> None:
        await call.send(refusal)
        assert await call.reader.read() == b""

    origin.acts["/up"] = act
    async with await Wire.to(front.port) as wire:
        wire.send(get("/up", "Expect: 100-continue", "Content-Length: 5", method="PUT"))
        assert (await wire.rest()).startswith(refusal[:-2])


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_passes(chunked: bool, passing: Server, origin: Scripted) -> None:
    got: list[bytes] = []

    async def act(call: Call) -> None:
        got.append(await call.body())
        await call.send(OK)

    origin.acts["/up"] = act
    body = bytes(range(256)) * 1000
    async with await Wire.to(passing.port) as wire:
        if chunked:
            wire.send(get("/up", "Transfer-Encoding: chunked", method="POST"))
            for at in range(0, len(body), 10_000):
                piece = body[at : at + 10_000]
                wire.send(b"%X;x=y\r\n%b\r\n" % (len(piece), piece))
            wire.send(b"0\r\nX-Trailer: 1\r\n\r\n")
        else:
            wire.send(get("/up", f"Content-Length: {len(body)}", method="POST") + body)
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
    assert got == [body]
    call = origin.calls[-1]
    if chunked:
        assert (call.all("transfer-encoding"), call.all("content-length")) == ([b"chunked"], [])
    else:
        assert call.all("content-length") == [b"%d" % len(body)]


@pytest.mark.parametrize("length", ["Content-Length: 0", "Transfer-Encoding: chunked"])
async def test_an_empty_body_is_one(length: str, front: Server, origin: Scripted) -> None:
    end = b"0\r\n\r\n" if "chunked" in length else b""
    call = await through(front, origin, get("/up", length, method="POST") + end)
    assert length.encode() in call.lines


# -- one request is one request ------------------------------------------------

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(
            get("/a", "Content-Length: 4", "Transfer-Encoding: chunked", method="POST")
            + b"0\r\n\r\n"
            + SMUGGLED,
            id="CL.TE",
        ),
        pytest.param(
            get("/a", "Transfer-Encoding: chunked", "Content-Length: 4", method="POST")
            + b"5c\r\n"
            + SMUGGLED
            + b"0\r\n\r\n",
            id="TE.CL",
        ),
        *(
            pytest.param(get("/a", line, method="POST") + b"0\r\n\r\n" + SMUGGLED, id=line)
            for line in (
                "Transfer-Encoding: xchunked",
                "Transfer-Encoding: chunked, identity",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
                "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
                "Transfer-Encoding : chunked",
                "Transfer-Encoding: \x0bchunked",
                "Transfer-Encoding:\r\n chunked",
                "X: y\nTransfer-Encoding: chunked",
                "X: y\rTransfer-Encoding: chunked",
                "Content-Length: 5\r\nContent-Length: 0",
                "Content-Length: 5, 5",
                "Content-Length: +5",
                "Content-Length: 5 5",
                "Content-Length: 0x5",
                "Content-Length : 5",
                "Content-Length: 99999999999999999999",
                "Content_Length: 5\r\nContent-Length:\t5x",
                " Content-Length: 5",
                "X: y\r\n z",
                "No colon",
                ": no name",
                "Na me: x",
                "N\xe4me: x",
                "X: a\0b",
                "Host: localhost",
            )
        ),
        pytest.param(b"GET /a HTTP/1.1\nHost: localhost\n\n" + SMUGGLED, id="bare LF"),
        pytest.param(b"GET /a HTTP/1.1\r\nHost: localhost\n\r\n" + SMUGGLED, id="one bare LF"),
        pytest.param(b"GET /a  HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED, id="two spaces"),
        pytest.param(b"GET /a\tHTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED, id="a tab"),
        pytest.param(
            b"GET /a HTTP/1.1 \r\nHost: localhost\r\n\r\n" + SMUGGLED, id="after the version"
        ),
        pytest.param(b"GET /a HTTP/2.0\r\nHost: localhost\r\n\r\n" + SMUGGLED, id="HTTP/2.0"),
        pytest.param(b"GET /a\r\n\r\n" + SMUGGLED, id="HTTP/0.9"),
        pytest.param(b"GET /a HTTP/1.1\r\n\r\n" + SMUGGLED, id="no host"),
    ],
)
async def test_what_is_read_in_two_ways_is_refused(
    attack: bytes, front: Server, origin: Scripted
) -> None:
    async with await Wire.to(front.port) as wire:
        wire.send(attack)
        answer = await wire.rest()
    assert answer.split()[1] in (b"400", b"501"), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert not origin.calls


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5 \n\r\nhello\r\n0\r\n\r\n",
        b"05x\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"0\r\nNo colon\r\n\r\n",
    ],
)
async def test_chunks_that_are_none_are_no_second_request(
    body: bytes, front: Server, origin: Scripted
) -> None:
    async with await Wire.to(front.port) as wire:
        wire.send(get("/a", "Transfer-Encoding: chunked", method="POST") + body + SMUGGLED)
        answer = await wire.rest()
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert not [call for call in origin.calls if "smuggled" in call.line]
    # Whatever the origin got is never complete.
    for call in origin.calls:
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
            async with asyncio.timeout(5):
                await call.body()


async def test_a_body_is_not_a_request(front: Server, origin: Scripted) -> None:
    """What one parser took for a body, and another might take for a request, is a body."""
    origin.acts["/a"] = OK
    async with await Wire.to(front.port) as wire:
        wire.send(get("/a", f"Content-Length: {len(SMUGGLED)}", method="GET") + SMUGGLED)
        assert await wire.exactly(len(OK)) == OK
        wire.send(get("/b"))
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
    assert [call.target for call in origin.calls] == ["/a", "/b"]


async def test_requests_that_are_sent_ahead_are_answered_in_order(
    front: Server, origin: Scripted
) -> None:
    """Passages, pages and endpoints on one connection, all sent at once."""
    for n in range(20):
        origin.acts[f"/{n}"] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n%03d" % n
    async with await Wire.to(front.port) as wire:
        wire.send(
            b"".join(
                get(f"/{n}")
                + get("/_pushhub/livez")
                + get(f"/{n}", "Content-Length: 2", method="POST")
                + b"ab"
                for n in range(20)
            )
        )
        for n in range(20):
            for _ in range(2):
                assert await wire.head() == b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
                assert await wire.exactly(3) == b"%03d" % n
                if not _:
                    assert b"content-length: 13" in await wire.head()
                    assert await wire.exactly(13) == b'{"live":true}'
    assert origin.connections <= 2


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "trace"])
async def test_a_request_that_is_echoed_has_no_signature(method: str, origin: Scripted) -> None:
    with serve(
        origin=f"http://127.0.0.1:{origin.port}", grip_key="0123456789abcdef0123456789abcdef"
    ) as server:
        signed = [
            await through(server, origin, f"{sent} /a HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            for sent in ("GET", method)
        ]
    assert [len(call.all("grip-sig")) for call in signed] == [1, 0]
