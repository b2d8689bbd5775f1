"""BOSH as HTTP sees it: methods, headers, codings, and clients that go. What is in the bodies is in
tests/bosh.
"""

import asyncio
import base64
import gzip
import hashlib
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pushhub.api.bosh import MAX_BODY_BYTES, bind
from pushhub.api.bosh_handler import BoshHandler, BoshHold
from pushhub.app import App
from pushhub.bosh.body import EMPTY, HTTPBIND, BoshBody
from pushhub.bosh.sessions import PendingRequest
from pushhub.http.request import Request
from pushhub.log.grant import Grant
from pushhub.settings import Settings
from pushhub.xml import MAX_BYTES
from tests.serving import Server, serve
from tests.wire import Response

BOSH = "/http-bind"
SLASH = "/http-bind/"
XML = "text/xml; charset=utf-8"
NOTHING = Grant()
MECHANISM = "urn:ietf:params:xml:ns:xmpp-sasl"


@pytest.fixture(scope="module", params=["front", "asgi"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(request.param) as running:
        yield running


def creation(**attributes: str) -> bytes:
    named = {"to": "localhost", "ver": "1.6", "wait": "60", "hold": "1", **attributes}
    text = "".join(f" {name}='{value}'" for name, value in named.items())
    return f"<body xmlns='{HTTPBIND}' rid='100'{text}/>".encode()


def poll(sid: str, rid: int, payload: str = "", **attributes: str) -> bytes:
    text = "".join(f" {name}='{value}'" for name, value in attributes.items())
    return f"<body xmlns='{HTTPBIND}' rid='{rid}' sid='{sid}'{text}>{payload}</body>".encode()


def sid_of(response: Response) -> str:
    return response.body.decode().partition(" sid='")[2].partition("'")[0]


async def opened(server: Server, **attributes: str) -> str:
    answer = await server.ask("POST", BOSH, {}, creation(**attributes))
    assert answer.status == 200, answer
    return sid_of(answer)


# -- methods and headers -------------------------------------------------------


async def test_a_session_begins(server: Server) -> None:
    answer = await server.ask("POST", BOSH, {"content-type": XML}, creation())
    assert answer.status == 200
    assert answer.headers["content-type"] == XML
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert len(sid_of(answer)) >= 22


async def test_sessions_are_counted() -> None:
    with serve() as server:
        sid = await opened(server)
        await opened(server)
        assert await server.metric("pushhub_bosh_sessions") == 2
        await server.ask("POST", BOSH, {}, poll(sid, 101, type="terminate"))
        assert await server.metric("pushhub_bosh_sessions") == 1


async def test_a_sid_is_never_the_same(server: Server) -> None:
    assert len({await opened(server) for _ in range(50)}) == 50


@pytest.mark.parametrize("content", ["text/plain", "application/x-www-form-urlencoded", "???"])
async def test_the_content_type_of_a_request_does_not_matter(server: Server, content: str) -> None:
    headers = {"content-type": content, "x-unknown": "1", "cookie": "a=b"}
    answer = await server.ask("POST", BOSH, headers, creation())
    assert sid_of(answer)


async def test_a_browser_gets_a_page(server: Server) -> None:
    answer = await server.get(BOSH)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert b"BOSH" in answer.body


async def test_script_syntax_is_not_there(server: Server) -> None:
    answer = await server.get(BOSH + "?%3Cbody%20rid='1'/%3E")
    assert answer.status == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused(server: Server, method: str) -> None:
    answer = await server.ask(method, BOSH)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST, GET, HEAD"


async def test_a_preflight_allows_what_clients_send(server: Server) -> None:
    asked = {
        "origin": "https://chat.localhost",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    answer = await server.ask("OPTIONS", BOSH, asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Content-Type" in answer.headers["access-control-allow-headers"]
    assert int(answer.headers["access-control-max-age"]) > 0


@pytest.mark.parametrize("raw", [creation(), b"", b"<a", poll("nobody", 1)])
async def test_every_answer_may_be_read_by_other_origins(server: Server, raw: bytes) -> None:
    answer = await server.ask("POST", BOSH, {"origin": "https://chat.localhost"}, raw)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_final_slash_makes_no_difference(server: Server) -> None:
    for method, raw in (("POST", creation()), ("GET", b""), ("HEAD", b""), ("OPTIONS", b"")):
        fields = {"origin": "https://chat.localhost"}
        plain = await server.ask(method, BOSH, fields, raw)
        slashed = await server.ask(method, SLASH, fields, raw)
        assert slashed.status == plain.status == (204 if method == "OPTIONS" else 200)
        assert slashed.headers.keys() == plain.headers.keys()
        assert method == "POST" or slashed.body == plain.body
    sid = await opened(server)
    auth = f"<auth xmlns='{MECHANISM}' mechanism='ANONYMOUS'/>"
    assert b"<success" in (await server.ask("POST", SLASH, {}, poll(sid, 101, auth))).body


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_a_final_slash_makes_no_difference_in_front_of_an_origin(driver: str) -> None:
    # Nobody listens at the origin: what is passed on is answered 502.
    with serve(driver, origin="http://127.0.0.1:9") as server:
        for path in ("/_pushhub/http-bind", "/_pushhub/http-bind/"):
            assert sid_of(await server.ask("POST", path, {}, creation())), path
        answer = await server.ask("POST", "/http-bind/", {}, creation())
        assert answer.status == 502  # It is the origin's.


async def test_a_login_may_begin_without_an_initial_response(server: Server) -> None:
    sid = await opened(server)
    auth = f"<auth xmlns='{MECHANISM}' mechanism='PLAIN'/>"
    assert b"<challenge" in (await server.ask("POST", BOSH, {}, poll(sid, 101, auth))).body
    data = base64.b64encode(b"\0nobody\0secret").decode()
    said = f"<response xmlns='{MECHANISM}'>{data}</response>"
    assert b"not-authorized" in (await server.ask("POST", BOSH, {}, poll(sid, 102, said))).body


async def test_http_1_0_is_served(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    raw = creation()
    writer.write(b"POST /http-bind HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(raw), raw))
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert b" 200 OK\r\n" in answer
    assert answer.endswith(b"</body>")


async def test_a_chunked_request_is_read_and_its_answer_has_a_length(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    raw = creation()
    head = b"POST /http-bind HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in raw)
    writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert b"content-length: " in answer.lower()
    assert b" sid=" in answer


async def test_the_content_type_is_the_client_s(server: Server) -> None:
    answer = await server.ask("POST", BOSH, {}, creation(content="text/plain; charset=utf-8"))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    ended = await server.ask("POST", BOSH, {}, poll(sid_of(answer), 101, type="terminate"))
    assert ended.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("content", ["text/xml&#13;&#10;Set-Cookie: a=b", "text/xml&#10;x: y"])
async def test_no_header_is_made_of_a_content_attribute(server: Server, content: str) -> None:
    answer = await server.ask("POST", BOSH, {}, creation(content=content))
    assert b"condition='bad-request'" in answer.body
    assert answer.headers["content-type"] == XML
    assert not {"set-cookie", "x"} & answer.headers.keys()


# -- sizes and codings ---------------------------------------------------------


async def test_a_large_body_is_refused_before_it_is_read(server: Server) -> None:
    async with await server.connect() as client:
        client.writer.write(
            b"POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\n<body"
        )
        async with asyncio.timeout(10):
            line = await client.reader.readline()
    assert b" 413 " in line


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_compressed_request_is_read(server: Server, coding: str) -> None:
    packed = gzip.compress(creation()) if coding == "gzip" else zlib.compress(creation())
    answer = await server.ask("POST", BOSH, {"content-encoding": coding}, packed)
    assert b" accept='deflate,gzip'" in answer.body


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", creation()),
        ("br", b"\x0b\x02\x80" + creation()),
        ("gzip", gzip.compress(creation())[:-9]),
        ("gzip", gzip.compress(b" " * 100_000_000)),
    ],
    ids=["no gzip", "unknown", "cut off", "bomb"],
)
async def test_what_cannot_be_unpacked_is_a_bad_request(
    server: Server, coding: str, packed: bytes
) -> None:
    answer = await server.ask("POST", BOSH, {"content-encoding": coding}, packed)
    assert b"condition='bad-request'" in answer.body


@pytest.mark.parametrize(
    "coding",
    ["text/xml; charset=utf-8", "br", "utf-8", "identity", "", "identity, text/xml"],
    ids=["libpurple", "br", "charset", "identity", "empty", "list"],
)
async def test_an_unknown_coding_of_a_plain_body_is_ignored(server: Server, coding: str) -> None:
    answer = await server.ask("POST", BOSH, {"content-encoding": coding}, creation())
    assert sid_of(answer), answer.body


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("br", False), ("gzip;q=0", False), ("", False)],
)
async def test_a_large_answer_is_compressed_for_who_can_read_it(
    server: Server, accepted: str, packed: bool
) -> None:
    sid = await opened(server)
    auth = f"<auth xmlns='{MECHANISM}' mechanism='ANONYMOUS'/>"
    await server.ask("POST", BOSH, {}, poll(sid, 101, auth))
    await server.ask(
        "POST", BOSH, {}, poll(sid, 102, **{"xmlns:x": "urn:xmpp:xbosh", "x:restart": "1"})
    )
    bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
    bind = f"<iq xmlns='jabber:client' type='set' id='b'>{bind}</iq>"
    await server.ask("POST", BOSH, {}, poll(sid, 103, bind))
    info = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    iq = "".join(
        f"<iq xmlns='jabber:client' type='get' id='{number}' to='localhost'>{info}</iq>"
        for number in range(10)
    )
    answer = await server.ask("POST", BOSH, {"accept-encoding": accepted}, poll(sid, 104, iq))
    if packed:
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(answer.body).startswith(b"<body")
    else:
        assert "content-encoding" not in answer.headers
        assert answer.body.startswith(b"<body")


# -- mistakes of ours ----------------------------------------------------------


class Broken:
    """Sessions that make a mistake, before or after their answer."""

    def __init__(self, answers: bool) -> None:
        self.answers = answers
        self.left: list[PendingRequest] = []

    def create(self, body: BoshBody, raw: bytes, request: PendingRequest) -> None:
        if self.answers:
            request.respond(b"<body/>", 200, XML)
        raise RuntimeError("a mistake")

    request = create

    def disconnected(self, request: PendingRequest) -> None:
        self.left.append(request)


def broken(answers: bool) -> tuple[Broken, App]:
    sessions, app = Broken(answers), App(Settings(dev=True, store="memory://"))
    app.service.bosh = BoshHandler(app.service.hub, sessions)
    return sessions, app


def test_after_a_mistake_nobody_waits_for_the_answer() -> None:
    sessions, app = broken(answers=False)
    request = Request("POST", BOSH, body=creation())
    with pytest.raises(RuntimeError):
        bind(app.service, request, NOTHING)
    (left,) = sessions.left
    assert isinstance(left, BoshHold)
    assert left.done


def test_after_a_mistake_an_answer_is_still_given() -> None:
    sessions, app = broken(answers=True)
    hold = bind(app.service, Request("POST", BOSH, body=creation()), NOTHING)
    assert isinstance(hold, BoshHold)
    assert hold.reply is not None
    assert not sessions.left


# -- clients that go -----------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "half"])
async def test_a_client_that_hangs_up_gives_its_request_back(server: Server, how: str) -> None:
    sid = await opened(server)
    client = await server.connect()
    client.send("POST", BOSH, {}, poll(sid, 101))
    await server.get("/livez")
    if how == "half":
        client.writer.write_eof()
    else:
        await client.leave()
    await server.get("/livez")
    await server.get("/livez")
    # The oldest request that is held is told of the end: this one, if no other is.
    ended = await server.ask("POST", BOSH, {}, poll(sid, 102, type="terminate"))
    assert b"type='terminate'" in ended.body
    if how == "half":
        await client.leave()


def test_a_body_has_the_limit_of_the_parser() -> None:
    assert MAX_BODY_BYTES == MAX_BYTES


async def test_no_domain_no_sessions() -> None:
    key = {"name": "all", "sha256": hashlib.sha256(b"x").hexdigest(), "publish": ["*"]}
    with serve(dev=False, api_keys=[key]) as server:
        for method in ("GET", "POST"):
            answer = await server.ask(method, BOSH)
            assert answer.status == 404, answer


# -- limits that operators set -------------------------------------------------


async def attributes(server: Server, **asked: str) -> dict[str, str]:
    """The attributes of a creation response."""
    answer = await server.ask("POST", BOSH, {}, creation(**asked))
    head = answer.body.decode().partition(">")[0]
    return dict(re.findall(r" (\w+)='([^']*)'", head))


async def test_limits_are_settings() -> None:
    with serve(max_wait=20, bosh_inactivity=1, bosh_maxpause=5, bosh_polling=7) as server:
        told = await attributes(server)
        assert (told["wait"], told["inactivity"], told["maxpause"]) == ("20", "1", "5")
        polls = await attributes(server, wait="0")
        assert (polls["polling"], polls["inactivity"]) == ("7", "16")
        # What is told is kept to.
        assert (await server.ask("POST", BOSH, {}, poll(polls["sid"], 101))).body == EMPTY
        answer = await server.ask("POST", BOSH, {}, poll(polls["sid"], 102))
        assert b"condition='policy-violation'" in answer.body
        paused = await opened(server)
        answer = await server.ask("POST", BOSH, {}, poll(paused, 101, pause="6"))
        assert b"condition='policy-violation'" in answer.body
        # Whoever looks at a session keeps it alive.
        await asyncio.sleep(1.3)
        answer = await server.ask("POST", BOSH, {}, poll(told["sid"], 101))
        assert b"condition='item-not-found'" in answer.body


async def test_pauses_and_paces_may_be_left_out() -> None:
    with serve(bosh_maxpause=0, bosh_polling=0) as server:
        told = await attributes(server, wait="0")
        assert not {"maxpause", "polling"} & told.keys()
        for rid in range(101, 110):
            answer = await server.ask("POST", BOSH, {}, poll(told["sid"], rid))
            assert answer.body == EMPTY


LATE = b"condition='remote-stream-error'"
WHY = b"<connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"


async def test_a_login_has_a_time_limit() -> None:
    """A client that polls, one that waits, and one that pauses; but not who has logged in."""
    with serve(xmpp_login_seconds=3, bosh_polling=0) as server:
        known = await opened(server)
        auth = f"<auth xmlns='{MECHANISM}' mechanism='ANONYMOUS'/>"
        await server.ask("POST", BOSH, {}, poll(known, 101, auth))
        bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
        bind = f"<iq xmlns='jabber:client' type='set' id='b'>{bind}</iq>"
        assert b"<jid>" in (await server.ask("POST", BOSH, {}, poll(known, 102, bind))).body
        polls, waits, pauses = [await opened(server, wait=wait) for wait in ("0", "60", "60")]
        half = await opened(server)
        await server.ask("POST", BOSH, {}, poll(half, 101, auth))
        await server.ask("POST", BOSH, {}, poll(pauses, 101, pause="60"))
        begun = time.monotonic()
        held = asyncio.create_task(server.ask("POST", BOSH, {}, poll(waits, 101)))
        rid = 101
        while (answer := await server.ask("POST", BOSH, {}, poll(polls, rid))).body == EMPTY:
            rid += 1
            assert time.monotonic() - begun < 20, "it polls for ever"
        for told in (
            answer,
            await held,
            await server.ask("POST", BOSH, {}, poll(half, 102)),
            await server.ask("POST", BOSH, {}, poll(pauses, 102)),
        ):
            assert LATE in told.body, told
            assert WHY in told.body, told
        ping = "<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
        assert b"type='result'" in (await server.ask("POST", BOSH, {}, poll(known, 103, ping))).body
        again = await server.ask("POST", BOSH, {}, poll(polls, rid + 1))
        assert b"condition='item-not-found'" in again.body


# -- refusals in front of a session --------------------------------------------
#
# Strophe.js ends its session at a 4xx, and sends the same request again after a 5xx.

CLIENT, OTHER = {"x-forwarded-for": "203.0.113.7"}, {"x-forwarded-for": "203.0.113.8"}
AUTH = f"<auth xmlns='{MECHANISM}' mechanism='ANONYMOUS'/>"


def limited(driver: str, **settings: Any) -> AbstractContextManager[Server]:
    return serve(driver, trusted_proxies=["127.0.0.1/32"], **settings)


def check_refusal(response: Response, slug: str) -> None:
    assert response.status == 503, response
    assert response.problem == slug
    assert response.json()["status"] == 503


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_a_request_over_a_rate_may_be_sent_again(driver: str) -> None:
    limits = {"address-requests": {"rate": 0.01, "burst": 2}}
    with limited(driver, limits=limits) as server:
        begun = await server.ask("POST", BOSH, CLIENT, creation())
        raw = poll(sid_of(begun), 101, AUTH)
        assert (await server.ask("POST", BOSH, CLIENT, poll("unknown", 1))).status == 200
        refused = await server.ask("POST", BOSH, CLIENT, raw)
        check_refusal(refused, "too-many-requests")
        assert int(refused.headers["retry-after"]) > 1
        assert refused.json()["policy"] == "address-requests"
        assert b"<success" in (await server.ask("POST", BOSH, OTHER, raw)).body
        # Others get the usual status.
        assert (await server.ask("GET", "/v1/channels/x/events", CLIENT)).status == 429


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_a_request_beyond_the_waits_of_an_address_may_be_sent_again(driver: str) -> None:
    with limited(driver, limits={"address-holds": {"most": 1}}) as server:
        sid = sid_of(await server.ask("POST", BOSH, CLIENT, creation()))
        raw = poll(sid, 101)
        target = "/v1/channels/x/events?since=now"
        async with server.holding("GET", target, b"", prefer="wait=25", **CLIENT):
            check_refusal(await server.ask("POST", BOSH, CLIENT, raw), "too-many-requests")
        await server.held(0)
        async with await server.connect() as client:
            client.send("POST", BOSH, CLIENT, raw)
            ended = await server.ask("POST", BOSH, OTHER, poll(sid, 102, type="terminate"))
            assert b"condition" not in ended.body
            assert b"type='terminate'" in (await client.receive()).body


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_a_request_that_arrives_too_slowly_may_be_sent_again(driver: str) -> None:
    with limited(driver, body_seconds=0.5) as server:
        raw = poll(sid_of(await server.ask("POST", BOSH, {}, creation())), 101, AUTH)
        async with await server.connect() as client:
            head = f"POST {BOSH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n\r\n"
            client.writer.write(head.encode() + raw[:-1])
            check_refusal(await client.receive(), "timeout")
        assert b"<success" in (await server.ask("POST", BOSH, {}, raw)).body
