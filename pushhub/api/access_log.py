"""The access log: one line for each request when its response has ended, in one form for all
servers: pushhub's own connections, pages, the proxy to the origin, and ASGI. The spans of requests
begin and end at the same places.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import structlog

from pushhub.http.redact import printable, redacted_path, redacted_query
from pushhub.http.traceparent import TRACE_HEADERS, TRACEPARENT, in_context
from pushhub.settings.changes import is_behind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from pushhub.api.request_spans import RequestSpan, RequestTracer
    from pushhub.api.service import Service
    from pushhub.http.forwarded import TrustedProxies

log = structlog.get_logger("pushhub.access")

# nginx's status of a request whose client disconnected before the response.
CLIENT_LEFT = 499

# Supervisors request these each second; a failing one is logged like any other request.
PROBES = ("/livez", "/readyz", "/healthz")
# Methods that the origin may have are longer than HTTP's own, but no method has more.
MAX_METHOD = 32


# The headers of a request that an entry of an ASGI server reads.
_READ = frozenset(
    name.encode()
    for name in ("x-forwarded-for", "x-forwarded-proto", "x-request-id", *TRACE_HEADERS)
)


class AccessEntry:
    """The facts about a request until its response has ended."""

    __slots__ = ("begun", "client", "method", "path", "query", "request_id", "root", "size",
                 "span", "status", "waits_since")  # fmt: skip

    def __init__(
        self, client: str, method: str, path: str, query: str, request_id: str, begun: float
    ) -> None:
        self.client = client
        self.method = method
        self.path = path
        self.query = query
        self.request_id = request_id
        self.begun = begun
        self.span: RequestSpan | None = None
        # The prefix of an ASGI server.
        self.root = ""
        self.status = 0
        self.size = 0
        # The time at which it began to wait for an event, if it did.
        self.waits_since: float | None = None


class AccessLog:
    """Writes the lines, and ends the spans.

    Args:
        proxies: the proxies whose headers name the client and the request.
        now: seconds of a monotonic clock.
        random_bytes: returns that many random bytes, for the ids of requests.
        prefix: the prefix of pushhub's own paths, if any.
        writes: whether there are lines, and not spans alone.
        tracer: begins the spans of requests with a trace context; None for no spans.
    """

    def __init__(
        self,
        proxies: TrustedProxies,
        now: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        prefix: str = "",
        *,
        writes: bool = True,
        tracer: RequestTracer | None = None,
    ) -> None:
        self.writes = writes
        self._tracer = tracer
        self._proxies = proxies
        # The control listener has no prefix.
        self._probes = frozenset((*PROBES, *(prefix + path for path in PROBES)))
        self._now = now
        self._random_bytes = random_bytes

    def begin(
        self, peer: str, headers: Mapping[str, str], method: str, path: str, query: str
    ) -> AccessEntry | None:
        """The entry of a request whose head has arrived; None if it has no line and no span."""
        proxies, span = self._proxies, None
        if self._tracer is not None and TRACEPARENT in headers:
            secure = proxies.is_secure(peer, headers)
            span = self._tracer.begin(method, path, headers, secure=secure)
        if span is None and not self.writes:
            return None
        id = proxies.request_id(peer, headers) or self._random_bytes(8).hex()
        entry = AccessEntry(proxies.client(peer, headers), method, path, query, id, self._now())
        entry.span = span
        return entry

    def unread(self, peer: str) -> AccessEntry | None:
        """The entry of a request whose head could not be read."""
        return self.begin(peer, {}, "-", "-", "")

    def end(self, entry: AccessEntry, status: int) -> None:
        """Write the line; `entry.size` are the bytes of the body."""
        if entry.span is not None:
            entry.span.end(status, redacted_path(entry.path), entry.client)
        if not self.writes:
            return
        now = self._now()
        waited = 0.0 if entry.waits_since is None else now - entry.waits_since
        is_probe = entry.path.removeprefix(entry.root) in self._probes and status < 500
        about: dict[str, object] = {
            "client": entry.client,
            "method": printable(entry.method[:MAX_METHOD]),
            "path": redacted_path(entry.path),
        }
        if entry.query:
            about["query"] = redacted_query(entry.query)
        about |= {
            "status": status,
            "bytes": entry.size,
            "seconds": round(now - entry.begun, 4),
            "waited": round(waited, 4),
            "request_id": entry.request_id,
        }
        if is_probe:
            log.debug("request", **about)
        else:
            log.info("request", **about)


class RedactedUrls(logging.Filter):
    """Redacts the URLs in the access log of uvicorn, where that runs pushhub as an application."""

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args
        if isinstance(args, tuple) and len(args) == 5 and isinstance(args[2], str):
            path, question, query = args[2].partition("?")
            url = redacted_path(path) + question + redacted_query(query)
            record.args = (*args[:2], url, *args[3:])
        return True


def redact_uvicorn() -> None:
    """Redact the access log of uvicorn. A second call has no effect."""
    logger = logging.getLogger("uvicorn.access")
    if not any(isinstance(each, RedactedUrls) for each in logger.filters):
        logger.addFilter(RedactedUrls())


def access_log(service: Service) -> AccessLog | None:
    """The access log of a server, if the settings ask for it or for traces."""
    settings, tracer = service.settings, service.tracer
    if not settings.access_log and tracer is None:
        return None
    prefix = settings.prefix if is_behind(settings) else ""
    return AccessLog(
        service.proxies,
        lambda: service.hub.now(),
        service.runtime.random_bytes,
        prefix,
        writes=settings.access_log,
        tracer=tracer,
    )


async def logged(
    access: AccessLog | None,
    scope: Scope,
    receive: Receive,
    send: Send,
    app: Callable[[Scope, Receive, Send], Awaitable[None]],
) -> None:
    """Run an ASGI application, and write the line of a request if there is an access log."""
    if access is None or scope["type"] != "http":
        await app(scope, receive, send)
        return
    client = scope.get("client")
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _READ
    }
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    path = raw.decode("latin-1").partition("?")[0]
    query = scope["query_string"].decode("latin-1")
    entry = access.begin(client[0] if client else "", headers, scope["method"], path, query)
    if entry is None:
        await app(scope, receive, send)
        return
    if entry.span is not None:
        scope = {**scope, "headers": in_context(entry.span.traceparent, scope["headers"])}
    entry.root = scope.get("root_path", "").rstrip("/")

    async def counted(message: Message) -> None:
        if message["type"] == "http.response.start":
            entry.status = message["status"]
        elif message["type"] == "http.response.body" and entry.method != "HEAD":
            entry.size += len(message.get("body", b""))
        await send(message)

    try:
        await app(scope, receive, counted)
    finally:
        access.end(entry, entry.status or CLIENT_LEFT)
