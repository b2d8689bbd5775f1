"""The head of a request: parsed by llhttp, and checked as RFC 9112 requires of a server.

If two parsers understand the same bytes differently, a proxy and pushhub may find different
requests on one connection (request smuggling, CWE-444). So an ambiguous head is refused, and its
connection is closed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httptools

from pushhub.http.problem import Problem
from pushhub.http.request import (
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    MAX_TARGET_BYTES,
    Request,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.http.forwarded import TrustedProxies

# A request line and its headers, whole.
MAX_HEAD_BYTES = MAX_TARGET_BYTES + MAX_HEADERS_BYTES

# A method, a target without '#', and a supported version, with one space between them; llhttp
# allows more. Bytes beyond ASCII are only for an origin: curl sends a URL as it was typed.
_REQUEST_LINE = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP/1\.([01])\r\n"
)
_START = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}(?: |\Z)")
# RFC 9110 §7.2: a name or an address, and perhaps a port. It may be empty.
_HOST = re.compile(r"(?:[0-9A-Za-z._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?", re.ASCII)
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE)
_LENGTH = re.compile(r"\d{1,15}", re.ASCII)
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"})
# These methods are no requests for a resource (RFC 9110 §9.3.6, RFC 9113 §3.4).
_NEVER_PASSED = frozenset({"CONNECT", "PRI"})
# The target, the longest method, the spaces and the version.
_MAX_LINE_BYTES = MAX_TARGET_BYTES + 32 + len("  HTTP/1.1")


class Head:
    """A request's head. `length` is None when the body is chunked, 0 when there is none.

    `headers` are by lower-case name, with repeated ones joined. `keep` is whether the client keeps
    the connection open. `expects` is whether it waits for `100 Continue`.
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
    def target(self) -> str:
        """Path and query, as on the wire."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def upgrades(self) -> bool:
        """Whether the client requests a WebSocket (RFC 6455 §4.1). Other upgrades are offers (RFC
        9110 §7.8), which pushhub ignores.
        """
        headers = self.headers
        return (
            headers.get("upgrade", "").lower() == "websocket"
            and "upgrade" in _tokens(headers.get("connection", ""))
            and self.length == 0
        )

    def in_origin_form(self) -> bytes:
        """The bytes of the head with a path as its target, not a whole URL (RFC 9112 §3.2)."""
        query = f"?{self.query}" if self.query else ""
        version = "1.0" if self.http_1_0 else "1.1"
        lines = [f"{self.method} {self.path}{query} HTTP/{version}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def request(self, body: bytes, peer: str, proxies: TrustedProxies) -> Request:
        """The request with its complete body; `peer` is the address of the connection."""
        headers = self.headers
        client = proxies.client(peer, headers)
        secure = proxies.is_secure(peer, headers)
        request = Request(self.method, self.path, self.query, headers, body, client, secure=secure)
        if "x-request-id" in headers:
            request.id = proxies.request_id(peer, headers)
        return request

    def _framing(self) -> int | None:
        """The length of the body (RFC 9112 §6.3), which must be unambiguous; None for chunks."""
        headers = self.headers
        coding = headers.get("transfer-encoding")
        length = headers.get("content-length")
        if coding is not None:
            if length is not None:
                raise _bad("A request must not have both Content-Length and Transfer-Encoding.")
            if self.http_1_0:
                raise _bad("HTTP/1.0 does not support Transfer-Encoding.")
            if coding.strip().lower() != "chunked":
                raise Problem(
                    "not-implemented", "The only supported Transfer-Encoding is 'chunked'."
                )
            return None
        if length is None:
            return 0
        if not _LENGTH.fullmatch(length):
            raise _bad("Content-Length must be one whole number.")
        return int(length)


class HeadParser:
    """Parses complete heads one after another, for all connections of a listener.

    llhttp keeps its state between calls. A head that leaves it in another state than its first one
    (a body, a close, an upgrade, an error) is the last for that parser; the next gets a new one.

    `passing` is for a hub in front of an origin: the origin may have other methods, and URLs with
    bytes beyond ASCII.
    """

    def __init__(self, *, passing: bool = False) -> None:
        self._passing = passing
        self._parser: httptools.HttpRequestParser | None = None
        self._busy: httptools.HttpRequestParser | None = None
        self._pairs: list[tuple[bytes, bytes]] = []
        self._complete = False

    # llhttp's callbacks
    def on_header(self, name: bytes, value: bytes) -> None:
        self._pairs.append((name, value))

    def on_message_complete(self) -> None:
        # llhttp knows only here whether this was the last request of its connection: for it
        # Proxy-Connection is Connection, and after a close it refuses every other head.
        assert self._busy is not None
        self._complete = self._busy.should_keep_alive()

    def parse(self, head: bytes) -> Head:
        """Parse a head, from its first byte to the empty line.

        Raises:
            Problem: the head is malformed, ambiguous, or over a limit. The connection must close.
        """
        check_lines(head)
        line = _REQUEST_LINE.match(head)
        if line is None:
            raise _no_request_line()
        method = line[1].decode()
        feed, known = head, method in _KNOWN_METHODS
        if not (known and line[2].isascii()):
            if not known and (not self._passing or method in _NEVER_PASSED):
                raise _unknown_method()
            if not self._passing:
                raise _no_request_line()
            # llhttp refuses other methods and bytes beyond ASCII, so it parses only the headers.
            feed = b"POST / HTTP/1.%b\r\n%b" % (line[3], head[line.end() :])
        path, query, authority = _split(line[2], method)
        parser = self._busy = self._parser or httptools.HttpRequestParser(self)
        self._parser = None
        self._pairs = []
        self._complete = False
        try:
            parser.feed_data(feed)
        except httptools.HttpParserUpgrade:
            self._complete = False
        except httptools.HttpParserError as error:
            raise _bad(f"The request is not HTTP/1.1: {error}.") from None
        headers = self._headers()
        http_1_0 = line[3] == b"0"
        host = headers.get("host")
        if host is None and not http_1_0:
            raise _bad("A request needs a Host header (RFC 9112 §3.2).")
        # Two Host headers are joined, and so are no host either.
        if host is not None and not _HOST.fullmatch(host):
            raise _bad("A request must have one Host header, a name or an address (RFC 9112 §3.2).")
        if authority is not None:
            headers["host"] = authority
        result = Head(method, path, query, headers, http_1_0=http_1_0)
        if self._complete and result.length == 0:
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
            # llhttp leaves white space after a value (RFC 9112 §5.1).
            value = raw_value.decode("latin-1").rstrip(" \t")
            if name in headers:
                if name == "content-length":
                    raise _bad("A request must have at most one Content-Length.")
                joint = "; " if name == "cookie" else ", "
                headers[name] = headers[name] + joint + value
            else:
                headers[name] = value
        return headers


def check_lines(head: bytes) -> None:
    """Refuse line ends and folded lines that parsers read differently (RFC 9112 §2.2, §5.2).

    Raises:
        Problem: a bare LF or CR, a NUL, or a header continued on the next line.
    """
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise _bad("Every line of a head must end with CR LF.")
    if b"\0" in head:
        raise _bad("A head must not contain NUL.")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise _bad("A header must be on one line; folding is obsolete (RFC 9112 §5.2).")


def too_large_headers() -> Problem:
    """The problem of a head that is over a limit."""
    return Problem(
        "header-too-large",
        f"A header has at most {MAX_HEADER_BYTES} bytes, all have {MAX_HEADERS_BYTES}, and there"
        f" are at most {MAX_HEADERS}.",
        limit=MAX_HEADERS_BYTES,
    )


def too_long_target() -> Problem:
    """The problem of a URL that is over the limit."""
    return Problem(
        "uri-too-long",
        f"A URL has at most {MAX_TARGET_BYTES} bytes; POST /v1/poll accepts long lists.",
        limit=MAX_TARGET_BYTES,
    )


def check_start(start: bytes) -> None:
    """Refuse the start of a head that no further bytes can make valid: other protocols, and lines
    that do not end.

    Raises:
        Problem: these bytes start no request, or are over a limit.
    """
    end = start.find(b"\r\n")
    if end > _MAX_LINE_BYTES or (end < 0 and len(start) > _MAX_LINE_BYTES):
        raise too_long_target() if _START.match(start) else _no_request_line()
    if not (_START if end < 0 else _REQUEST_LINE).match(start):
        raise _no_request_line()
    if len(start) > MAX_HEAD_BYTES:
        raise too_large_headers()
    if start.count(b"\n") != start.count(b"\r\n"):
        raise _bad("Every line of a head must end with CR LF.")


def _split(target: bytes, method: str) -> tuple[str, str, str | None]:
    """Path, query, and the authority of an absolute form (RFC 9112 §3.2)."""
    if len(target) > MAX_TARGET_BYTES:
        raise too_long_target()
    authority = None
    if not target.startswith(b"/"):
        if target == b"*" and method == "OPTIONS":
            return "*", "", None
        absolute = _ABSOLUTE.fullmatch(target)
        authority = absolute[1].decode("latin-1") if absolute else ""
        if absolute is None or not authority or not _HOST.fullmatch(authority):
            raise _bad("A URL must start with '/', or with 'http://' and a host.")
        target = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    path, _, query = target.partition(b"?")
    return path.decode("latin-1"), query.decode("latin-1"), authority


def _tokens(value: str) -> tuple[str, ...]:
    return tuple(token.strip().lower() for token in value.split(","))


def _no_request_line() -> Problem:
    return _bad(
        "A request begins with a line such as 'GET /path HTTP/1.1', whose address is visible ASCII"
        " without '#'; percent-encode the rest."
    )


def _unknown_method() -> Problem:
    known = ", ".join(sorted(_KNOWN_METHODS))
    return Problem("not-implemented", f"This server supports the methods {known}.")


def _bad(detail: str) -> Problem:
    return Problem("bad-request", detail)
