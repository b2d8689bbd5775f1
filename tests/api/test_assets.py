"""Static files are compressed for clients that accept it, and are not sent again if unchanged."""

import gzip
import re
from pathlib import Path

import pytest

import pushhub.api
from pushhub.http.accept import accepts_gzip
from tests.serving import Server

STATIC = Path(pushhub.api.__file__).parent / "static"
PAGES = [
    *("/client.js", "/client.js.map", "/client.mjs", "/client.mjs.map", "/client.d.ts"),
    *("/page.css", "/docs", "/docs.css", "/docs.js", "/demo", "/console", "/openapi.json"),
    *("/console/console.js", "/console/uPlot.iife.min.js", "/console/uPlot.LICENSE.txt"),
    *(f"/demo/{one.name}" for one in sorted((STATIC / "demo").iterdir())),
]


@pytest.mark.parametrize("path", PAGES)
async def test_a_file_is_compressed_and_has_a_tag(hub: Server, path: str) -> None:
    plain = await hub.get(path)
    packed = await hub.get(path, accept_encoding="br, gzip;q=0.5")
    assert (plain.status, packed.status) == (200, 200)
    assert "content-encoding" not in plain.headers
    tags = [answer.headers["etag"] for answer in (plain, packed)]
    assert all(re.fullmatch(r'"[^"]+"', tag) for tag in tags)
    for answer in (plain, packed):
        assert "accept-encoding" in answer.headers["vary"].lower()
    if len(plain.body) >= 512:
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert len(packed.body) < len(plain.body)
        # A cache that keeps both must not confuse them.
        assert len(set(tags)) == 2
    for answer, accepted in ((plain, "identity"), (packed, "gzip")):
        tag = answer.headers["etag"]
        for condition in (tag, f'W/{tag}, "x"', "*"):
            again = await hub.get(path, accept_encoding=accepted, if_none_match=condition)
            assert (again.status, again.body) == (304, b"")
            assert again.headers["etag"] == tag
            assert again.headers["vary"] == answer.headers["vary"]
        other = await hub.get(path, accept_encoding=accepted, if_none_match='"other"')
        assert other.status == 200


async def test_the_head_of_a_file_says_what_its_body_would_be(hub: Server) -> None:
    head = await hub.ask("HEAD", "/client.js", {"accept-encoding": "gzip"})
    body = await hub.get("/client.js", accept_encoding="gzip")
    assert head.body == b""
    for name in ("content-length", "content-encoding", "etag", "vary", "content-type"):
        assert head.headers[name] == body.headers[name]


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.1", True),
        ("*", True),
        ("x-gzip", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*;q=0", False),
        ("gzip;q=x", False),
        ("identity, gzipped", False),
    ],
)
def test_gzip_is_sent_only_if_it_is_accepted(field: str, accepted: bool) -> None:
    assert accepts_gzip(field) is accepted
