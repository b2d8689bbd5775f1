"""The canary's own listener, without an address: only the process itself connects to it.

The canary needs rights on a channel of the hub itself (`$canary`), which no credential can have.
A secret could leak, so there is none: the right comes with the connection, which is one of a pair
of sockets that this process made. No other program can open one. Everything behind the socket is
the same as for a client: the HTTP/1.1 parser, the endpoints, the authenticator, the hub and the
store. The check `listener` covers the rest, the public socket.

The statistics and limits leave the canary's requests out, as they do for the console.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.api.bosh import MAX_BODY_BYTES, bind
from pushhub.api.endpoints import Endpoint, EndpointRoute, Endpoints
from pushhub.api.needs import admitted, serves_xmpp
from pushhub.api.publish import publish_event
from pushhub.api.read import feed, value
from pushhub.http.response import Part, Response
from pushhub.hub.channel_hold import GrantedHold
from pushhub.hub.stream import EventStream
from pushhub.log.event import MAX_EVENT_BYTES
from pushhub.log.grant import Action, Grant
from pushhub.store.base import Retention

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.api.cors import Cors
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.http.response import Reply
    from pushhub.hub.closed_channels import ClosedChannels
    from pushhub.hub.hold import Hold
    from pushhub.hub.hub import Hub
    from pushhub.hub.jitter import Jitter
    from pushhub.origin.origin import Origin
    from pushhub.polls.base import Poll
    from pushhub.settings import Settings

# One channel for the canaries of all processes: each reads the events of all others, so the feed
# between nodes is checked, and no process leaves a channel of its own behind.
CHANNEL = "$canary"
# Three of the longest intervals; a thousand processes at that interval. About 100 KiB.
RETENTION = Retention(events=1000, age=900)
EVENTS = "/canary/events"
VALUE = "/canary/value"
BIND = "/http-bind"


@dataclass(frozen=True, slots=True)
class CanaryGrant(Grant):
    """The right to publish to the canary's channel and to read it, and no other."""

    def allows(self, action: Action, channel: str) -> bool:
        return channel == CHANNEL and action is not Action.MANAGE


GRANT = CanaryGrant()


class CanaryHold(GrantedHold):
    """A wait of the canary, which the statistics and the limit of holds leave out."""

    __slots__ = ()

    counted = False
    tallied = False


class UncountedReads:
    """The hub as the canary's streams use it: their turns are `CanaryHold`s."""

    __slots__ = ("_hub", "clock", "closed", "jitter", "now")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.clock: Callable[[], float] = hub.clock
        self.closed: ClosedChannels = hub.closed
        self.jitter: Jitter = hub.jitter
        self.now: Callable[[], float] = hub.now

    def hold(self, poll: Poll, *, grant: Grant) -> Reply | Hold:
        """Reply to a poll now, or return the hold that waits."""
        return self._hub.begin(CanaryHold(self._hub, poll, grant))


def _publish(service: Service, request: Request, grant: Grant) -> Hold:
    return publish_event(service, request, grant, CHANNEL, RETENTION, service.hub.record)


def _feed(service: Service, request: Request, grant: Grant) -> Response | EventStream | Hold:
    outcome = feed(service, request, grant, CHANNEL)
    if isinstance(outcome, EventStream):
        outcome.hub = UncountedReads(service.hub)
        return outcome
    return outcome if isinstance(outcome, Response) else _held(service, outcome, grant)


def _value(service: Service, request: Request, grant: Grant) -> Response | EventStream | Hold:
    return _held(service, value(service, request, grant, CHANNEL), grant)


def _held(service: Service, poll: Poll, grant: Grant) -> Response | EventStream | Hold:
    held = service.hub.begin(CanaryHold(service.hub, poll, grant))
    assert not isinstance(held, Part), "only a stream's polls get parts as replies"
    return held


def _admit(service: Service, request: Request) -> Grant:
    request.grant = GRANT
    return GRANT


ROUTES = (
    EndpointRoute(
        EVENTS,
        {
            "GET": Endpoint(_feed, admitted, admit=_admit),
            "POST": Endpoint(_publish, admitted, MAX_EVENT_BYTES, admit=_admit),
        },
    ),
    EndpointRoute(VALUE, {"GET": Endpoint(_value, admitted, admit=_admit)}),
    EndpointRoute(BIND, {"POST": Endpoint(bind, serves_xmpp, MAX_BODY_BYTES, decodes=False)}),
)


class CanaryListener:
    """A listener for its connections, as `Control` is: the canary's endpoints, and the origin."""

    # No network leads here, and limits count clients.
    guard = None
    callers = None

    def __init__(
        self, service: Service, settings: Settings, cors: Cors, origin: Origin | None
    ) -> None:
        self.service = service
        self.settings = settings
        self.origin = origin
        self.prefix = settings.prefix if origin is not None else ""
        self.endpoints = Endpoints(service, cors, ROUTES, prefix=self.prefix)
