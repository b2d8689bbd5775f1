"""`/http-bind`: BOSH (XEP-0124) as an endpoint. A session completes the hold of each request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from pushhub.bosh.body import EMPTY, parse, terminate
from pushhub.bosh.coding import LEAST_BYTES, decode, encode
from pushhub.bosh.condition import BindingError
from pushhub.bosh.negotiation import DEFAULT_CONTENT
from pushhub.http.accept import accepts_gzip
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.hold import Hold

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.bosh.sessions import BoshEndpoint
    from pushhub.http.request import Request
    from pushhub.http.response import Headers
    from pushhub.log.grant import Grant

log = structlog.get_logger(__name__)

_HEADERS: Headers = ((b"content-type", DEFAULT_CONTENT.encode()),)
_GZIP: Headers = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))

# The response to most requests; one object, so that its bytes are made once.
_EMPTY = Response(200, _HEADERS, EMPTY)

_PAGE = Response(
    200,
    ((b"content-type", b"text/html; charset=utf-8"),),
    b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>BOSH</title>
<h1>It works</h1>
<p>XMPP clients that speak <a href="https://xmpp.org/extensions/xep-0124.html">BOSH</a> connect
here, such as Strophe.js and Converse.js: give them this address.</p>
</html>
""",
)


class BoshHold(Hold):
    """A request that waits for its session's response; see `PendingRequest`."""

    __slots__ = ("client", "gzip", "secure", "sessions")

    def __init__(self, sessions: BoshEndpoint, request: Request) -> None:
        super().__init__()
        self.sessions = sessions
        self.client = request.client
        self.secure = request.secure
        self.gzip = accepts_gzip(request.headers.get("accept-encoding"))

    def respond(self, body: bytes, status: int = 200, content: str = DEFAULT_CONTENT) -> None:
        """Complete the request with the session's response."""
        if body == EMPTY and content == DEFAULT_CONTENT:
            self.complete(_EMPTY)
            return
        headers: Headers = _HEADERS
        if content != DEFAULT_CONTENT:
            headers = ((b"content-type", content.encode()),)
        if self.gzip and len(body) >= LEAST_BYTES:
            headers, body = headers + _GZIP, encode(body)
        self.complete(Response(status, headers, body))

    @property
    def waits(self) -> bool:
        return True

    def drop(self) -> None:
        """The client disconnected: the session must not respond to this request."""
        if not self.done:
            super().drop()
            self.sessions.disconnected(self)


def bind(service: Service, request: Request, grant: Grant) -> Response | Hold:
    """Pass a request to its session, or create one.

    Raises:
        Problem: this server has no XMPP domain.
    """
    sessions = service.bosh
    if sessions is None:
        raise Problem("not-found", "No XMPP domain is served here.")
    hold = BoshHold(sessions, request)
    try:
        raw = decode(request.body, request.headers.get("content-encoding", ""))
        body = parse(raw)
        if body.sid:
            sessions.request(body, raw, hold)
        else:
            sessions.create(body, raw, hold)  # [C12]
    except BindingError as error:
        log.debug("bosh.refused", condition=error.condition, reason=str(error))
        hold.respond(terminate(error.condition), error.status)
    except Exception:
        if not hold.done:
            # The response is a 500, after which clients send the same request again; until then no
            # request waits.
            hold.drop()
            raise
        service.hub.log.exception(log, "bosh.failed")
    return hold


def page(service: Service, request: Request, grant: Grant) -> Response:
    """Explain the URL to a browser user."""
    if service.bosh is None:
        raise Problem("not-found", "No XMPP domain is served here.")
    if request.query_string:
        raise Problem("not-found", "The script syntax of XEP-0252 is not supported.")  # [Q2]
    return _PAGE
