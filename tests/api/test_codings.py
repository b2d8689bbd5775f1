"""Compressed request bodies."""

import gzip
import json
import zlib

import pytest

from tests.serving import Server, events_of, fresh, value_of

BODY = b'{"a": 1}'


def zipped(body: bytes) -> bytes:
    # Without the time, so that names of tests are the same in every process.
    return gzip.compress(body, mtime=0)


def deflated(body: bytes, window: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return packer.compress(body) + packer.flush()


PACKED = {
    "gzip": zipped(BODY),
    "GZip": zipped(BODY),
    "x-gzip": zipped(BODY),
    "deflate": zlib.compress(BODY),
    " deflate ": deflated(BODY, -15),
    "identity": BODY,
    "identity, gzip": zipped(BODY),
    "deflate, gzip": zipped(zlib.compress(BODY)),
    "": BODY,
}


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_compressed_event_is_stored_unpacked(
    hub: Server, coding: str, chunked: bool
) -> None:
    channel, packed = fresh(), PACKED[coding]
    framing = f"content-length: {len(packed)}"
    if chunked:
        framing, packed = (
            "transfer-encoding: chunked",
            b"%x\r\n%b\r\n0\r\n\r\n"
            % (
                len(packed),
                packed,
            ),
        )
    head = (
        f"POST {events_of(channel)} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-encoding:{coding}\r\n{framing}\r\n\r\n"
    )
    async with await hub.connect() as client:
        client.writer.write(head.encode() + packed)
        answer = await client.reader.read()
    assert b" 200 " in answer.split(b"\r\n")[0], answer
    value = await hub.get(value_of(channel))
    assert value.body == BODY
    assert "content-encoding" not in value.headers


async def test_members_of_a_gzip_file_follow_each_other(hub: Server) -> None:
    channel = fresh()
    packed = zipped(b'{"a"') + zipped(b": 1}")
    answer = await hub.ask("POST", events_of(channel), {"content-encoding": "gzip"}, packed)
    assert answer.status == 200
    assert (await hub.get(value_of(channel))).body == BODY


async def test_every_route_that_reads_a_body_unpacks_it(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    fields = {"content-encoding": "gzip"}

    def packed(document: object) -> bytes:
        return zipped(json.dumps(document).encode())

    many = await hub.ask("POST", "/v1/poll", fields, packed({"channels": {channel: "earliest"}}))
    assert [event["data"] for event in many.json()["events"]] == [1]
    batch = await hub.ask("POST", "/v1/publish", fields, packed({"channel": channel, "data": 2}))
    assert batch.status == 200
    item = {"channel": channel, "http-stream": {"content": "x"}}
    grip = await hub.ask("POST", "/publish", fields, packed({"items": [item]}))
    assert grip.status == 200
    notify = await hub.ask("POST", "/v1/notify", fields, packed({"resources": ["/a"]}))
    assert notify.problem == "no-route"


@pytest.mark.parametrize(
    "coding", ["br", "zstd", "compress", "aws-chunked", "text/xml", "*", "gzip;q=1"]
)
@pytest.mark.parametrize("path", ["events", "/v1/publish", "/v1/poll", "/publish"])
async def test_an_unknown_coding_is_refused(hub: Server, path: str, coding: str) -> None:
    channel = fresh()
    target = events_of(channel) if path == "events" else path
    answer = await hub.ask("POST", target, {"content-encoding": coding}, BODY)
    assert (answer.status, answer.problem) == (415, "unsupported-coding")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert await hub.log(channel) == []


async def test_too_many_codings_are_refused(hub: Server) -> None:
    packed = zipped(zipped(zipped(BODY)))
    fields = {"content-encoding": "gzip, gzip, gzip"}
    answer = await hub.ask("POST", events_of(fresh()), fields, packed)
    assert answer.problem == "unsupported-coding"


GZIP = zipped(BODY)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", BODY),
        ("gzip", GZIP[:-1]),
        ("gzip", GZIP[:15]),
        ("gzip", GZIP[:-8] + b"\0" * 8),
        ("gzip", GZIP + b"x"),
        ("gzip", zipped(b"") * 65),
        ("deflate", BODY),
        ("deflate", zlib.compress(BODY)[:-2]),
        ("deflate", zlib.compress(BODY) + b"x"),
        ("deflate", b"x"),
    ],
)
async def test_what_cannot_be_unpacked_is_refused(hub: Server, coding: str, packed: bytes) -> None:
    channel = fresh()
    answer = await hub.ask("POST", events_of(channel), {"content-encoding": coding}, packed)
    assert (answer.status, answer.problem) == (400, "bad-body")
    assert await hub.log(channel) == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "gzip, gzip"])
async def test_a_bomb_is_unpacked_no_further_than_the_limit(hub: Server, coding: str) -> None:
    channel, limit = fresh(), 256 * 1024
    size = limit + 1 if coding != "gzip, gzip" else 60_000_000
    packed = b"0" * size
    for each in coding.split(", "):
        packed = zipped(packed) if each == "gzip" else zlib.compress(packed)
    answer = await hub.ask("POST", events_of(channel), {"content-encoding": coding}, packed)
    assert (answer.status, answer.problem) == (413, "too-large")
    assert await hub.log(channel) == []


async def test_an_event_of_the_largest_size_may_be_compressed(hub: Server) -> None:
    channel = fresh()
    body = b'"' + b"0" * (256 * 1024 - 2) + b'"'
    fields = {"content-encoding": "gzip"}
    assert (await hub.ask("POST", events_of(channel), fields, zipped(body))).status == 200
    assert (await hub.get(value_of(channel))).body == body


async def test_a_coding_of_no_body_does_not_matter(hub: Server) -> None:
    answer = await hub.get(events_of(fresh()), content_encoding="br")
    assert answer.status == 200
