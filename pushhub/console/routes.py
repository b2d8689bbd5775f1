"""The endpoints of the console's page. Operators change channels through the public API; these
endpoints add figures, presence, traces and settings.

    POST /console/session   check the operator's key
    POST /console/wish      request figures, limits, nodes, presence or a trace from all processes
    GET  /console/feed      the replies of the processes: a feed like any other, which may wait
    GET  /console/events    the events of a channel, as its feed gives them
    GET  /console/now       this process's figures, even without the store
    GET  /console/settings  the settings, and the origin of each
    GET  /console/audit     the audit log, if the store keeps it: a feed like any other
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from pushhub import __version__
from pushhub.api.audit import AUDIT_CHANNEL
from pushhub.api.endpoints import Endpoint, EndpointRoute
from pushhub.api.needs import admitted
from pushhub.api.read import wait
from pushhub.console.settings import shown
from pushhub.console.snapshot import FEED, bounds
from pushhub.http.caching import NO_STORE
from pushhub.http.problem import Problem
from pushhub.http.response import Part, Response
from pushhub.hub.channel_hold import ConsoleHold
from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.cursor import Start
from pushhub.log.event import check_label
from pushhub.log.json_body import load
from pushhub.polls.base import parse_limit, start_of
from pushhub.polls.feed import JSON, FeedPoll

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.console.agent import ConsoleAgent
    from pushhub.console.auth import ConsoleAuth
    from pushhub.http.request import Request
    from pushhub.hub.hold import Hold
    from pushhub.log.grant import Grant

# A request to the processes names one channel or one client.
MAX_REQUEST_BYTES = 4 * 1024
_ID = re.compile(r"[a-z0-9]{8,32}")


def session(service: Service, request: Request, grant: Grant) -> Response:
    """The operator, and the facts that the page needs to read the figures."""
    _audit(service, request, "console.login", repeats=False)
    return _json(
        {
            "name": grant.subject,
            "expires": grant.expires,
            "open": service.settings.dev,
            "origin": service.notifications is not None,
            "version": __version__,
            "bounds": bounds(),
            "grants": grant.claim(),
        }
    )


def settings(service: Service, request: Request, grant: Grant) -> Response:
    """Every setting without its secrets."""
    _audit(service, request, "console.settings")
    return _json({"settings": shown(service.settings)})


def feed(service: Service, request: Request, grant: Grant) -> Response | Hold:
    """The replies of all processes to all consoles."""
    return _read(service, request, grant, FEED)


def events(service: Service, request: Request, grant: Grant) -> Response | Hold:
    """The events of the channel `channel`, as its own feed gives them. The console reads them here,
    so that statistics and traces leave its requests out.
    """
    channel = _channel(request.query.get("channel", ""))
    _audit(service, request, "console.read", channel)
    return _read(service, request, grant, channel)


def audit(service: Service, request: Request, grant: Grant) -> Response | Hold:
    """The lines of the audit log that the store keeps."""
    if not service.settings.audit_channel:
        raise Problem("not-found", "The store keeps no audit log; the setting is 'audit_channel'.")
    _audit(service, request, "console.audit")
    return _read(service, request, grant, AUDIT_CHANNEL)


def _audit(
    service: Service,
    request: Request,
    action: str,
    target: str = "",
    target_type: str = "channel",
    *,
    repeats: bool = True,
) -> None:
    """Record an action of an operator. An open console repeats most of its requests."""
    actor = service.audit.actor(request)
    service.audit.record(action, actor, target, target_type=target_type, repeats=repeats)


def _read(service: Service, request: Request, grant: Grant, channel: str) -> Response | Hold:
    since = start_of(request.query["since"]) if "since" in request.query else Start.NOW
    poll = FeedPoll(channel, since, parse_limit(request), wait(service, request))
    held = service.hub.begin(ConsoleHold(service.hub, poll, grant))
    assert not isinstance(held, Part), "only a stream's polls are answered with parts"
    return held


def _parse(body: bytes) -> dict[str, Any]:
    """A request that every process understands.

    Raises:
        Problem: the body is no such request.
    """
    try:
        message = load(body)
    except ValueError:
        message = None
    match message:
        case {"figures": True}:
            return {"figures": True}
        case {"origin": True}:
            return {"origin": True}
        case {"limits": True}:
            return {"limits": True}
        case {"nodes": True}:
            return {"nodes": True}
        case {"hour": True}:
            return {"hour": True}
        case {"presence": str(channel)}:
            return {"presence": _channel(channel)}
        case {"end": str(id)} if _ID.fullmatch(id):
            return {"end": id}
        case {"trace": str(id), "channel": str(channel)} if _ID.fullmatch(id):
            return {"trace": id, "channel": _channel(channel)}
        case {"trace": str(id), "client": str(client)} if _ID.fullmatch(id) and client:
            try:
                return {"trace": id, "client": check_label(client, "client")}
            except ValueError as error:
                raise Problem("bad-body", str(error)) from None
    raise Problem(
        "bad-body",
        'A wish is {"figures": true}, {"origin": true}, {"limits": true}, {"nodes": true}, '
        '{"hour": true}, {"presence": channel}, {"trace": id, "channel": …}, '
        '{"trace": id, "client": …} or {"end": id}; '
        "an id has 8 to 32 letters and digits.",
    )


def _channel(name: str) -> str:
    try:
        return public_name(name)
    except ChannelNameError as error:
        raise Problem("bad-channel", str(error)) from None


def _json(document: dict[str, Any]) -> Response:
    return Response(200, (JSON, NO_STORE), orjson.dumps(document))


def console_routes(auth: ConsoleAuth, agent: ConsoleAgent) -> tuple[EndpointRoute, ...]:
    """The console's endpoints."""

    def now(service: Service, request: Request, grant: Grant) -> Response:
        """The figures of the process that serves the request."""
        return _json(agent.now())

    def send_request(service: Service, request: Request, grant: Grant) -> Hold:
        """Request figures, the limits, versions and canaries, the last hour, the state of the
        origin, the holds of a channel, or a trace from every process.
        """
        message = _parse(request.body)
        if "trace" in message and "channel" in message:
            _audit(service, request, "console.trace", message["channel"])
        elif "trace" in message:
            _audit(service, request, "console.trace", message["client"], "client")
        elif "presence" in message:
            _audit(service, request, "console.presence", message["presence"])

        async def work() -> Response:
            await agent.send(message)
            return Response(202, (JSON, NO_STORE), b"{}")

        return service.later(work())

    admit = auth.admit
    return (
        EndpointRoute("/console/session", {"POST": Endpoint(session, admitted, admit=admit)}),
        EndpointRoute(
            "/console/wish",
            {"POST": Endpoint(send_request, admitted, MAX_REQUEST_BYTES, admit=admit)},
        ),
        EndpointRoute("/console/feed", {"GET": Endpoint(feed, admitted, admit=admit)}),
        EndpointRoute("/console/events", {"GET": Endpoint(events, admitted, admit=admit)}),
        EndpointRoute("/console/now", {"GET": Endpoint(now, admitted, admit=admit)}),
        EndpointRoute("/console/settings", {"GET": Endpoint(settings, admitted, admit=admit)}),
        EndpointRoute("/console/audit", {"GET": Endpoint(audit, admitted, admit=admit)}),
    )
