"""The head of a request: parsed by llhttp, and held to what RFC 9112 asks of a server.

Where two parsers may read two things into the same bytes, a proxy and we could take different
requests out of one connection (request smuggling, CWE-444). So whatever is ambiguous is refused,
and the connection with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httptools

from pushhub.protocol.problem import Problem
from pushhub.protocol.request import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    MAX_TARGET_BYTES,
    Request,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

# A request line and its headers, whole.
MAX_HEAD_BYTES = MAX_TARGET_BYTES + MAX_HEADERS_BYTES

_METHOD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ")
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)
_LENGTH = re.compile(r"\d{1,15}", re.ASCII)
_KNOWN_METHODS = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE"}
)


class Head:
    """A request's head. `length` is None when the body is chunked, 0 when there is none.

    `headers` are by lower-case name, repeated ones joined; `keep` is whether the client wants the
    connection to stay.
    """

    __slots__ = ("expects", "headers", "http_1_0", "keep", "length", "method", "path", "query")

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: Mapping[str, str],
        *,
        http_1_0: bool,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.http_1_0 = http_1_0
        tokens = _tokens(headers["connection"]) if "connection" in headers else ()
        self.keep = "keep-alive" in tokens if http_1_0 else "close" not in tokens
        self.length = self._framing()
        self.expects = (
            self.length != 0 and headers.get("expect", "").lower() == "100-continue"
        ) and not http_1_0

    @property
    def upgrades(self) -> bool:
        """Whether the client wants another protocol on this connection (RFC 9110 §7.8)."""
        return "upgrade" in self.headers and "upgrade" in _tokens(
            self.headers.get("connection", "")
        )

    def request(self, body: bytes, client: str) -> Request:
        """The request, now that its body is there."""
        return Request(self.method, self.path, self.query, self.headers, body, client)

    def _framing(self) -> int | None:
        """How long the body is (RFC 9112 §6.3), of which there must be no two opinions."""
        headers = self.headers
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if coding is not None:
            if length is not None:
                raise _bad("A request has Content-Length or Transfer-Encoding, not both.")
            if self.http_1_0:
                raise _bad("HTTP/1.0 has no Transfer-Encoding.")
            if coding.strip().lower() != "chunked":
                raise Problem("not-implemented", "The only Transfer-Encoding known is 'chunked'.")
            return None
        if length is None:
            return 0
        if not _LENGTH.fullmatch(length):
            raise _bad("Content-Length is one whole number.")
        return int(length)


class HeadParser:
    """Parses one complete head after the other. One serves every connection of the process.

    llhttp keeps its state between calls, so after a head that leaves it in the middle of something
    (a body, a close, an upgrade, an error) it is thrown away for a new one.
    """

    def __init__(self) -> None:
        self._parser: httptools.HttpRequestParser | None = None
        self._url = b""
        self._pairs: list[tuple[bytes, bytes]] = []
        self._complete = False

    # llhttp's callbacks
    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name, value))

    def on_message_complete(self) -> None:
        self._complete = True

    def parse(self, head: bytes) -> Head:
        """Parse a head, from its first byte to the empty line.

        Raises:
            Problem: it is malformed, ambiguous, or over a limit. The connection cannot go on.
        """
        parser = self._parser or httptools.HttpRequestParser(self)
        self._parser = None
        self._url = b""
        self._pairs = []
        self._complete = False
        check_lines(head)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._complete = False
        except httptools.HttpParserError as error:
            raise _malformed(head, error) from None
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _bad("This server speaks HTTP/1.1 and HTTP/1.0.")
        headers = self._headers()
        method = parser.get_method()
        if method not in _KNOWN_METHODS:
            raise _unknown_method()
        path, query, authority = _split(self._url, method)
        hosts = [value for name, value in self._pairs if name.lower() == b"host"]
        if len(hosts) > 1 or (not hosts and version == "1.1"):
            raise _bad("A request has one Host header (RFC 9112 §3.2).")
        if authority is not None:
            headers["host"] = authority
        result = Head(method.decode(), path, query, headers, http_1_0=version == "1.0")
        if self._complete and result.keep and result.length == 0 and not result.upgrades:
            self._parser = parser
        return result

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        pairs = self._pairs
        if len(pairs) > MAX_HEADERS:
            raise too_large_headers()
        total = 0
        for raw_name, raw_value in pairs:
            size = len(raw_name) + len(raw_value)
            total += size
            if size > MAX_HEADER_BYTES or total > MAX_HEADERS_BYTES:
                raise too_large_headers()
            name = raw_name.decode("ascii").lower()
            value = raw_value.decode("latin-1")
            if name in headers:
                if name == "content-length":
                    raise _bad("A request has one Content-Length.")
                joint = "; " if name == "cookie" else ", "
                headers[name] = headers[name] + joint + value
            else:
                headers[name] = value
        return headers


def check_lines(head: bytes) -> None:
    """Refuse line ends and folded lines that parsers disagree about (RFC 9112 §2.2, §5.2).

    Raises:
        Problem: a bare LF or CR, a NUL, or a header continued on the next line.
    """
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise _bad("Every line of a head ends with CR LF.")
    if b"\0" in head:
        raise _bad("A head has no NUL.")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise _bad("A header is on one line; folding is obsolete (RFC 9112 §5.2).")


def too_large_headers() -> Problem:
    """The refusal of a head that is over a limit."""
    return Problem(
        "header-too-large",
        f"A header has at most {MAX_HEADER_BYTES} bytes, all have {MAX_HEADERS_BYTES}, and there"
        f" are at most {MAX_HEADERS}.",
        limit=MAX_HEADERS_BYTES,
    )


def too_long_target() -> Problem:
    """The refusal of an address that is over the limit."""
    return Problem(
        "uri-too-long",
        f"An address has at most {MAX_TARGET_BYTES} bytes; POST /v1/poll takes long lists.",
        limit=MAX_TARGET_BYTES,
    )


def _split(target: bytes, method: bytes) -> tuple[str, str, str | None]:
    """Path, query, and the authority of an absolute form (RFC 9112 §3.2)."""
    if len(target) > MAX_TARGET_BYTES:
        raise too_long_target()
    if not _TARGET.fullmatch(target):
        raise _bad("An address is visible ASCII without '#'; percent-encode the rest.")
    authority = None
    if not target.startswith(b"/"):
        if target == b"*" and method == b"OPTIONS":
            return "*", "", None
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise _bad("An address starts with '/', or with 'http://'.")
        authority = absolute[1].decode()
        target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    path, _, query = target.partition(b"?")
    return path.decode(), query.decode(), authority


def _tokens(value: str) -> tuple[str, ...]:
    return tuple(token.strip().lower() for token in value.split(","))


def _malformed(head: bytes, error: Exception) -> Problem:
    method = _METHOD.match(head)
    if method is None or method[1] in _KNOWN_METHODS:
        return _bad(f"The request is not HTTP/1.1: {error}.")
    return _unknown_method()


def _unknown_method() -> Problem:
    known = ", ".join(sorted(method.decode() for method in _KNOWN_METHODS))
    return Problem("not-implemented", f"This server knows the methods {known}.")


def _bad(detail: str) -> Problem:
    return Problem("bad-request", detail)
