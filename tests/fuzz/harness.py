"""The targets of the fuzzers: each parser of strangers' bytes, and its promise for every input.

A target takes bytes. It raises if the promise is broken: an exception that is not the parser's own
error, or a result that is not what it should be. hypothesis, the random mutator of `scripts/fuzz`
and atheris run the same targets.
"""

import random
from collections.abc import Callable
from pathlib import Path

from pushhub.auth.grip_signature import GripKey
from pushhub.auth.tokens import TokenError, Tokens
from pushhub.bosh import body as bosh_body
from pushhub.bosh.condition import BindingError
from pushhub.grip.fields import GripError
from pushhub.grip.headers import is_instruct, parse_instruct
from pushhub.grip.item import ItemError, parse_batch
from pushhub.http.accept import accepted_codings, accepts_gzip, negotiate
from pushhub.http.body import ChunkedBody
from pushhub.http.content_coding import decoded
from pushhub.http.etag import parse_tags
from pushhub.http.prefer import preferred
from pushhub.http.problem import Problem
from pushhub.http.raw_response import RawResponse
from pushhub.http.redact import redacted_query
from pushhub.log.cursor import Cursor, CursorError, parse_cursor, parse_since
from pushhub.server.http1.head import HeadParser
from pushhub.xml import XmlError, parse
from tests.auth.signing import NOW, SECRET, Key

CORPUS = Path(__file__).parent / "corpus"

_HEADS = HeadParser()
_PASSING = HeadParser(passing=True)
_KNOWN = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


def fuzz_head(raw: bytes) -> None:
    """A head is parsed or refused, and the next head of another connection is parsed."""
    end = raw.find(b"\r\n\r\n") + 4
    for parser in (_HEADS, _PASSING):
        if end >= 4:
            try:
                parser.parse(raw[:end])
            except Problem as problem:
                if problem.status >= 500 and problem.slug != "not-implemented":
                    raise
        assert parser.parse(_KNOWN).path == "/livez"


def fuzz_field(raw: bytes) -> None:
    """A header's value is read without an error, whatever it is."""
    text = raw.decode("latin-1")
    negotiate(text, ("application/json", "text/event-stream"))
    accepts_gzip(text)
    accepted_codings(text, ("gzip", "deflate"))
    parse_tags(text)
    preferred(text)
    assert redacted_query(text).isprintable()


def fuzz_body(raw: bytes) -> None:
    """A body in chunks is the same in one piece and in many, or is refused in both."""
    results = []
    for size in (len(raw) or 1, 1, 7):
        body, fed = ChunkedBody(), b""
        try:
            for start in range(0, len(raw), size):
                fed += raw[start : start + size]
                fed = fed[body.feed(fed) :]
                if body.done:
                    break
            results.append((body.done, bytes(body.payload)))
        except Problem:
            results.append((False, b"refused"))
    if results[0][0]:
        assert results[0] == results[1] == results[2]
    for coding in ("gzip", "deflate"):
        try:
            assert len(decoded(raw, coding, 4096)) <= 4096
        except Problem as problem:
            if problem.status >= 500:
                raise


def fuzz_xml(raw: bytes) -> None:
    """XML is refused, or written it is read as the same."""
    try:
        element = parse(raw)
    except XmlError:
        pass
    else:
        assert parse(element.xml().encode(), own=True) == element
    try:
        bosh_body.parse(raw)
    except BindingError:
        pass


def fuzz_grip(raw: bytes) -> None:
    """An instruct and a publish are read or refused; a read item is an event, and again an item."""
    head, _, body = raw.partition(b"\n\n")
    pairs = tuple(
        (name.strip(), value.strip())
        for name, colon, value in (line.partition(b":") for line in head.split(b"\n"))
        if colon
    )
    response = RawResponse(200, pairs, body)
    if is_instruct(response):
        try:
            parse_instruct(response)
        except GripError:
            pass
    try:
        parse_batch(raw)
    except ItemError:
        pass


def fuzz_cursor(raw: bytes) -> None:
    """A cursor is refused, or its text is the text that was read."""
    text = raw.decode("latin-1")
    try:
        cursor = parse_cursor(text)
    except CursorError:
        pass
    else:
        assert str(cursor) == text
    try:
        since = parse_since(text)
    except CursorError:
        pass
    else:
        assert not isinstance(since, Cursor) or str(since) == text


_TOKENS = Tokens([Key("HS256", SECRET)], now=lambda: NOW)
_GRIP = GripKey(SECRET.decode(), "pushhub", lambda: NOW)


def fuzz_token(raw: bytes) -> None:
    """A token that was not signed with the key is refused in a sentence."""
    text = raw.decode("latin-1")
    for grant in (_TOKENS.grant, _GRIP.publisher):
        try:
            grant(text)
        except TokenError:
            continue
        raise AssertionError("a token that was not signed with the key is good")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "head": fuzz_head,
    "field": fuzz_field,
    "body": fuzz_body,
    "xml": fuzz_xml,
    "grip": fuzz_grip,
    "cursor": fuzz_cursor,
    "token": fuzz_token,
}


def corpus(target: str) -> list[bytes]:
    """The inputs that a target begins with, and those that once broke it."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def mutate(raw: bytes, chance: random.Random, pool: list[bytes]) -> bytes:
    """Another input: bytes changed, removed, repeated, or taken from another input."""
    made = bytearray(raw)
    for _ in range(chance.randint(1, 6)):
        at = chance.randint(0, len(made))
        match chance.randrange(6):
            case 0:
                made[at:at] = bytes([chance.randrange(256)])
            case 1:
                del made[at : at + chance.randint(1, 8)]
            case 2 if at < len(made):
                made[at] ^= 1 << chance.randrange(8)
            case 3:
                piece = made[at : at + chance.randint(1, 32)]
                made[at:at] = piece * chance.randint(1, 20)
            case 4:
                other = chance.choice(pool)
                start = chance.randint(0, len(other))
                made[at:at] = other[start : start + chance.randint(1, 64)]
            case _:
                made[at:at] = chance.choice(WORDS)
    return bytes(made[:65536])


WORDS = [
    *(b"\r\n", b"\r\n\r\n", b"\0", b"\xff\xfe", b"\xe2\x80\xa8", b"0", b"-1"),
    b"99999999999999999999",
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n", b" " * 200, b"1e999", b"null"),
    *(b"<!DOCTYPE a>", b"&lt;", b"<![CDATA[", b"xmlns='a'", b"{}", b"[[[[", b'"', b"\\", b".."),
    *(b"Grip-Hold: stream\n", b"Grip-Channel: a;prev-id=1\n", b";q=0.5", b",", b"%00", b"=", b"."),
]  # fmt: skip
