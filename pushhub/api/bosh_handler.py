"""The requests to `/http-bind`: a BOSH session (XEP-0124) completes the hold of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from pushhub.bosh.body import EMPTY, parse, terminate
from pushhub.bosh.coding import MIN_BYTES, decode, encode
from pushhub.bosh.condition import BindingError
from pushhub.bosh.negotiation import DEFAULT_CONTENT
from pushhub.http.accept import accepts_gzip
from pushhub.http.problem import retry_after
from pushhub.http.response import Response
from pushhub.hub.hold import Hold

if TYPE_CHECKING:
    from pushhub.bosh.sessions import BoshEndpoint
    from pushhub.http.request import Request
    from pushhub.http.response import Headers
    from pushhub.hub.hub import Hub

log = structlog.get_logger(__name__)

_HEADERS: Headers = ((b"content-type", DEFAULT_CONTENT.encode()),)
# During a drain, a migration, or an outage of the store: the client sends the request again.
_RETRY: Headers = (retry_after(1),)
_GZIP: Headers = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))

# The response to most requests; one object, so that its bytes are made once.
_EMPTY = Response(200, _HEADERS, EMPTY)


class BoshHold(Hold):
    """A request that waits for its session's response; see `PendingRequest`."""

    __slots__ = ("client", "gzip", "secure", "sessions")

    def __init__(self, sessions: BoshEndpoint, request: Request) -> None:
        super().__init__()
        self.sessions = sessions
        self.client = request.client
        self.secure = request.is_confidential
        self.gzip = accepts_gzip(request.headers.get("accept-encoding"))

    def respond(self, body: bytes, status: int = 200, content: str = DEFAULT_CONTENT) -> None:
        """Complete the request with the session's response."""
        if body == EMPTY and content == DEFAULT_CONTENT:
            self.complete(_EMPTY)
            return
        headers = _HEADERS
        if content != DEFAULT_CONTENT:
            headers = ((b"content-type", content.encode()),)
        if status == 503:
            headers += _RETRY
        if self.gzip and len(body) >= MIN_BYTES:
            headers, body = headers + _GZIP, encode(body)
        self.complete(Response(status, headers, body))

    @property
    def retries(self) -> bool:
        return True

    @property
    def waits(self) -> bool:
        return True

    @property
    def is_parked(self) -> bool:
        """False: each request of a client frees its previous one, so the client sets their rate."""
        return False

    def drop(self) -> None:
        """The client disconnected: the session must not respond to this request."""
        if not self.done:
            super().drop()
            self.sessions.disconnected(self)


class BoshHandler:
    """Handles the requests to `/http-bind` of a hub that serves an XMPP domain."""

    __slots__ = ("_hub", "_sessions")

    def __init__(self, hub: Hub, sessions: BoshEndpoint) -> None:
        self._hub = hub
        self._sessions = sessions

    def handle(self, request: Request) -> BoshHold:
        """Pass a request to its session, or create one."""
        sessions = self._sessions
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
                # The response is a 500, after which clients send the same request again; until then
                # no request waits.
                hold.drop()
                raise
            self._hub.log.exception(log, "bosh.failed")
        return hold
