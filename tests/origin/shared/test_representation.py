import pytest

from pushhub.origin.shared.representation import MAX_BODY_BYTES, Representation
from pushhub.polls.base import Hint

HEADERS = (
    (b"X-Case", b"as Sent"),
    (b"Content-Type", b"application/json"),
    (b"Content-Length", b"2"),
    (b"Cache-Control", b"max-age=5"),
    (b"Vary", b"Accept"),
    (b"Access-Control-Allow-Origin", b"*"),
)


def rep(body: bytes = b"{}", *more: tuple[bytes, bytes], status: int = 200) -> Representation:
    return Representation(status, b"Fine", (*HEADERS, *more), body)


@pytest.mark.parametrize(
    ("etag", "tag"),
    [(b'"a"', "a"), (b'W/"a"', "a"), (b'"a-gzip"', "a"), (b"unquoted", "unquoted")],
)
def test_the_origins_tag_is_kept(etag: bytes, tag: str) -> None:
    found = rep(b"{}", (b"ETag", etag))
    assert (found.tag, found.has_generated_tag) == (tag, False)


@pytest.mark.parametrize("etag", [b"", b'"', b'"a", "b"'])
def test_what_is_no_tag_is_replaced(etag: bytes) -> None:
    found = rep(b"{}", (b"ETag", etag))
    assert found.has_generated_tag
    assert found.tag.startswith("ph-")
    assert len(found.tag) == 3 + 32


def test_a_digest_is_of_what_is_told() -> None:
    tag = rep(b"{}").tag
    assert rep(b"{}", (b"Date", b"now")).tag == tag
    assert rep(b"{ }").tag != tag
    assert rep(b"{}", status=404).tag != tag
    assert Representation(200, b"", ((b"Content-Type", b"text/plain"),), b"{}").tag != tag


def test_it_travels_as_an_event() -> None:
    found = rep(b"line\nline\xff", (b"X-Latin", b"\xe9"), (b"Set", b"1"), (b"Set", b"2"))
    assert found.fits
    back = Representation.of(found.draft().data)
    assert (back.status, back.reason, back.headers, back.body, back.tag) == (
        200,
        b"Fine",
        found.headers,
        b"line\nline\xff",
        found.tag,
    )
    assert repr(back) == f"<Representation 200 {found.tag} 10 bytes>"


def test_what_does_not_fit() -> None:
    assert rep(b"x" * MAX_BODY_BYTES).fits
    assert rep(b"x" * MAX_BODY_BYTES).draft()
    assert not rep(b"x" * (MAX_BODY_BYTES + 1)).fits
    assert not rep(b"", (b"X-Long", b"x" * 17_000)).fits


def test_as_the_origin_sent_it() -> None:
    wire = rep().response().wire(b"date: now\r\n")
    assert wire == (
        b"HTTP/1.1 200 Fine\r\nX-Case: as Sent\r\nContent-Type: application/json\r\n"
        b"Cache-Control: max-age=5\r\nVary: Accept\r\nAccess-Control-Allow-Origin: *\r\n"
        b"content-length: 2\r\n\r\n{}"
    )


def test_to_who_waits() -> None:
    answer = rep().response(25, events=1)
    assert answer.events == 1
    assert answer.headers[-5:] == (
        (b"ETag", b'W/"%b"' % rep().tag.encode()),
        (b"Vary", b"Accept, Prefer"),
        (b"Cache-Control", b"no-store"),
        (b"X-Polling-Index", rep().tag.encode()),
        (b"preference-applied", b"wait=25"),
    )
    assert answer.header(b"x-case") == b"as Sent"
    full = rep(b"", (b"ETag", b'"a"')).response(25, Hint(retry_ms=3000, waited=False))
    assert full.header(b"etag") == b'"a"'
    assert full.headers[-1] == (b"x-poll-interval", b"3")


def test_unchanged() -> None:
    found = rep(b"{}", (b"ETag", b'"a"'))
    plain = found.unchanged()
    assert (plain.status, plain.body) == (304, b"")
    assert [name for name, _ in plain.headers] == [
        b"Cache-Control",
        b"Vary",
        b"Access-Control-Allow-Origin",
        b"ETag",
    ]
    waited = found.unchanged(25, status=204)
    assert waited.status == 204
    assert waited.header(b"preference-applied") == b"wait=25"
    assert waited.header(b"cache-control") == b"no-store"
