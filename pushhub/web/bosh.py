"""`/http-bind`: BOSH (XEP-0124) as a face. A request is a hold, which its session completes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from pushhub.bosh.body import EMPTY, parse, terminate
from pushhub.bosh.coding import LEAST_BYTES, decode, encode
from pushhub.bosh.condition import BindingError
from pushhub.bosh.terms import DEFAULT_CONTENT
from pushhub.hub.hold import Hold
from pushhub.protocol.accept import accepts_gzip
from pushhub.protocol.answer import Answer
from pushhub.protocol.problem import Problem

if TYPE_CHECKING:
    from pushhub.bosh.sessions import Sessions
    from pushhub.protocol.answer import Headers
    from pushhub.protocol.grant import Grant
    from pushhub.protocol.request import Request
    from pushhub.web.service import Service

log = structlog.get_logger(__name__)

_HEADERS: Headers = ((b"content-type", DEFAULT_CONTENT.encode()),)
_GZIP: Headers = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))

# What most requests are answered with; one object, so that its bytes are made once.
_NOTHING = Answer(200, _HEADERS, EMPTY)

_PAGE = Answer(
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


class Bound(Hold):
    """A request that waits for its session's answer. Its session knows it as a caller."""

    __slots__ = ("client", "gzip", "secure", "sessions")

    def __init__(self, sessions: Sessions, request: Request) -> None:
        super().__init__()
        self.sessions = sessions
        self.client = request.client
        self.secure = request.secure
        self.gzip = accepts_gzip(request.headers.get("accept-encoding"))

    def answer(self, body: bytes, status: int = 200, content: str = DEFAULT_CONTENT) -> None:
        """Complete it with what the session says."""
        if body == EMPTY and content == DEFAULT_CONTENT:
            self.complete(_NOTHING)
            return
        headers: Headers = _HEADERS
        if content != DEFAULT_CONTENT:
            headers = ((b"content-type", content.encode()),)
        if self.gzip and len(body) >= LEAST_BYTES:
            headers, body = headers + _GZIP, encode(body)
        self.complete(Answer(status, headers, body))

    @property
    def waits(self) -> bool:
        return True

    def drop(self) -> None:
        """The client has gone: its session must know, or it would answer nobody."""
        if not self.done:
            super().drop()
            self.sessions.gone(self)


def bind(service: Service, request: Request, grant: Grant) -> Answer | Hold:
    """Give a request to its session, or begin one.

    Raises:
        Problem: no XMPP is served here.
    """
    sessions = service.bosh
    if sessions is None:
        raise Problem("not-found", "No XMPP domain is served here.")
    hold = Bound(sessions, request)
    try:
        raw = decode(request.body, request.headers.get("content-encoding", ""))
        body = parse(raw)
        if body.sid:
            sessions.request(body, raw, hold)
        else:
            sessions.open(body, raw, hold)  # [C12]
    except BindingError as error:
        log.debug("bosh.refused", condition=error.condition, reason=str(error))
        hold.answer(terminate(error.condition), error.status)
    except Exception:
        if not hold.done:
            # A 500, for which clients send the same again. Until then nobody waits for its answer.
            hold.drop()
            raise
        service.hub.log.exception(log, "bosh.failed")
    return hold


def page(service: Service, request: Request, grant: Grant) -> Answer:
    """Tell whoever opens the address in a browser what it is for."""
    if service.bosh is None:
        raise Problem("not-found", "No XMPP domain is served here.")
    if request.query_string:
        raise Problem("not-found", "The script syntax of XEP-0252 is not supported.")  # [Q2]
    return _PAGE
