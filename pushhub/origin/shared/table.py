"""The shared resources of one node, by their channel."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from pushhub.log.channel import ChannelNameError, public_name
from pushhub.origin.shared.channel_cleanup import ChannelCleanup
from pushhub.origin.shared.fetch_claims import FetchClaims
from pushhub.origin.shared.fetch_pace import FetchPace
from pushhub.origin.shared.fetcher import Fetcher
from pushhub.origin.shared.key import Key, counts
from pushhub.origin.shared.path_index import PathIndex
from pushhub.origin.shared.resource import Resource
from pushhub.origin.shared.unshared_log import UnsharedLog

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import AsyncIterable, Callable, Coroutine, Iterator

    from pushhub.http.forwarded import TrustedProxies
    from pushhub.http.problem import Problem
    from pushhub.http.response import Response
    from pushhub.hub.hold import Hold
    from pushhub.hub.hub import Hub
    from pushhub.origin.client.pool import OriginClient
    from pushhub.origin.grip.gateway import GripGateway
    from pushhub.origin.request import ProxiedRequest
    from pushhub.origin.routes import RouteMatch, Routes
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.tunnels import Tunnels
    from pushhub.settings import Settings
    from pushhub.settings.route import Route

# Beyond these bounds a request passes through as if it had not opted in: a crawler with ever new
# URLs must not fill the memory.
MAX_RESOURCES = 20_000
MAX_BYTES = 64 * 1024 * 1024
# The resources that are checked to make room for one more.
SWEEP = 16
# URLs with a learned Vary.
MAX_VARYING = 10_000


class ResourceOrigin(Protocol):
    """The part of the origin that its shared resources use."""

    routes: Routes
    client: OriginClient
    proxies: TrustedProxies
    grip: GripGateway | None
    tunnels: Tunnels

    def spawn(self, work: Coroutine[None, None, None]) -> Task[None]:
        """Run a coroutine in a task of its own."""


@dataclass(frozen=True, slots=True)
class SharedRequest:
    """A parsed request for a shared resource, for the next request with the same bytes.

    It is valid while `routes` and `varying` are current. `trusted` says whether the request must
    come from a trusted proxy, or must not; None if both are the same. It names its resource by the
    channel, and does not keep it in memory.
    """

    routes: Routes
    varying: int
    channel: str
    wait: int | None
    condition: WaitCondition | None
    trusted: bool | None


class ResourceTable:
    """Every shared resource of one node, by its channel."""

    def __init__(
        self,
        origin: ResourceOrigin,
        hub: Hub,
        settings: Settings,
        refuse: Callable[[Problem], Response],
        uniform: Callable[[float, float], float],
        new_name: Callable[[], str],
    ) -> None:
        self.origin = origin
        self.hub = hub
        self.refuse = refuse
        self.uniform = uniform
        self.spawn = origin.spawn
        self.fetcher = Fetcher(origin.client, settings.forwarded, settings.origin_fetches)
        self.claims = FetchClaims(hub)
        self.unshared = UnsharedLog(hub)
        self.pace = FetchPace(hub, self.__iter__, settings, new_name)
        self.pace_at = self.pace.at
        self.turns = self.pace.turns
        self.served_from_memory = 0
        """Requests that were completed or parked without a fetch."""
        self.served_after_fetch = 0
        """Requests that were completed or parked after a fetch, which others may have shared."""
        self.notifications = 0
        """Notifications that were received."""
        self._max_wait = settings.max_wait
        self._resources: dict[str, Resource] = {}
        self.paths = PathIndex()
        """The same resources, by their paths."""
        self._cleanup = ChannelCleanup(hub, self._resources, MAX_RESOURCES, self.spawn, uniform)
        self.size = 0
        """Bytes of all bodies that are kept."""
        self._varying: dict[tuple[str, str], frozenset[str]] = {}
        self.varied = 0
        """How often a header was learned that a resource varies by."""

    # Requests

    def get(self, request: ProxiedRequest) -> Resource | None:
        """The resource of a routed request, created if need be; None if it passes through. Parses
        the request's wait.
        """
        route = request.match.route
        if route.step not in ("poll", "notify") or request.method != "GET" or request.needs_origin:
            return None
        if "GET" not in route.methods:
            return None
        wait_request = request.parse_wait(self._max_wait)
        wait = wait_request.wait
        if wait_request.passes or (wait is None and not route.max_age):
            return None
        return self._resource(request) if self._has_room(wait) else None

    def get_with_body(
        self, request: ProxiedRequest, body: AsyncIterable[bytes] | bytes | None
    ) -> Resource | None:
        """The resource of a routed request that is no GET, if its route says that it reads; None
        if it passes through. Only a request that opts in can be repeated.
        """
        route, method = request.match.route, request.method
        if method == "GET" or method not in route.methods or request.needs_origin:
            return None
        if not (body is None or isinstance(body, bytes)) or len(body or b"") > (
            route.share_body_bytes
        ):
            return None
        wait = request.parse_wait(self._max_wait).wait
        if wait is None or not self._has_room(wait):
            return None
        return self._resource(request, body or b"")

    def repeatable(self, request: ProxiedRequest, resource: Resource) -> SharedRequest | None:
        """The request in the form for `repeat`; None if the tags in its `If-None-Match` are part of
        the resource's key.
        """
        if "if-none-match" in resource.key.names:
            return None
        wait_request = request.wait_request
        return SharedRequest(
            self.origin.routes,
            self.varied,
            resource.channel,
            wait_request.wait,
            wait_request.condition,
            resource.key.trusted,
        )

    def repeat(
        self, shared: SharedRequest, condition: WaitCondition | None
    ) -> Response | Hold | None:
        """Respond without a fetch to a request that was parsed before, whose client now has what
        `condition` says. None if the request needs a fetch, or must be parsed again.
        """
        resource = self._resources.get(shared.channel)
        if (
            resource is None
            or shared.routes is not self.origin.routes
            or shared.varying != self.varied
            or resource.passes_until > self.hub.now()
            or not self._has_room(shared.wait)
        ):
            return None
        return resource.serve_from_memory(shared.wait, condition)

    def _has_room(self, wait: int | None) -> bool:
        """Whether the hub can hold one more request, if this one waits."""
        return wait is None or self.hub.channel_waits < self.hub.max_holds

    def _resource(self, request: ProxiedRequest, body: bytes | None = None) -> Resource | None:
        route = request.match.route
        key = Key(request, (), body)
        if (more := self._varying.get(key.address)) is not None:
            key = Key(request, more, body)
        resource = self._resources.get(key.channel)
        if resource is None:
            if self._is_full and not self._make_room():
                return None
            pairs = self.fetcher.headers_for(key, request)
            resource = Resource(self, route, key, pairs, _public_channel(request.match))
            self._resources[key.channel] = resource
            self.paths.add(resource)
            self.size += resource.size
        elif resource.passes_until > self.hub.now():
            return None
        elif resource.route is not route:
            resource.reroute(route, _public_channel(request.match))
        return resource

    @property
    def _is_full(self) -> bool:
        return len(self._resources) >= MAX_RESOURCES or self.size > MAX_BYTES

    def _make_room(self) -> bool:
        """Forget some resources without waiting requests, the oldest first; whether there is room
        then.
        """
        for resource in list(islice(self._resources.values(), SWEEP)):
            # A busy one moves to the end, so that the next sweep checks others.
            self._resources[resource.channel] = self._resources.pop(resource.channel)
            if not resource.has_waiters:
                self.forget(resource)
        return not self._is_full

    # Resources

    def forget(self, resource: Resource) -> None:
        """Remove a resource without waiting requests."""
        resource.leave()
        if self._resources.pop(resource.channel, None) is not None:
            self.paths.discard(resource)
            self.size -= resource.size
        if resource.state.events.published and self.hub.store.certain:
            # The channel was for requests that wait. On a log that other nodes share, theirs may
            # still wait on it; there its age empties it.
            self.spawn(self._cleanup.delete(resource.channel))

    def end_waits(self, resource: Resource) -> None:
        """End the waits on a resource: its channel cannot carry its changes."""
        self.spawn(self._end_waits(resource))

    async def _end_waits(self, resource: Resource) -> None:
        self.hub.forget(resource.channel)
        if resource.state.events.published:
            await self._cleanup.delete(resource.channel)

    def learn_vary(self, key: Key, route: Route, names: frozenset[str]) -> bool:
        """Record the headers that a resource varies by; whether they are not part of its key."""
        names = frozenset(name for name in names if not counts(name, route))
        if names <= set(key.names):
            return False
        if len(self._varying) >= MAX_VARYING:
            self._varying.pop(next(iter(self._varying)))
        self._varying[key.address] = self._varying.get(key.address, frozenset()) | names
        self.varied += 1
        return True

    # Notifications

    def notified(self, resources: list[str], claim: str) -> int:
        """The resources may have changed: paths, with or without a query, prefixes with a final
        `*`, and `{name}` for one segment. How many known resources that concerns.
        """
        self.notifications += 1
        found = self.paths.find(resources)
        for resource in found:
            resource.notified(claim)
        return len(found)

    def mark_all_changed(self) -> None:
        """Notifications may be lost: every resource may have changed."""
        for resource in list(self._resources.values()):
            resource.notified()

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources.values())

    def __len__(self) -> int:
        return len(self._resources)


def _public_channel(match: RouteMatch) -> str | None:
    """The channel that a route maps to a request's resource."""
    pattern = match.route.channel
    if pattern is None:
        return None
    try:
        return public_name(pattern.format(**match.names))
    except (ChannelNameError, KeyError, IndexError, ValueError):
        return None
