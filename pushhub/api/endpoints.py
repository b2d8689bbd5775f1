"""The table of routes and endpoints, and the function that runs an endpoint for a parsed request.

Drivers call `handle` and write its outcome. The call is synchronous, and needs no task, no ASGI
scope and no connection, so two drivers can run the same endpoints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from pushhub.api.batch import batch
from pushhub.api.bosh import MAX_BODY_BYTES, bind, page
from pushhub.api.channels import CHANNEL_DELETE, delete, delete_many, listing
from pushhub.api.limits import count_credential, counted
from pushhub.api.needs import (
    lists_channels,
    may_get_ticket,
    on_any_channel,
    on_channel,
    serves_xmpp,
)
from pushhub.api.notify import MAX_NOTIFY_BYTES, may_notify, notifier_grant, notify
from pushhub.api.publish import publish
from pushhub.api.read import feed, many, value
from pushhub.api.received import received
from pushhub.api.reload import SETTINGS_RELOAD, reload
from pushhub.api.revocation import MAX_REVOKE_BYTES, TOKEN_REVOKE, revoke
from pushhub.api.tickets import redeem, ticket
from pushhub.http.content_coding import decoded
from pushhub.http.problem import Problem
from pushhub.http.request import QueryError
from pushhub.http.response import Part, Response
from pushhub.hub.hold import Hold
from pushhub.hub.stream import EventStream
from pushhub.log.channel import ChannelNameError, decode_segment
from pushhub.log.event import MAX_EVENT_BYTES
from pushhub.log.grant import Action

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.api.cors import Cors
    from pushhub.api.needs import Needs
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.log.grant import Grant
    from pushhub.polls.base import Poll

log = structlog.get_logger(__name__)

Outcome = Response | Hold | EventStream

# A thousand channels with cursors take about 100 KiB; names of 255 bytes, escaped, ten times that.
MAX_POLL_BYTES = 1024 * 1024
# Sixteen events of the largest size, or a thousand of 4 KiB.
MAX_BATCH_BYTES = 4 * 1024 * 1024
# Requests that need no body may have a small one.
MAX_IDLE_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. `run` gets the service, the request, the grant and the path's
    channel.
    """

    run: Callable[..., Any]
    needs: Needs
    """The rights that a head must show before its body is read; `run` checks them again."""
    max_body: int = MAX_IDLE_BODY_BYTES
    remembered: bool = False
    """Whether a GET of the same URL with the same reading headers is the same poll again."""
    admit: Callable[[Service, Request], Grant] | None = None
    """The access check, where the authority alone does not suffice."""
    decodes: bool = True
    """Whether a compressed body is unpacked before `run`; else `run` reads `Content-Encoding`."""
    action: str = ""
    """The name of a management action in the audit log: a request that fails leaves a line."""


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """A path, and its endpoints by method."""

    path: str
    endpoints: Mapping[str, Endpoint]
    aliases: tuple[str, ...] = ()
    """Other spellings of a `path` without a channel."""
    retries: bool = False
    """Whether its clients give up at any 4xx, and send the same request again after a 5xx."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of the path, beside OPTIONS."""
        return tuple(
            m
            for method in self.endpoints
            for m in ((method, "HEAD") if method == "GET" else (method,))
        )


_READ, _PUBLISH, _MANAGE = map(on_channel, (Action.READ, Action.PUBLISH, Action.MANAGE))
_READ_ANY, _PUBLISH_ANY, _MANAGE_ANY = map(
    on_any_channel, (Action.READ, Action.PUBLISH, Action.MANAGE)
)

ROUTES = (
    EndpointRoute(
        "/v1/channels",
        {
            "GET": Endpoint(listing, lists_channels),
            "DELETE": Endpoint(delete_many, _MANAGE_ANY, action=CHANNEL_DELETE),
        },
    ),
    EndpointRoute(
        "/v1/channels/{channel}",
        {
            "GET": Endpoint(value, _READ, remembered=True),
            "DELETE": Endpoint(delete, _MANAGE, action=CHANNEL_DELETE),
        },
    ),
    EndpointRoute(
        "/v1/channels/{channel}/events",
        {
            "GET": Endpoint(feed, _READ, remembered=True),
            "POST": Endpoint(publish, _PUBLISH, MAX_EVENT_BYTES),
        },
    ),
    EndpointRoute("/v1/poll", {"POST": Endpoint(many, _READ_ANY, MAX_POLL_BYTES)}),
    EndpointRoute("/v1/publish", {"POST": Endpoint(batch, _PUBLISH_ANY, MAX_BATCH_BYTES)}),
    EndpointRoute("/v1/tickets", {"POST": Endpoint(ticket, may_get_ticket)}),
    EndpointRoute(
        "/v1/tokens/revoke",
        {"POST": Endpoint(revoke, _MANAGE_ANY, MAX_REVOKE_BYTES, action=TOKEN_REVOKE)},
    ),
    EndpointRoute("/v1/reload", {"POST": Endpoint(reload, _MANAGE_ANY, action=SETTINGS_RELOAD)}),
    EndpointRoute("/v1/request", {"GET": Endpoint(received, _MANAGE_ANY)}),
    EndpointRoute(
        "/v1/notify",
        {
            # A signature covers the body as it was sent.
            "POST": Endpoint(
                notify, may_notify, MAX_NOTIFY_BYTES, admit=notifier_grant, decodes=False
            )
        },
    ),
    EndpointRoute(
        "/http-bind",
        {
            "POST": Endpoint(bind, serves_xmpp, MAX_BODY_BYTES, decodes=False),
            "GET": Endpoint(page, serves_xmpp),
        },
        # Clients are configured with both spellings: Prosody and ejabberd serve both.
        aliases=("/http-bind/",),
        # Strophe.js ends its session at a 4xx.
        retries=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Match:
    """A route, and the channel's segment of the path as sent, or None."""

    route: EndpointRoute
    segment: str | None

    def endpoint(self, method: str) -> Endpoint | None:
        """The endpoint of a method; HEAD is GET without a body."""
        return self.route.endpoints.get("GET" if method == "HEAD" else method)

    def refusal(self, problem: Problem) -> Problem:
        """A problem, with the status that the route's clients understand."""
        return problem.retried() if self.route.retries else problem

    def max_body(self, method: str) -> int:
        """The limit of a request's body in bytes."""
        endpoint = self.endpoint(method)
        return endpoint.max_body if endpoint else MAX_IDLE_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of an endpoint: an outcome, or a poll for the hub.

    `grant` is the grant that allowed the poll. While it lasts, the same request with it is the same
    poll again.
    """

    outcome: Outcome | None
    poll: Poll | None = None
    grant: Grant | None = None


class EndpointObserver(Protocol):
    """The methods that `Endpoints` calls on its `observer`, around each request that it decides.

    Repeated polls are decided from a cache, without these calls.
    """

    def received(self, request: Request) -> None:
        """A request is about to be decided."""

    def decided(self, request: Request, decision: Decision) -> None:
        """A request was decided."""


class Endpoints:
    """The endpoints of one service, under `prefix`. A request that it `trusts` needs no key."""

    def __init__(
        self,
        service: Service,
        cors: Cors,
        routes: tuple[EndpointRoute, ...] = ROUTES,
        *,
        prefix: str = "",
        trusts: Callable[[Request], bool] | None = None,
    ) -> None:
        self.service = service
        self._trusts = trusts
        self.observer: EndpointObserver | None = None
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
        """The route of a path, still percent-encoded; None if no endpoint has the path."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed
        for pattern, route in self._open:
            if found := pattern.fullmatch(path):
                return Match(route, found[1])
        return None

    def handle(self, request: Request, match: Match) -> Outcome:
        """Run the endpoint of a match. Every error comes back as a response."""
        return self._held(self.decide(request, match))

    def decide(self, request: Request, match: Match) -> Decision:
        """Run an endpoint up to the call of the hub: its poll, or its outcome."""
        observer = self.observer
        if observer is not None:
            observer.received(request)
        try:
            decision = self._decide(request, match)
        except Exception as error:
            decision = self._refused(error, request, match)
        if observer is not None:
            observer.decided(request, decision)
        return decision

    def _decide(self, request: Request, match: Match) -> Decision:
        service = self.service
        if request.method == "OPTIONS":
            return Decision(self.cors.preflight(match.route.methods))
        endpoint = _endpoint(request, match)
        if ticket := _ticket(request, endpoint):

            def run(grant: Grant) -> Outcome:
                outcome = self._held(self.decide_for(request, match, grant))
                # The driver has counted the check of the ticket, which is no wait and no stream.
                caller = request.caller
                return outcome if caller is None else counted(caller, outcome, service)

            return Decision(redeem(service, request, ticket, run))
        grant = self._grant(request, endpoint)
        count_credential(service, request, grant)
        return self._run(endpoint, request, match, grant)

    def _grant(self, request: Request, endpoint: Endpoint) -> Grant:
        if self._trusts is not None:
            request.trusted = self._trusts(request)
        service, admit = self.service, endpoint.admit
        return admit(service, request) if admit else service.authority.grant(request)

    def check_head(self, request: Request, match: Match) -> Response | None:
        """Check a request whose body has not been read: the response of its refusal, or None if the
        body may be read. The whole request is checked again by `decide`.
        """
        try:
            if request.method != "OPTIONS":
                self._check_head(request, match)
        except Exception as error:
            decision = self._refused(error, request, match)
            if self.observer is not None:
                self.observer.received(request)
                self.observer.decided(request, decision)
            assert isinstance(decision.outcome, Response)
            return decision.outcome
        return None

    def _check_head(self, request: Request, match: Match) -> None:
        service, endpoint = self.service, _endpoint(request, match)
        if ticket := _ticket(request, endpoint):
            assert service.tickets is not None
            service.tickets.open(ticket, service.hub.clock())
            return
        grant = self._grant(request, endpoint)
        endpoint.needs(service, request, grant, match.segment or "")

    def decide_for(self, request: Request, match: Match, grant: Grant) -> Decision:
        """`decide`, for a request whose grant is known."""
        endpoint = match.endpoint(request.method)
        assert endpoint is not None
        try:
            return self._run(endpoint, request, match, grant)
        except Exception as error:
            return self._refused(error, request, match)

    def _run(self, endpoint: Endpoint, request: Request, match: Match, grant: Grant) -> Decision:
        if request.body and endpoint.decodes and "content-encoding" in request.headers:
            coding = request.headers["content-encoding"]
            request.body = decoded(request.body, coding, endpoint.max_body)
        if match.segment is None:
            result = endpoint.run(self.service, request, grant)
        else:
            result = endpoint.run(self.service, request, grant, decode_segment(match.segment))
        if isinstance(result, Response | Hold | EventStream):
            return Decision(result)
        return Decision(None, result, grant)

    def _held(self, decision: Decision) -> Outcome:
        if decision.outcome is not None:
            return decision.outcome
        assert decision.poll is not None
        assert decision.grant is not None
        held = self.service.hub.hold(decision.poll, grant=decision.grant)
        assert not isinstance(held, Part), "only a stream's polls get parts as replies"
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
            service.hub.log.exception(log, "endpoint.failed", path, **about)
            error = Problem("internal", "Internal error; see the server log.")
        endpoint = match.endpoint(request.method)
        if endpoint is not None and endpoint.action:
            service.audit.failed(error, request, endpoint.action)
        return Decision(service.refuse(match.refusal(error), request))


def _endpoint(request: Request, match: Match) -> Endpoint:
    endpoint = match.endpoint(request.method)
    if endpoint is None:
        allowed = ", ".join(match.route.methods)
        raise Problem(
            "method-not-allowed",
            f"This URL supports {allowed}.",
            headers=((b"allow", allowed.encode()),),
        )
    return endpoint


def _ticket(request: Request, endpoint: Endpoint) -> str:
    """The one-use ticket of a request that cannot send headers; only a feed takes one."""
    if endpoint.run is not feed or "ticket=" not in request.query_string:
        return ""
    if "authorization" in request.headers:
        return ""
    return request.query.get("ticket", "")
