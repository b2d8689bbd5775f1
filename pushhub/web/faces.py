"""The faces, as one table of routes, and the one function that runs them: from a parsed request to
its outcome.

Drivers call `handle` and write what comes back. It is synchronous, and needs no task, no scope and
no connection: that is why two drivers can run the same faces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from pushhub.hub.hold import Hold
from pushhub.hub.stream import Stream
from pushhub.protocol.answer import Answer, Part
from pushhub.protocol.channel import ChannelNameError, decode_segment
from pushhub.protocol.coding import decoded
from pushhub.protocol.event import MAX_EVENT_BYTES
from pushhub.protocol.problem import Problem
from pushhub.protocol.request import QueryError
from pushhub.protocol.xml import MAX_BYTES as MAX_BODY_BYTES
from pushhub.web.batch import batch
from pushhub.web.bosh import bind, page
from pushhub.web.channels import delete, delete_many, listing
from pushhub.web.notify import MAX_NOTIFY_BYTES, notify
from pushhub.web.publish import publish
from pushhub.web.reading import feed, many, value
from pushhub.web.tickets import redeem, ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.protocol.grant import Grant
    from pushhub.protocol.poll import Poll
    from pushhub.protocol.request import Request
    from pushhub.web.cors import Cors
    from pushhub.web.service import Service

log = structlog.get_logger(__name__)

Outcome = Answer | Hold | Stream

# A thousand channels with cursors take about 100 KiB; names of 255 bytes, escaped, ten times that.
MAX_POLL_BYTES = 1024 * 1024
# Sixteen events of the largest size, or a thousand of 4 KiB.
MAX_BATCH_BYTES = 4 * 1024 * 1024
# Requests that need no body may have a small one.
MAX_IDLE_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Face:
    """What answers one method of one address. `run` gets the service, the request, the grant and
    the path's channel.
    """

    run: Callable[..., Any]
    max_body: int = MAX_IDLE_BODY_BYTES
    remembered: bool = False
    """Whether a GET of the same address with the same reading headers is the same poll again."""
    admit: Callable[[Service, Request], Grant] | None = None
    """Who may, where that is not for the authority alone."""
    decodes: bool = True
    """Whether a compressed body is unpacked before `run`; else `run` reads `Content-Encoding`."""


@dataclass(frozen=True, slots=True)
class Route:
    """An address, and its faces by method."""

    path: str
    faces: Mapping[str, Face]
    aliases: tuple[str, ...] = ()
    """Other spellings of a `path` without a channel."""

    @property
    def methods(self) -> tuple[str, ...]:
        """What the address answers, beside OPTIONS."""
        return tuple(
            m for method in self.faces for m in ((method, "HEAD") if method == "GET" else (method,))
        )


ROUTES = (
    Route("/v1/channels", {"GET": Face(listing), "DELETE": Face(delete_many)}),
    Route("/v1/channels/{channel}", {"GET": Face(value, remembered=True), "DELETE": Face(delete)}),
    Route(
        "/v1/channels/{channel}/events",
        {"GET": Face(feed, remembered=True), "POST": Face(publish, MAX_EVENT_BYTES)},
    ),
    Route("/v1/poll", {"POST": Face(many, MAX_POLL_BYTES)}),
    Route("/v1/publish", {"POST": Face(batch, MAX_BATCH_BYTES)}),
    Route("/v1/tickets", {"POST": Face(ticket)}),
    Route("/v1/notify", {"POST": Face(notify, MAX_NOTIFY_BYTES)}),
    Route(
        "/http-bind",
        {"POST": Face(bind, MAX_BODY_BYTES, decodes=False), "GET": Face(page)},
        # Clients are configured with both spellings: Prosody and ejabberd answer both.
        aliases=("/http-bind/",),
    ),
)


@dataclass(frozen=True, slots=True)
class Match:
    """A route, and what its path holds: the channel's segment as sent, or None."""

    route: Route
    segment: str | None

    def face(self, method: str) -> Face | None:
        """The face of a method; HEAD is GET without a body."""
        return self.route.faces.get("GET" if method == "HEAD" else method)

    def max_body(self, method: str) -> int:
        """How many bytes a request's body may have."""
        face = self.face(method)
        return face.max_body if face else MAX_IDLE_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Decision:
    """What a face made of a request: an outcome, or a poll to be put to the hub.

    `grant` is what the poll was allowed by: with it the same request is the same poll again, as
    long as the grant lasts.
    """

    outcome: Outcome | None
    poll: Poll | None = None
    grant: Grant | None = None


class Faces:
    """The faces of one service, under `prefix`. Whom it `trusts` needs no key."""

    def __init__(
        self,
        service: Service,
        cors: Cors,
        routes: tuple[Route, ...] = ROUTES,
        *,
        prefix: str = "",
        trusts: Callable[[Request], bool] | None = None,
    ) -> None:
        self.service = service
        self._trusts = trusts
        self.cors = cors
        self._fixed = {
            prefix + path: Match(route, None)
            for route in routes
            if "{" not in route.path
            for path in (route.path, *route.aliases)
        }
        self._open = [
            (re.compile(re.escape(prefix + route.path).replace(r"\{channel\}", "([^/]*)")), route)
            for route in routes
            if "{" in route.path
        ]

    def match(self, path: str) -> Match | None:
        """The route of a path, still percent-encoded; None if the path is no face's."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        for pattern, route in self._open:
            if found := pattern.fullmatch(path):
                return Match(route, found[1])
        return None

    def handle(self, request: Request, match: Match) -> Outcome:
        """Run the face that `match` names. Whatever goes wrong comes back as an answer."""
        return self._held(self.decide(request, match))

    def decide(self, request: Request, match: Match) -> Decision:
        """Run a face up to the point where the hub is asked: the poll that it made of the request,
        or what it is answered with.
        """
        service = self.service
        try:
            if request.method == "OPTIONS":
                return Decision(self.cors.preflight(match.route.methods))
            face = match.face(request.method)
            if face is None:
                allowed = ", ".join(match.route.methods)
                raise Problem(
                    "method-not-allowed",
                    f"This address answers {allowed}.",
                    headers=((b"allow", allowed.encode()),),
                )
            if ticket := _ticket(request, face):

                def run(grant: Grant) -> Outcome:
                    return self._held(self.decide_for(request, match, grant))

                return Decision(redeem(service, ticket, run))
            if self._trusts is not None:
                request.trusted = self._trusts(request)
            admit = face.admit
            grant = admit(service, request) if admit else service.authority.grant(request)
            return self._run(face, request, match, grant)
        except Exception as error:
            return self._refused(error, request, match)

    def decide_for(self, request: Request, match: Match, grant: Grant) -> Decision:
        """`decide`, for somebody whose grant is known."""
        face = match.face(request.method)
        assert face is not None
        try:
            return self._run(face, request, match, grant)
        except Exception as error:
            return self._refused(error, request, match)

    def _run(self, face: Face, request: Request, match: Match, grant: Grant) -> Decision:
        if request.body and face.decodes and "content-encoding" in request.headers:
            coding = request.headers["content-encoding"]
            request.body = decoded(request.body, coding, face.max_body)
        if match.segment is None:
            result = face.run(self.service, request, grant)
        else:
            result = face.run(self.service, request, grant, decode_segment(match.segment))
        if isinstance(result, Answer | Hold | Stream):
            return Decision(result)
        return Decision(None, result, grant)

    def _held(self, decision: Decision) -> Outcome:
        if decision.outcome is not None:
            return decision.outcome
        assert decision.poll is not None
        held = self.service.hub.hold(decision.poll)
        assert not isinstance(held, Part), "only a stream's polls are answered with parts"
        return held

    def _refused(self, error: Exception, request: Request, match: Match) -> Decision:
        service = self.service
        if isinstance(error, ChannelNameError):
            error = Problem("bad-channel", str(error))
        elif isinstance(error, QueryError):
            error = Problem("bad-request", str(error))
        elif not isinstance(error, Problem):
            path = match.route.path
            about = {"method": request.method, "path": path}
            service.hub.log.exception(log, "face.failed", path, **about)
            error = Problem("internal", "pushhub made a mistake; its log says more.")
        return Decision(service.refuse(error))


def _ticket(request: Request, face: Face) -> str:
    """The one-use ticket of a request that cannot send headers; only a feed takes one."""
    if face.run is not feed or "ticket=" not in request.query_string:
        return ""
    if "authorization" in request.headers:
        return ""
    return request.query.get("ticket", "")
