"""Bad input gets a clear error, stores nothing, and costs the server nothing.

The `hub` fixture looks after each test whether the process lives and regrets nothing.
"""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tests.serving import Server, events_of, fresh, value_of

MIB = 1024 * 1024


@pytest.fixture
async def channel(hub: Server) -> AsyncIterator[str]:
    """A channel whose log must be the same after the test."""
    name = fresh("bad")
    await hub.publish(name, "before")
    yield name
    assert await hub.log(name) == ["before"]
    assert (await hub.get("/livez")).status == 200


@pytest.mark.parametrize(
    "body", [b"{", b"", b"{'a':1}", b'{"a":NaN}', b'"\xff"', b"[" * 5000, b"1 2"]
)
async def test_malformed_json_is_refused(hub: Server, channel: str, body: bytes) -> None:
    json_type = {"content-type": "application/json"}
    for target in (events_of(channel), "/v1/publish", "/v1/poll"):
        answer = await hub.ask("POST", target, json_type, body)
        assert (answer.status, answer.problem) == (400, "bad-body")


async def test_an_unknown_field_is_named(hub: Server, channel: str) -> None:
    poll = await hub.post("/v1/poll", {"channels": {channel: "now"}, "timeout": 5})
    item = await hub.post("/v1/publish", {"channel": channel, "data": 1, "ttl": 5})
    for answer, name in ((poll, "timeout"), (item, "ttl")):
        assert (answer.status, answer.problem) == (400, "bad-body")
        assert name in answer.json()["detail"]


@pytest.mark.parametrize(
    "segment", ["a%00b", "a%0Ab", "a%0D%0Ab", "%7F", "%C2%85", "%FF", "%ED%A0%80", "", "%24own"]
)
async def test_a_bad_channel_name_is_refused(hub: Server, segment: str) -> None:
    for method, path in (
        ("GET", value_of(segment)),
        ("GET", events_of(segment)),
        ("POST", events_of(segment)),
        ("DELETE", value_of(segment)),
    ):
        answer = await hub.ask(method, path, body=b"1" if method == "POST" else b"")
        assert (answer.status, answer.problem) == (400, "bad-channel"), (method, path)


async def test_a_channel_name_has_255_bytes_and_not_256(hub: Server) -> None:
    longest = "ü" * 100 + fresh().ljust(55, "x")
    assert (await hub.post(events_of(longest.replace("ü", "%C3%BC")), 1)).status == 200
    answer = await hub.post(events_of("%C3%BC" * 128), 1)
    assert (answer.status, answer.problem) == (400, "bad-channel")


async def test_a_slash_in_a_name_is_escaped(hub: Server) -> None:
    name = fresh()
    await hub.post(events_of(f"{name}%2Fb"), 1)
    assert await hub.log(f"{name}%2fb") == [1]
    assert (await hub.get(f"/v1/channels/{name}/b/events")).status == 404


@pytest.mark.parametrize("since", ["garbage", "e1-01", "e1--1", "E1-1", "e1-1x", "-", "e1-1%00"])
async def test_a_cursor_of_garbage_is_refused(hub: Server, channel: str, since: str) -> None:
    answer = await hub.get(f"{events_of(channel)}?since={since}")
    assert (answer.status, answer.problem) == (400, "bad-cursor")
    many = await hub.post("/v1/poll", {"channels": {channel: since}})
    assert (many.status, many.problem) == (400, "bad-cursor")
    assert many.json()["channel"] == channel


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "abc", "1.5", "", "1e3", "%D9%A3"])
async def test_a_limit_out_of_bounds_is_refused(hub: Server, channel: str, limit: str) -> None:
    answer = await hub.get(f"{events_of(channel)}?limit={limit}")
    assert (answer.status, answer.problem) == (400, "bad-request")
    assert answer.json()["limit"] == 1000


async def test_1001_channels_in_one_poll_are_refused_with_the_limit(
    hub: Server, channel: str
) -> None:
    channels = dict.fromkeys([channel, *(f"{channel}-{n}" for n in range(1000))], "now")
    answer = await hub.post("/v1/poll", {"channels": channels, "wait": 30})
    assert (answer.status, answer.problem) == (400, "too-many-channels")
    assert answer.json()["limit"] == 1000


@pytest.mark.parametrize(
    "document",
    [[], {}, {"channels": {}}, {"channels": []}, {"channels": {"a": 1}}, {"channels": {"a": None}}]
    + [{"channels": {"a": "now"}, "wait": wait} for wait in (-1, "5", None, True)]
    + [{"channels": {"a": "now"}, "limit": limit} for limit in (0, 1001, "5", True, 1.5)],
)
async def test_a_poll_of_another_shape_is_refused(hub: Server, document: object) -> None:
    answer = await hub.post("/v1/poll", document)
    assert answer.status == 400
    assert answer.problem in ("bad-body", "bad-cursor", "bad-request")


async def test_a_poll_of_a_private_channel_is_refused(hub: Server) -> None:
    answer = await hub.post("/v1/poll", {"channels": {"$secret:tickets": "earliest"}})
    assert (answer.status, answer.problem) == (400, "bad-channel")


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize(
    ("target", "limit"),
    [("events", 256 * 1024), ("/v1/poll", MIB), ("/v1/publish", 4 * MIB), ("value", 64 * 1024)],
)
async def test_a_body_of_10_MB_is_refused_before_it_has_arrived(
    hub: Server, channel: str, target: str, limit: int, declared: bool
) -> None:
    path = {"events": events_of(channel), "value": value_of(channel)}.get(target, target)
    method = "GET" if target == "value" else "POST"
    framing = f"Content-Length: {10 * MIB}" if declared else "Transfer-Encoding: chunked"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode()
    piece = b"x" * 65536 if declared else b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answer = await asyncio.to_thread(_send_in_vain, hub.port, head, piece, 160)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert b'"limit":%d' % limit in answer
    assert b"urn:pushhub:problem:too-large" in answer


def _send_in_vain(port: int, head: bytes, piece: bytes, times: int) -> bytes:
    """What is answered to a body of `times` pieces that nobody wants."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        try:
            client.sendall(head)
            for _ in range(times):
                client.sendall(piece)
        except OSError:
            pass  # It has hung up, as it may; what it said first is still there to be read.
        answer = b""
        try:
            while b"}" not in answer and (received := client.recv(65536)):
                answer += received
        except ConnectionError:
            pass
        return answer


async def _first_bytes(reader: asyncio.StreamReader) -> bytes:
    """An answer's head and body, as far as they come."""
    answer = b""
    try:
        while piece := await reader.read(65536):
            answer += piece
            if b"}" in answer:
                break
    except ConnectionError:
        pass
    return answer


async def test_an_event_has_256_KiB_and_not_a_byte_more(hub: Server) -> None:
    name = fresh()
    text = {"content-type": "text/plain"}
    assert (await hub.ask("POST", events_of(name), text, b"x" * 262_144)).status == 200
    answer = await hub.ask("POST", events_of(name), text, b"x" * 262_145)
    assert (answer.status, answer.problem) == (413, "too-large")
    assert answer.json()["limit"] == 262_144
    assert len(await hub.log(name)) == 1


async def test_a_body_that_ends_early_is_nothing(hub: Server, channel: str) -> None:
    for _ in range(5):
        async with await hub.connect() as client:
            head = f"POST {events_of(channel)} HTTP/1.1\r\nHost:\r\nContent-Length: 100\r\n\r\n"
            client.writer.write(head.encode() + b'"half')
            await client.writer.drain()


async def test_a_chunked_body_that_ends_early_is_nothing(hub: Server, channel: str) -> None:
    async with await hub.connect() as client:
        head = f"POST {events_of(channel)} HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n"
        client.writer.write(head.encode() + b"\r\n3\r\n123\r\n")
        await client.writer.drain()


@pytest.mark.parametrize(
    ("size", "count"), [(100_000, 1), (20_000, 1), (100, 1000)], ids=["100 kB", "20 kB", "many"]
)
async def test_headers_that_are_too_large_are_refused(
    hub: Server, channel: str, size: int, count: int
) -> None:
    lines = "".join(f"X-{n}: {'x' * size}\r\n" for n in range(count))
    async with await hub.connect() as client:
        head = f"GET {events_of(channel)} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
        client.writer.write(head.encode())
        answer = await _first_bytes(client.reader)
    # A server's own parser may be stricter, and just close.
    assert answer == b"" or answer.split()[1] in (b"431", b"400"), answer
    if size == 20_000:
        assert b"urn:pushhub:problem:header-too-large" in answer


async def test_an_address_that_is_too_long_is_refused(hub: Server, channel: str) -> None:
    answer = await hub.get(f"{events_of(channel)}?x={'x' * 9000}")
    assert (answer.status, answer.problem) == (414, "uri-too-long")


async def test_too_many_query_parameters_are_refused(hub: Server, channel: str) -> None:
    answer = await hub.get(events_of(channel) + "?" + "&".join(f"a{n}=1" for n in range(40)))
    assert (answer.status, answer.problem) == (400, "bad-request")


async def test_a_query_that_is_no_utf8_is_refused(hub: Server, channel: str) -> None:
    answer = await hub.get(events_of(channel) + "?since=%FF")
    assert (answer.status, answer.problem) == (400, "bad-request")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
async def test_another_method_is_405_and_says_which_there_are(hub: Server, method: str) -> None:
    answer = await hub.ask(method, events_of(fresh()))
    assert (answer.status, answer.problem) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("target", ["/v2", "/v1/channels/", "/v1/channels/a/b", "/v1/poll/", "/v1"])
async def test_an_unknown_address_is_404(hub: Server, target: str) -> None:
    answer = await hub.get(target)
    assert answer.status in (404, 400)
    assert answer.problem in ("not-found", "bad-channel")


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/publish HTTP/1.1\r\nHost:\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /v1/publish HTTP/1.1\r\nHost:\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET /v1/channels HTTP/1.1\r\nHost: localhost\r\nA\0B: x\r\n\r\n",
        b"GET /v1/channels HTTP/1.1\r\nHost: localhost\r\nA: \xff\x00\r\n\r\n",
        b"GET /v1/channels/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://other/v1/channels HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_what_is_no_http_does_no_harm(hub: Server, channel: str, raw: bytes) -> None:
    async with await hub.connect() as client:
        client.writer.write(raw)
        client.writer.write_eof()
        async with asyncio.timeout(10):
            answer = await _first_bytes(client.reader)
        assert not answer or answer.startswith(b"HTTP/1.1 "), answer
        assert b" 500 " not in answer.partition(b"\r\n")[0]


async def test_a_refusal_leaves_the_connection_good(hub: Server, channel: str) -> None:
    async with await hub.connect() as client:
        answers = [
            await client.ask("POST", "/v1/publish", body=b"{"),
            await client.ask("GET", events_of(channel) + "?since=x"),
            await client.ask("GET", events_of(channel)),
        ]
    assert [answer.status for answer in answers] == [400, 400, 200]
