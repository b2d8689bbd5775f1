"""Raw requests, and what servers do with them: the front first, and where uvicorn's own protocols
differ, what those do.

An outcome is the statuses that come back, in order, then what becomes of the connection:

    "200"           answered; the connection serves a next request
    "400 close"     answered, then closed
    "close"         closed without a word
    "waits"         nothing comes, and the connection stays

`Case.front` is what pushhub promises. uvicorn's two protocols in front of the same application are
in `DIFFERENT`, at the end, where they do something else, and why.
"""

from dataclasses import dataclass

HOST = b"Host: localhost\r\n"
EVENTS = b"/v1/channels/table/events"
# An endpoint that answers at once, and needs nothing.
READ = b"/v1/channels/table/events?since=now"


@dataclass(frozen=True, slots=True)
class Case:
    """One connection's bytes."""

    id: str
    raw: bytes
    front: str
    # The problem that the front's last answer is.
    problem: str = ""
    # The methods of the requests that are answered, where they are not all GET: a HEAD's answer has
    # no body.
    methods: tuple[str, ...] = ()

    def outcome(self, server: str) -> str:
        """What `server` does: the front, httptools or h11; "or" stands between what it may do."""
        others = dict(zip(("httptools", "h11"), DIFFERENT.get(self.id, ()), strict=False))
        return (others.get(server) or self.front).strip()


def get(target: bytes = READ, *lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """A GET with a Host and these header lines."""
    head = b"GET " + target + b" " + version + b"\r\n" + HOST
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(body: bytes = b"", *lines: bytes, target: bytes = EVENTS) -> bytes:
    """A POST with these header lines, which frame the body."""
    head = b"POST " + target + b" HTTP/1.1\r\n" + HOST
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    """A POST whose body is `body`, already in chunks."""
    return post(body, b"Transfer-Encoding: chunked", *lines)


def many(size: int, text: bytes = b"a") -> bytes:
    """Text of so many bytes."""
    return (text * (size // len(text) + 1))[:size]


REQUEST_LINE = [
    Case("plain", get(), "200"),
    Case("page", get(b"/livez"), "200"),
    Case("nowhere", get(b"/nowhere"), "404"),
    Case("lower-case-method", get().replace(b"GET", b"get", 1), "501 close"),
    Case("unknown-method", get().replace(b"GET", b"BREW", 1), "501 close"),
    Case("known-method-not-here", get().replace(b"GET", b"PATCH", 1), "405"),
    Case("trace", get().replace(b"GET", b"TRACE", 1), "405"),
    Case(
        "connect",
        b"CONNECT example.localhost:443 HTTP/1.1\r\nHost: example.localhost:443\r\n\r\n",
        "501 close",
    ),
    Case("method-with-bracket", get().replace(b"GET", b"G(T", 1), "400 close"),
    Case("endless-method", many(100_000, b"A"), "400 close"),
    Case("no-target", b"GET HTTP/1.1\r\n" + HOST + b"\r\n", "400 close"),
    Case("no-version", b"GET /livez\r\n" + HOST + b"\r\n", "400 close"),
    Case("http-0.9", b"GET /livez\r\n", "400 close"),
    Case("http-0.9-whole", b"GET /livez\r\n\r\n", "400 close"),
    Case("http-1.2", get(version=b"HTTP/1.2"), "400 close"),
    Case("http-2.0", get(version=b"HTTP/2.0"), "400 close"),
    Case("http-3", get(version=b"HTTP/3"), "400 close"),
    Case("http-1.10", get(version=b"HTTP/1.10"), "400 close"),
    Case("http-01.1", get(version=b"HTTP/01.1"), "400 close"),
    Case("lower-case-version", get(version=b"http/1.1"), "400 close"),
    Case("other-protocol", get(version=b"ICAP/1.0"), "400 close"),
    Case("two-spaces-before-target", get().replace(b" ", b"  ", 1), "400 close"),
    Case("two-spaces-before-version", get(READ + b" "), "400 close"),
    Case("tab-for-space", get().replace(b" ", b"\t", 1), "400 close"),
    Case("space-after-version", get(version=b"HTTP/1.1 "), "400 close"),
    Case("space-before-method", b" " + get(), "400 close"),
    Case("empty-line-first", b"\r\n" + get(), "200"),
    Case("empty-lines-first", b"\r\n" * 20 + get(), "200"),
    Case("only-empty-lines", b"\r\n" * 100, "waits"),
    Case("empty-line-between", get() + b"\r\n" + get(), "200 200"),
    Case("nul-in-target", get(b"/livez\0"), "400 close"),
    Case("space-in-target", get(b"/live z"), "400 close"),
    Case("latin-1-in-target", get(b"/ol\xe9"), "400 close"),
    Case("fragment-in-target", get(b"/livez#top"), "400 close"),
    Case("delete-in-target", get(b"/livez\x7f"), "400 close"),
]

TARGETS = [
    Case("absolute-form", get(b"http://localhost" + READ), "200"),
    Case("absolute-form-capital", get(b"HTTP://localhost" + READ), "200"),
    Case("absolute-form-https", get(b"https://localhost:8443" + READ), "200"),
    Case("absolute-form-of-a-page", get(b"http://localhost/livez"), "200"),
    Case("absolute-form-of-nowhere", get(b"http://localhost/nowhere?a=b"), "404"),
    Case("absolute-form-without-path", get(b"http://localhost"), "307"),
    Case("absolute-form-query-only", get(b"http://localhost?x=1"), "307"),
    Case("absolute-form-other-scheme", get(b"ftp://localhost/livez"), "400 close"),
    Case("absolute-form-user", get(b"http://me:pw@localhost/livez"), "400 close"),
    Case("absolute-form-no-host", get(b"http:///livez"), "400 close"),
    Case("authority-form", get(b"localhost:80"), "400 close"),
    Case("relative", get(b"livez"), "400 close"),
    Case("asterisk", get(b"*"), "400 close"),
    Case("asterisk-options", get(b"*").replace(b"GET", b"OPTIONS", 1), "204", methods=("OPTIONS",)),
    Case("options", get().replace(b"GET", b"OPTIONS", 1), "204", methods=("OPTIONS",)),
    Case("two-slashes", get(b"//livez"), "404"),
    Case("brackets-in-target", get(b'/nowhere<>"{}|\\^`[]'), "404"),
    Case("percent-garbage", get(b"/v1/channels/%zz/events"), "200"),
    Case("percent-nul", get(b"/v1/channels/%00/events"), "400"),
    Case("query-of-bytes", get(b"/livez?a=%ff"), "200"),
]

HOSTS = [
    Case("no-host", b"GET /livez HTTP/1.1\r\n\r\n", "400 close"),
    Case("no-host-1.0", b"GET /livez HTTP/1.0\r\n\r\n", "200 close"),
    Case("two-hosts", get(b"/livez", b"Host: other.localhost"), "400 close"),
    Case("two-hosts-same", get(b"/livez", b"Host: localhost"), "400 close"),
    Case(
        "two-hosts-1.0", get(b"/livez", b"Host: other.localhost", version=b"HTTP/1.0"), "400 close"
    ),
    Case("empty-host", b"GET " + READ + b" HTTP/1.1\r\nHost:\r\n\r\n", "200"),
    Case("host-with-port", b"GET " + READ + b" HTTP/1.1\r\nHost: a.localhost:80\r\n\r\n", "200"),
    Case("host-ipv6", b"GET " + READ + b" HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "200"),
    Case("host-with-space", b"GET /livez HTTP/1.1\r\nHost: a b.localhost\r\n\r\n", "400 close"),
    Case("host-with-path", b"GET /livez HTTP/1.1\r\nHost: a/b.localhost\r\n\r\n", "400 close"),
    Case("host-with-user", b"GET /livez HTTP/1.1\r\nHost: a@b.localhost\r\n\r\n", "400 close"),
    Case("host-list", b"GET /livez HTTP/1.1\r\nHost: a, b.localhost\r\n\r\n", "400 close"),
    Case(
        "host-with-word-for-port", b"GET /livez HTTP/1.1\r\nHost: localhost:b\r\n\r\n", "400 close"
    ),
]

HEADERS = [
    Case("header-without-colon", get(READ, b"Nonsense"), "400 close"),
    Case("header-without-name", get(READ, b": x"), "400 close"),
    Case("header-without-value", get(READ, b"X-Empty:"), "200"),
    Case("space-before-colon", get(READ, b"X-Odd : x"), "400 close"),
    Case("tab-before-colon", get(READ, b"X-Odd\t: x"), "400 close"),
    Case("space-in-name", get(READ, b"X Odd: x"), "400 close"),
    Case("bracket-in-name", get(READ, b"X(Odd): x"), "400 close"),
    Case("latin-1-in-name", get(READ, b"X-Odd\xe9: x"), "400 close"),
    Case("latin-1-in-value", get(READ, b"X-Odd: ol\xe9"), "200"),
    Case("tabs-around-value", get(READ, b"X-Odd:\t x \t"), "200"),
    Case("nul-in-value", get(READ, b"X-Odd: a\0b"), "400 close"),
    Case("bell-in-value", get(READ, b"X-Odd: a\x07b"), "400 close"),
    Case("delete-in-value", get(READ, b"X-Odd: a\x7fb"), "400 close"),
    Case("folded", get(READ, b"X-Odd: a", b" b"), "400 close"),
    Case("folded-by-tab", get(READ, b"X-Odd: a", b"\tb"), "400 close"),
    Case("folded-first", b"GET /livez HTTP/1.1\r\n Host: localhost\r\n\r\n", "400 close"),
    Case("bare-lf-everywhere", get().replace(b"\r\n", b"\n"), "400 close"),
    Case("bare-lf-once", get(READ, b"X-Odd: a\nX-More: b"), "400 close"),
    Case("bare-lf-at-the-end", get()[:-2] + b"\n", "400 close"),
    Case("bare-cr", get(READ, b"X-Odd: a\rX-More: b"), "400 close"),
    Case("bare-cr-at-the-end", get(READ, b"X-Odd: a\r"), "400 close"),
    Case("cr-cr-lf", get(READ, b"X-Odd: a\r\r"), "400 close"),
]

CONNECTIONS = [
    Case("close", get(READ, b"Connection: close"), "200 close"),
    Case("close-among-others", get(READ, b"Connection: x, CLOSE ,y"), "200 close"),
    Case("close-in-second-header", get(READ, b"Connection: x", b"Connection: close"), "200 close"),
    Case("closely", get(READ, b"Connection: closely"), "200"),
    Case("close-and-keep", get(READ, b"Connection: keep-alive, close"), "200 close"),
    Case("keep-alive", get(READ, b"Connection: keep-alive"), "200"),
    Case("proxy-connection", get(READ, b"Proxy-Connection: close"), "200"),
    Case("http-1.0", get(version=b"HTTP/1.0"), "200 close"),
    Case("http-1.0-page", get(b"/livez", version=b"HTTP/1.0"), "200 close"),
    Case("http-1.0-keep", get(READ, b"Connection: Keep-Alive", version=b"HTTP/1.0"), "200"),
    Case("http-1.0-close", get(READ, b"Connection: close", version=b"HTTP/1.0"), "200 close"),
    Case("close-then-more", get(READ, b"Connection: close") + get(), "200 close"),
    Case(
        "websocket-to-nobody",
        get(
            b"/nowhere",
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Version: 13",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        "404",
    ),
    Case("upgrade-to-h2c", get(b"/livez", b"Upgrade: h2c", b"Connection: Upgrade"), "200"),
    Case("upgrade-of-an-endpoint", get(READ, b"Upgrade: h2c", b"Connection: Upgrade"), "200"),
    Case(
        "upgrade-then-more",
        get(b"/livez", b"Upgrade: x", b"Connection: Upgrade") + get() + get(b"/livez"),
        "200 200 200",
    ),
    Case("upgrade-without-connection", get(b"/livez", b"Upgrade: websocket"), "200"),
]

BODY = b'{"a": 1}'
LENGTHS = [
    Case("length", post(BODY, b"Content-Length: 8"), "200"),
    Case("length-then-more", post(BODY, b"Content-Length: 8") + get(), "200 200"),
    Case("length-too-short", post(BODY, b"Content-Length: 7"), "200 400 close"),
    Case("length-too-long", post(BODY, b"Content-Length: 9"), "waits"),
    Case("length-zero", post(b"", b"Content-Length: 0"), "200"),
    Case("length-zeros", post(BODY, b"Content-Length: 0000008"), "200"),
    Case("no-length", post(), "200"),
    Case("no-length-but-a-body", post(BODY), "200 400 close"),
    Case("length-of-a-get", get(READ, b"Content-Length: 8") + BODY, "200"),
    Case("lengths-differ", post(BODY, b"Content-Length: 8", b"Content-Length: 7"), "400 close"),
    Case("lengths-same", post(BODY, b"Content-Length: 8", b"Content-Length: 8"), "400 close"),
    Case("length-list", post(BODY, b"Content-Length: 8, 8"), "400 close"),
    Case("length-list-differs", post(BODY, b"Content-Length: 8, 7"), "400 close"),
    Case("length-plus", post(BODY, b"Content-Length: +8"), "400 close"),
    Case("length-minus", post(BODY, b"Content-Length: -8"), "400 close"),
    Case("length-hex", post(BODY, b"Content-Length: 0x8"), "400 close"),
    Case("length-float", post(BODY, b"Content-Length: 8.0"), "400 close"),
    Case("length-underscore", post(BODY, b"Content-Length: 0_8"), "400 close"),
    Case("length-space-inside", post(BODY, b"Content-Length: 0 8"), "400 close"),
    Case("length-spaces-around", post(BODY, b"Content-Length: \t 8 \t"), "200"),
    Case("length-empty", post(BODY, b"Content-Length:"), "400 close"),
    Case("length-word", post(BODY, b"Content-Length: eight"), "400 close"),
    Case("length-other-digits", post(BODY, b"Content-Length: \xef\xbc\x98"), "400 close"),
    Case("length-2^32", post(BODY, b"Content-Length: 4294967304"), "413 close"),
    Case("length-2^64", post(BODY, b"Content-Length: 18446744073709551624"), "400 close"),
    Case("length-endless", post(BODY, b"Content-Length: " + many(500, b"9")), "400 close"),
    Case("length-space-before-colon", post(BODY, b"Content-Length : 8"), "400 close"),
    Case("length-1.0", post(BODY, b"Content-Length: 8").replace(b"1.1", b"1.0", 1), "200 close"),
]

CHUNKS = b"8\r\n" + BODY + b"\r\n0\r\n\r\n"
CODINGS = [
    Case("chunked", chunked(CHUNKS), "200"),
    Case("chunked-then-more", chunked(CHUNKS) + get(), "200 200"),
    Case("chunked-capital", post(CHUNKS, b"TRANSFER-ENCODING: ChUnKeD"), "200"),
    Case(
        "length-and-chunked",
        post(CHUNKS, b"Content-Length: 8", b"Transfer-Encoding: chunked"),
        "400 close",
    ),
    Case(
        "chunked-and-length",
        post(CHUNKS, b"Transfer-Encoding: chunked", b"Content-Length: 8"),
        "400 close",
    ),
    Case(
        "chunked-and-length-zero",
        post(CHUNKS, b"Transfer-Encoding: chunked", b"Content-Length: 0"),
        "400 close",
    ),
    Case(
        "length-and-identity",
        post(BODY, b"Content-Length: 8", b"Transfer-Encoding: identity"),
        "400 close",
    ),
    Case("xchunked", post(CHUNKS, b"Transfer-Encoding: xchunked"), "400 close"),
    Case("chunked-in-quotes", post(CHUNKS, b'Transfer-Encoding: "chunked"'), "400 close"),
    Case("identity", post(BODY, b"Transfer-Encoding: identity"), "400 close"),
    Case("gzip", post(BODY, b"Transfer-Encoding: gzip"), "400 close"),
    Case("gzip-chunked", post(CHUNKS, b"Transfer-Encoding: gzip, chunked"), "501 close"),
    Case("chunked-gzip", post(CHUNKS, b"Transfer-Encoding: chunked, gzip"), "400 close"),
    Case("chunked-twice", post(CHUNKS, b"Transfer-Encoding: chunked, chunked"), "400 close"),
    Case("chunked-semicolon", post(CHUNKS, b"Transfer-Encoding: chunked;x=1"), "400 close"),
    Case("chunked-comma", post(CHUNKS, b"Transfer-Encoding: chunked,"), "400 close"),
    Case(
        "two-codings",
        post(CHUNKS, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        "400 close",
    ),
    Case("coding-empty", post(CHUNKS, b"Transfer-Encoding:"), "400 close"),
    Case("coding-vertical-tab", post(CHUNKS, b"Transfer-Encoding:\x0bchunked"), "400 close"),
    Case("coding-space-before-colon", post(CHUNKS, b"Transfer-Encoding : chunked"), "400 close"),
    Case("coding-folded", post(CHUNKS, b"Transfer-Encoding:", b" chunked"), "400 close"),
    Case("coding-underscore", post(CHUNKS, b"Transfer_Encoding: chunked"), "200 400 close"),
    Case("chunked-1.0", chunked(CHUNKS).replace(b"1.1", b"1.0", 1), "400 close"),
]

CHUNKING = [
    Case("chunks", chunked(b'4\r\n{"a"\r\n4\r\n: 1}\r\n0\r\n\r\n'), "200"),
    Case("chunk-of-nothing", chunked(b"0\r\n\r\n"), "200"),
    Case("chunk-size-capital", chunked(b"A\r\n" + many(10) + b"\r\n0\r\n\r\n"), "200"),
    Case("chunk-size-zeros", chunked(b"008\r\n" + BODY + b"\r\n000\r\n\r\n"), "200"),
    Case(
        "chunk-size-2^64", chunked(b"10000000000000008\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"
    ),
    Case("chunk-size-2^60", chunked(b"fffffffffffffff\r\n" + BODY), "waits"),
    Case("chunk-size-many-zeros", chunked(many(300, b"0") + b"\r\n\r\n"), "400 close"),
    Case("chunk-size-negative", chunked(b"-8\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-size-plus", chunked(b"+8\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-size-0x", chunked(b"0x8\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-size-underscore", chunked(b"0_8\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-size-space-before", chunked(b" 8\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-size-space-after", chunked(b"8 \r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-size-empty", chunked(b"\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-size-word", chunked(b"eight\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-extension", chunked(b"8;a=b\r\n" + BODY + b"\r\n0;c\r\n\r\n"), "200"),
    Case("chunk-extension-quoted", chunked(b'8;a="b c"\r\n' + BODY + b"\r\n0\r\n\r\n"), "200"),
    Case("chunk-extension-bare-lf", chunked(b"8;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-extension-bare-cr", chunked(b"8;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-extension-nul", chunked(b"8;a\0\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-extension-endless", chunked(b"8;" + many(100_000)), "400 close"),
    Case("chunk-lf-after-size", chunked(b"8\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-cr-after-size", chunked(b"8\r" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-lf-after-data", chunked(b"8\r\n" + BODY + b"\n0\r\n\r\n"), "400 close"),
    Case("chunk-nothing-after-data", chunked(b"8\r\n" + BODY + b"0\r\n\r\n"), "400 close"),
    Case("chunk-longer-than-said", chunked(b"7\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-shorter-than-said", chunked(b"9\r\n" + BODY + b"\r\n0\r\n\r\n"), "400 close"),
    Case("chunk-without-end", chunked(b"8\r\n" + BODY + b"\r\n"), "waits"),
    Case("chunk-last-lf", chunked(b"8\r\n" + BODY + b"\r\n0\r\n\n"), "400 close"),
    Case("trailer", chunked(CHUNKS[:-2] + b"X-Sum: 1\r\n\r\n"), "200"),
    Case("trailer-of-framing", chunked(CHUNKS[:-2] + b"Content-Length: 9\r\n\r\n"), "200"),
    Case("trailer-without-colon", chunked(CHUNKS[:-2] + b"nonsense\r\n\r\n"), "400 close"),
    Case("trailer-folded", chunked(CHUNKS[:-2] + b"X-Sum: 1\r\n 2\r\n\r\n"), "400 close"),
    Case("trailer-bare-lf", chunked(CHUNKS[:-2] + b"X-Sum: 1\n\r\n"), "400 close"),
    Case("trailer-nul", chunked(CHUNKS[:-2] + b"X-Sum: \0\r\n\r\n"), "400 close"),
    Case("trailer-line-endless", chunked(CHUNKS[:-2] + b"X-Sum: " + many(200_000)), "431 close"),
    Case("trailers-endless", chunked(CHUNKS[:-2] + many(200_000, b"X-Sum: 1\r\n")), "431 close"),
]

LIMITS = [
    Case("target-at-limit", get(b"/v1/channels/x?" + many(8192 - 15)), "404"),
    Case(
        "target-over-limit",
        get(b"/v1/channels/x?" + many(8192 - 14)),
        "414 close",
        problem="uri-too-long",
    ),
    Case("target-endless", b"GET /" + many(200_000), "414 close", problem="uri-too-long"),
    Case("target-huge", get(b"/" + many(60_000)), "414 close", problem="uri-too-long"),
    Case("header-at-limit", get(READ, b"X: " + many(16 * 1024 - 1)), "200"),
    Case(
        "header-over-limit",
        get(READ, b"X: " + many(16 * 1024)),
        "431 close",
        problem="header-too-large",
    ),
    Case(
        "header-endless",
        get(READ, b"X: " + many(200_000))[:-4],
        "431 close",
        problem="header-too-large",
    ),
    Case(
        "headers-over-limit",
        get(READ, *[b"X%d: " % n + many(4096) for n in range(9)]),
        "431 close",
        problem="header-too-large",
    ),
    Case("headers-100", get(READ, *[b"X%d: y" % n for n in range(99)]), "200"),
    Case(
        "headers-101",
        get(READ, *[b"X%d: y" % n for n in range(100)]),
        "431 close",
        problem="header-too-large",
    ),
    Case(
        "headers-endless",
        get(READ, *[b"X: y" for n in range(20_000)])[:-4],
        "431 close",
        problem="header-too-large",
    ),
    Case("body-at-limit", post(many(262_144), b"Content-Length: 262144"), "200"),
    Case(
        "body-over-limit",
        post(many(262_145), b"Content-Length: 262145"),
        "413 close",
        problem="too-large",
    ),
    Case("body-said-to-be-huge", post(b"", b"Content-Length: 99999999"), "413 close"),
    Case(
        "chunks-at-limit",
        chunked(b"%x\r\n" % 262_144 + many(262_144) + b"\r\n0\r\n\r\n"),
        "200",
    ),
    Case(
        "chunks-over-limit",
        chunked((b"1000\r\n" + many(4096) + b"\r\n") * 65 + b"0\r\n\r\n"),
        "413 close",
        problem="too-large",
    ),
    Case(
        "one-chunk-over-limit",
        chunked(b"fffffff\r\n" + many(400_000)),
        "413 close",
        problem="too-large",
    ),
    Case(
        "body-of-a-get-over-limit",
        get(READ, b"Content-Length: 65537") + many(65_537),
        "413 close",
        problem="too-large",
    ),
]

EXPECTATIONS = [
    Case("expect", post(BODY, b"Content-Length: 8", b"Expect: 100-continue"), "200"),
    Case("expect-and-wait", post(b"", b"Content-Length: 8", b"Expect: 100-Continue"), "100 waits"),
    Case("expect-chunked", chunked(b"", b"Expect: 100-continue"), "100 waits"),
    Case(
        "expect-too-much",
        post(b"", b"Content-Length: 99999999", b"Expect: 100-continue"),
        "413 close",
        problem="too-large",
    ),
    Case("expect-nothing", get(READ, b"Expect: 100-continue"), "200"),
    Case("expect-no-body", post(b"", b"Content-Length: 0", b"Expect: 100-continue"), "200"),
    Case("expect-miracles", post(BODY, b"Content-Length: 8", b"Expect: miracles"), "200"),
    Case(
        "expect-1.0",
        post(b"", b"Content-Length: 8", b"Expect: 100-continue").replace(b"1.1", b"1.0", 1),
        "waits",
    ),
    Case(
        "expect-of-a-page",
        post(b"", b"Content-Length: 8", b"Expect: 100-continue", target=b"/livez"),
        "405 close",
    ),
]

HEADS = [
    Case("head", get().replace(b"GET", b"HEAD", 1), "200", methods=("HEAD",)),
    Case(
        "head-then-get",
        get().replace(b"GET", b"HEAD", 1) + get(),
        "200 200",
        methods=("HEAD", "GET"),
    ),
    Case("head-of-a-page", get(b"/livez").replace(b"GET", b"HEAD", 1), "200", methods=("HEAD",)),
    Case(
        "head-refused",
        get(b"/v1/channels/%00").replace(b"GET", b"HEAD", 1),
        "400",
        methods=("HEAD",),
    ),
    Case(
        "head-too-large",
        get(READ, b"Content-Length: 99999999").replace(b"GET", b"HEAD", 1),
        "413 close",
        methods=("HEAD",),
    ),
    Case(
        "head-of-a-wait",
        get(READ, b"Prefer: wait=25").replace(b"GET", b"HEAD", 1),
        "200",
        methods=("HEAD",),
    ),
    Case(
        "head-of-a-stream",
        get(READ, b"Accept: text/event-stream").replace(b"GET", b"HEAD", 1),
        "200",
        methods=("HEAD",),
    ),
    Case(
        "head-1.0",
        get(version=b"HTTP/1.0").replace(b"GET", b"HEAD", 1),
        "200 close",
        methods=("HEAD",),
    ),
]

PIPELINES = [
    Case("many", get() * 50, " ".join(["200"] * 50)),
    Case("many-pages", get(b"/livez") * 20, " ".join(["200"] * 20)),
    Case(
        "mixed",
        (get() + get(b"/nowhere") + post(BODY, b"Content-Length: 8")) * 5,
        "200 404 200 " * 5,
    ),
    Case("publishes", post(BODY, b"Content-Length: 8") * 20, " ".join(["200"] * 20)),
    Case("good-then-bad", get() + b"BAD\r\n\r\n" + get(), "200 400 close"),
    Case("page-then-bad", get(b"/livez") + b"BAD\r\n\r\n" + get(), "200 400 close"),
    Case("chunked-page", chunked(CHUNKS).replace(EVENTS, b"/livez") + get(), "405 200"),
    Case("length-page", post(BODY, b"Content-Length: 8", target=b"/livez") + get(), "405 200"),
    Case(
        "chunked-page-broken",
        chunked(b"zz\r\n").replace(EVENTS, b"/livez") + get(),
        "400 close",
    ),
    Case(
        "chunked-page-bad-trailer",
        chunked(b"0\r\nnonsense\r\n\r\n").replace(EVENTS, b"/livez") + get(),
        "400 close",
    ),
    Case(
        "page-endpoint-page",
        get(b"/livez") + get() + get(b"/livez") + get(),
        "200 200 200 200",
    ),
]

GARBAGE = [
    Case("tls", bytes.fromhex("16030100c8010000c40303") + bytes(range(200)), "400 close"),
    Case("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", "400 close"),
    Case("ssh", b"SSH-2.0-OpenSSH_9.2\r\n", "400 close"),
    Case("smtp", b"EHLO me.example\r\n", "400 close"),
    Case("redis", b"*1\r\n$4\r\nPING\r\n", "400 close"),
    Case("nothing-but-nul", bytes(1000), "400 close"),
    Case("high-bytes", bytes(range(128, 256)) * 10, "400 close"),
    Case("proxy-protocol", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get(), "400 close"),
    Case("no-bytes-but-newlines", b"\n" * 50_000, "waits"),
]

CASES = [
    *REQUEST_LINE,
    *TARGETS,
    *HOSTS,
    *HEADERS,
    *CONNECTIONS,
    *LENGTHS,
    *CODINGS,
    *CHUNKING,
    *LIMITS,
    *EXPECTATIONS,
    *HEADS,
    *PIPELINES,
    *GARBAGE,
]

# Where uvicorn's protocols do something else: httptools, and h11; "" is the same as the front.
DIFFERENT = {
    # Methods that nobody knows are the application's business there, or llhttp's.
    "lower-case-method": ("400 close", "405"),
    "unknown-method": ("400 close", "405"),
    "connect": ("400 close", "404"),
    # Other versions than are spoken, or a line that RFC 9112 §3 does not allow, are read anyway.
    "no-version": ("200 close", ""),
    "http-0.9": ("waits", "waits"),
    "http-0.9-whole": ("200 close", ""),
    "http-1.2": ("", "200"),
    "http-2.0": ("200 close", "200"),
    "two-spaces-before-target": ("200", ""),
    "two-spaces-before-version": ("200", ""),
    "fragment-in-target": ("200", "404"),
    # RFC 9112 §2.2 asks servers to skip empty lines before a request; h11 does not.
    "empty-line-first": ("", "400 close"),
    "empty-lines-first": ("", "400 close"),
    "only-empty-lines": ("", "400 close"),
    "empty-line-between": ("", "200 400 close"),
    "no-bytes-but-newlines": ("", "400 close"),
    # RFC 9112 §3.2.2 and §3.2.4 ask for whole URLs and "*"; to h11 they are paths to nowhere,
    # and of httptools some are errors.
    "absolute-form": ("", "404"),
    "absolute-form-capital": ("", "404"),
    "absolute-form-https": ("", "404"),
    "absolute-form-of-a-page": ("", "404"),
    "absolute-form-without-path": ("400 close", "404"),
    "absolute-form-query-only": ("400 close", "404"),
    "absolute-form-other-scheme": ("200", "404"),
    "absolute-form-user": ("200", "404"),
    "absolute-form-no-host": ("", "404"),
    "authority-form": ("", "404"),
    "relative": ("", "404"),
    "asterisk": ("404", "404"),
    "asterisk-options": ("404", "404"),
    # RFC 9112 §3.2 asks for a 400; httptools looks at no Host, h11 only counts them.
    "no-host": ("200", ""),
    "two-hosts": ("200", ""),
    "two-hosts-same": ("200", ""),
    "two-hosts-1.0": ("200 close", ""),
    "host-with-space": ("200", "200"),
    "host-with-path": ("200", "200"),
    "host-with-user": ("200", "200"),
    "host-list": ("200", "200"),
    "host-with-word-for-port": ("200", "200"),
    # Lenient where two parsers in a row may disagree about what a header is.
    "bell-in-value": ("", "200"),
    "delete-in-value": ("", "200"),
    "folded": ("", "200"),
    "folded-by-tab": ("", "200"),
    "bare-lf-everywhere": ("", "200"),
    "bare-lf-once": ("", "200"),
    "bare-lf-at-the-end": ("", "200"),
    "coding-folded": ("", "200"),
    # Proxy-Connection is nobody's header (RFC 9112 §C.2.2) but llhttp's; HTTP/1.0 is never kept;
    # after an offer of another protocol uvicorn stops reading HTTP.
    "proxy-connection": ("200 close", ""),
    "http-1.0-keep": ("200 close", "200 close"),
    "upgrade-then-more": ("200", ""),
    # What cannot be a request is found before the one ahead of it is answered, which never is; or
    # h11 waits for more of it.
    "length-too-short": ("400 close", "200 waits"),
    "no-length-but-a-body": ("400 close", "200 waits"),
    "coding-underscore": ("400 close", ""),
    "good-then-bad": ("400 close", ""),
    "page-then-bad": ("400 close", ""),
    # Lenient where two parsers in a row may disagree about where a request ends (smuggling).
    "lengths-same": ("", "200"),
    "length-list": ("", "200"),
    "length-2^64": ("", "413 close"),
    "length-and-chunked": ("", "200"),
    "chunked-and-length": ("", "200"),
    "chunked-and-length-zero": ("", "200"),
    "gzip-chunked": ("200", "400 close"),
    "chunked-1.0": ("200 close", "200 close"),
    "chunk-size-2^64": ("", "waits"),
    "chunk-size-many-zeros": ("200", ""),
    "chunk-size-space-after": ("", "200"),
    "chunk-extension-bare-cr": ("", "200"),
    "chunk-extension-nul": ("", "200"),
    "chunk-last-lf": ("", "200"),
    "trailer-of-framing": ("400 close", ""),
    "trailer-folded": ("", "200"),
    "trailer-bare-lf": ("", "200"),
    # No limit, or another, and no deadline behind it.
    "chunk-extension-endless": ("waits", ""),
    "trailer-line-endless": ("waits", "400 close"),
    # As many as come at once; on a busy machine the deadline of the body is first.
    "trailers-endless": ("431 close or waits or 408 close", "400 close"),
    "target-over-limit": ("404", "404"),
    "target-endless": ("waits", "400 close"),
    "target-huge": ("404", "404"),
    "header-endless": ("waits", "400 close"),
    "headers-101": ("200", "200"),
    "headers-endless": ("waits", "400 close"),
    # A 100 although the body is there or there is none, or to HTTP/1.0, which does not know it.
    "expect": ("100 200", "100 200"),
    "expect-nothing": ("100 200", "100 200"),
    "expect-no-body": ("100 200", "100 200"),
    "expect-1.0": ("100 waits", ""),
    "expect-of-a-page": ("405 waits", "405 waits"),
    # Other protocols are not recognised before a whole head has come, or at all.
    "http-2-preface": ("", "404 400 close"),
    "ssh": ("", "waits"),
    "smtp": ("", "waits"),
    "redis": ("", "waits"),
    "high-bytes": ("", "waits"),
}
