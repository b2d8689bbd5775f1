"""The resources that are shared on this node: who asks for one finds it here, or it is made."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import structlog

from pushhub.origin.fetching import Fetching
from pushhub.origin.key import Key, counts
from pushhub.origin.report import NotShared
from pushhub.origin.resource import Resource
from pushhub.origin.wish import wants_more, wish_of
from pushhub.protocol.channel import ChannelNameError, public_name
from pushhub.protocol.event import Draft
from pushhub.protocol.route_path import parse_pattern, readings
from pushhub.store.base import (
    IDEMPOTENCY_SECONDS,
    REGISTER,
    Append,
    Appended,
    StoreError,
    append,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pushhub.hub.hold import Hold
    from pushhub.hub.hub import Hub
    from pushhub.origin.asked import Asked
    from pushhub.origin.origin import Origin
    from pushhub.origin.routes import Found, Routes
    from pushhub.origin.wish import Wish
    from pushhub.protocol.answer import Answer
    from pushhub.protocol.condition import Condition
    from pushhub.protocol.problem import Problem
    from pushhub.protocol.route_path import Pattern
    from pushhub.settings import Settings
    from pushhub.settings.origin import Route

log = structlog.get_logger(__name__)

# Which node looks in which turn: an idempotency key of one channel, so that of all nodes only the
# first to append it sees no duplicate.
TURNS = "$origin:turns"

# A crawler that asks for ever new addresses with an opt-in must not fill the memory: beyond these
# a request passes through as if it had not opted in.
MAX_RESOURCES = 20_000
MAX_BYTES = 64 * 1024 * 1024
# How many are looked at to make room for one more.
SWEEP = 16
# How often the log says that a route cannot share what it should, for each reason.
SAY_SECONDS = 3600.0
# How often the store is tried that could not delete a channel: a restart is over by then, and an
# outage costs one command.
CLEAR_SECONDS = 30.0
# URLs of which it is remembered that they vary by more than their route says.
MAX_VARYING = 10_000


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a request for a shared resource came to, for when the same comes again.

    `routes` and `varying` are those by which it was understood: with others it may mean something
    else. `trusted` is whether it must come from a trusted proxy, or must not; None if that is all
    the same. It names its resource and does not keep it.
    """

    routes: Routes
    varying: int
    channel: str
    wait: int | None
    condition: Condition | None
    trusted: bool | None


class Shared:
    """A request for a shared resource."""

    __slots__ = ("_resource", "_sharing", "_wish")

    def __init__(self, sharing: Sharing, resource: Resource, wish: Wish) -> None:
        self._sharing = sharing
        self._resource = resource
        self._wish = wish

    def at_once(self) -> Answer | Hold | None:
        """What becomes of it without asking the origin; None if it must be asked."""
        return self._sharing.unasked(self._resource, self._wish.wait, self._wish.condition)

    @property
    def meaning(self) -> Meaning | None:
        """What the same request will mean, whatever tags are in its `If-None-Match`; None where
        they make another resource.
        """
        resource, wish, sharing = self._resource, self._wish, self._sharing
        if "if-none-match" in resource.key.names:
            return None
        return Meaning(
            sharing.origin.routes,
            sharing.varied,
            resource.channel,
            wish.wait,
            wish.condition,
            resource.key.trusted,
        )

    async def outcome(self) -> Answer | Hold | None:
        """What becomes of it when the origin was asked; None if it is to pass through.

        Raises:
            Problem: the origin does not answer.
        """
        outcome = await self._resource.outcome(self._wish)
        self._sharing.looked += outcome is not None
        return outcome


class Sharing:
    """Every shared resource of one node, by its channel."""

    def __init__(
        self,
        origin: Origin,
        hub: Hub,
        settings: Settings,
        refuse: Callable[[Problem], Answer],
        uniform: Callable[[float, float], float],
    ) -> None:
        self.origin = origin
        self.hub = hub
        self.refuse = refuse
        self.uniform = uniform
        self.fetching = Fetching(origin.client, settings.forwarded, settings.origin_fetches)
        self.at_once = 0
        """Requests that were held or answered without a question to the origin."""
        self.looked = 0
        """Requests that were held or answered after a look, which others may have shared."""
        self.notices = 0
        """Notifications that were heard."""
        self.stalls = 0
        """Retries of a look that made no progress, and were given up."""
        self._max_wait = settings.max_wait
        self._resources: dict[str, Resource] = {}
        # Bytes of all bodies that are kept.
        self.size = 0
        self._varying: dict[tuple[str, str], frozenset[str]] = {}
        # When it was said of a route that it cannot share, by why: few sentences for each route.
        self._said: dict[tuple[str, str], float] = {}
        self.not_shared: dict[tuple[str, str], NotShared] = {}
        """What could not be shared, by a route's path and why: few entries for each route."""
        # Channels that are to be deleted when the store is back.
        self._leftovers: dict[str, None] = {}
        # The latest time that the wall clock has shown, and when it did, on the hub's clock.
        self._latest = (float("-inf"), 0.0)
        self.varied = 0
        """How often it was learned that a resource varies by more than was known."""

    # Requests

    def shared(self, found: Found, asked: Asked) -> Shared | None:
        """A request as one for a shared resource; None if it is to pass through."""
        wish = self._wish(found, asked)
        resource = None if wish is None else self._resource(found, asked)
        return None if wish is None or resource is None else Shared(self, resource, wish)

    def again(self, meaning: Meaning, condition: Condition | None) -> Answer | Hold | None:
        """What becomes of a request of known meaning, whose client has what `condition` says,
        without asking the origin. None if it must be asked, or the request understood anew.
        """
        resource = self._resources.get(meaning.channel)
        if (
            resource is None
            or meaning.routes is not self.origin.routes
            or meaning.varying != self.varied
            or resource.alone_until > self.hub.now()
            or not self._may_wait(meaning.wait)
        ):
            return None
        return self.unasked(resource, meaning.wait, condition)

    def unasked(
        self, resource: Resource, wait: int | None, condition: Condition | None
    ) -> Answer | Hold | None:
        """What becomes of a request without asking the origin; None if it must be asked."""
        outcome = resource.at_once(wait, condition)
        self.at_once += outcome is not None
        return outcome

    def _may_wait(self, wait: int | None) -> bool:
        """Whether there is room for a request that waits so long, or it does not wait at all."""
        return wait is None or self.hub.parked < self.hub.max_holds

    def _wish(self, found: Found, asked: Asked) -> Wish | None:
        route = found.route
        if route.step not in ("poll", "notify") or asked.method != "GET":
            return None
        if wants_more(asked):
            return None
        wish = wish_of(route, asked, self._max_wait)
        if wish.passes or (wish.wait is None and not route.max_age):
            return None
        return wish if self._may_wait(wish.wait) else None

    def _resource(self, found: Found, asked: Asked) -> Resource | None:
        key = Key(found, asked)
        if (more := self._varying.get(key.address)) is not None:
            key = Key(found, asked, more)
        resource = self._resources.get(key.channel)
        if resource is None:
            if self._is_full and not self._make_room():
                return None
            resource = self._resources[key.channel] = Resource(
                self, found.route, key, self.fetching.pairs(key, asked), _told_by(found)
            )
        elif resource.alone_until > self.hub.now():
            return None
        elif resource.route is not found.route:
            resource.reroute(found.route, _told_by(found))
        return resource

    @property
    def _is_full(self) -> bool:
        return len(self._resources) >= MAX_RESOURCES or self.size > MAX_BYTES

    def _make_room(self) -> bool:
        """Forget some that nobody waits on, the oldest first; whether there is room now."""
        for resource in list(islice(self._resources.values(), SWEEP)):
            # Busy ones go to the end, so that they are not looked at again and again.
            self._resources[resource.channel] = self._resources.pop(resource.channel)
            if not resource.waiting:
                self.forget(resource)
        return not self._is_full

    def forget(self, resource: Resource) -> None:
        """Nobody waits there any more."""
        self.hub.wheel.clear(resource)
        if self._resources.pop(resource.channel, None) is not None:
            self.size -= resource.size
        if resource.log.published and self.hub.store.certain:
            # Its channel was for those who waited. Those of other nodes may wait there still; then
            # its age empties it.
            self.origin.keep(self._delete(resource.channel))

    def dismiss(self, resource: Resource) -> None:
        """Tell all who wait on it to ask again: what changed cannot be told there."""
        self.origin.keep(self._dismiss(resource))

    async def _dismiss(self, resource: Resource) -> None:
        self.hub.forget(resource.channel)
        if resource.log.published:
            await self._delete(resource.channel)

    async def _delete(self, channel: str) -> None:
        # Without the store nobody can be told; on other nodes their own looks find the same.
        try:
            await self.hub.store.delete(channel)
        except StoreError:
            if len(self._leftovers) < MAX_RESOURCES:
                self._leftovers[channel] = None
            if len(self._leftovers) == 1:
                self.origin.keep(self._clear())

    async def _clear(self) -> None:
        """Delete the channels that could not be deleted, when the store is back: they would stay
        for ever.
        """
        while self._leftovers:
            await asyncio.sleep(self.uniform(CLEAR_SECONDS / 2, CLEAR_SECONDS))
            for channel in list(self._leftovers):
                resource = self._resources.get(channel)
                try:
                    if resource is None:
                        await self.hub.store.delete(channel)
                    else:
                        # In use again: the channel is deleted with this resource.
                        resource.log.published = True
                except StoreError:
                    break
                del self._leftovers[channel]

    def vary(self, key: Key, route: Route, names: frozenset[str]) -> bool:
        """Take note of what a resource varies by; whether that is news."""
        names = frozenset(name for name in names if not counts(name, route))
        if names <= set(key.names):
            return False
        if len(self._varying) >= MAX_VARYING:
            self._varying.pop(next(iter(self._varying)))
        self._varying[key.address] = self._varying.get(key.address, frozenset()) | names
        self.varied += 1
        return True

    def told_alone(self, key: Key, route: Route, reason: str) -> None:
        """A look has found what can be given to nobody else: whoever waits for it asks the origin
        at their old interval, and nobody would know why.
        """
        self._say("origin.not-shared", route, key, reason)

    def stalled(self, resource: Resource, reason: str) -> None:
        """A look's retries make no progress: they are given up, and the resource is looked at again
        after the pause of a failed one.
        """
        self.stalls += 1
        self._say("origin.stalled", resource.route, resource.key, reason)

    def _say(self, event: str, route: Route, key: Key, reason: str) -> None:
        """Log it, once an hour for each route and reason."""
        now = self.hub.now()
        times = told.times if (told := self.not_shared.get((route.path, reason))) else 0
        self.not_shared[route.path, reason] = NotShared(times + 1, key.path, now)
        if now - self._said.get((route.path, reason), float("-inf")) >= SAY_SECONDS:
            self._said[route.path, reason] = now
            log.warning(event, route=route.path, path=key.path, why=reason)

    # Other nodes

    async def claim(self, channel: str, turn: str) -> bool:
        """Whether it is this node that looks, of all that would in this turn."""
        store = self.hub.store
        if store.certain or self._is_set_back():
            return True
        claim = Append(TURNS, Draft(b"{}"), REGISTER, key=f"{channel}:{turn}")
        (outcome,) = await append(store, claim)
        # Without the store nothing can be told; the look's own publish will say so.
        return not isinstance(outcome, Appended) or not outcome.duplicate

    def _is_set_back(self) -> bool:
        """Whether the wall clock shows a time that it has shown before: the names of its turns are
        taken, and no node would fetch. The store remembers a name for so long.
        """
        clock, now = self.hub.clock(), self.hub.now()
        latest, at = self._latest
        if clock < latest and now - at < IDEMPOTENCY_SECONDS:
            return True
        self._latest = (clock, now)
        return False

    def notified(self, resources: list[str], turn: str) -> int:
        """Somebody says that these changed: paths, with or without a query, prefixes with a final
        `*`, and `{name}` for one segment. How many of them are known here.
        """
        plain = {text for text in resources if "*" not in text and "{" not in text}
        patterns = [parse_pattern(text) for text in resources if text not in plain]
        self.notices += 1
        count = 0
        for resource in list(self._resources.values()):
            key = resource.key
            whole = f"{key.path}?{key.query}"
            if key.path in plain or whole in plain or (patterns and _matches(patterns, key.path)):
                count += 1
                resource.notified(turn)
        return count

    def doubt(self) -> None:
        """Notifications may have been lost: every resource is looked at anew."""
        for resource in list(self._resources.values()):
            resource.notified()

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources.values())

    def __len__(self) -> int:
        return len(self._resources)


def _matches(patterns: list[Pattern], path: str) -> bool:
    segments = readings(path)[0]
    return any(pattern.values(segments) is not None for pattern in patterns)


def _told_by(found: Found) -> str | None:
    """The public channel that tells of a request's resource, by its route."""
    pattern = found.route.channel
    if pattern is None:
        return None
    try:
        return public_name(pattern.format(**found.names))
    except (ChannelNameError, KeyError, IndexError, ValueError):
        return None
