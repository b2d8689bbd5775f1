"""Request coalescing: identical requests that are held share one request to the origin.

Two requests are identical if the origin cannot distinguish them: the same URL and the same headers,
all of them, credentials and forwarded addresses included. A route may require less. With
`share_addresses` forwarding headers are not compared (`origin/forwarded.py`). If its `identity` is
empty, the resource is the same for all users: then the URL, the conditions and the headers that
count by `origin/shared/key.py` are compared, and the origin receives no others (`without_client`).
So no response to the credentials of one client reaches another one. Only a GET without a body is
shared, and only an instruct that holds a response: each client fetches a response that is not held
itself.

A request that comes while an identical one is in flight waits for the head of its response, so a
crowd costs one request. If that response is not held, each request goes to the origin itself, and
the next time no request waits: a request that passes through is late at most once.

Sharing is safe because all requests that share have the position of the first one, and nothing was
published since. An item that was published since may have been in the response that a client got
just now; so the request goes to the origin then. Sharing ends SHARED_SECONDS after the request to
the origin began, so no request waits on a response that is older than the shortest hold.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING

from pushhub.hub.wheel import OFF
from pushhub.origin.forwarded import strip_forwarding, without_hops
from pushhub.origin.shared.fetcher import USER_AGENT, shareable_vary
from pushhub.origin.shared.key import counts

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from pushhub.grip.held_response import HeldResponse
    from pushhub.grip.instruct import Instruct
    from pushhub.hub.hub import Hub
    from pushhub.origin.request import Pairs, ProxiedRequest
    from pushhub.settings.route import Route

# Pushpin's shortest hold.
SHARED_SECONDS = 5.0
# An origin that holds responds immediately. A request that has waited for so long goes to the
# origin itself: a request that hangs must not block others.
PATIENCE_SECONDS = 2.0
# A request waits for so many requests of others, one after the other, if each fails. Without the
# bound the last of a crowd would wait for all before it, if the origin fails slowly.
MAX_JOINS = 3
# Held responses that can be shared, of 100,000 bytes at most.
MAX_HELD = 1000
# Keys of requests that were not held, as hashes of 64 bits.
MAX_UNHELD = 10_000
# Entries that are checked with each new one, so that old ones are removed.
SWEEP = 2

# Headers that select the response, in addition to those that identify the resource.
_CONDITIONS = frozenset(
    {
        "accept-encoding",
        "cache-control",
        "grip-last",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "pragma",
        "prefer",
        "range",
        "wait",
    }
)


# A request with one of these has a body, and is never shared.
_FRAMING = frozenset({"content-length", "transfer-encoding"})


class InFlight:
    """A request to the origin, and its result: the poll of a held response, or None.

    Without a poll, `retry` says whether another request may try for all: this one had no response.
    `began` is when it began, on the hub's clock.
    """

    __slots__ = ("_coalescer", "_personal", "_route", "began", "key", "poll", "retry")

    def __init__(
        self, coalescer: Coalescer, key: Hashable, began: float, request: ProxiedRequest
    ) -> None:
        self.key = key
        self.began = began
        self.retry = False
        self.poll: asyncio.Future[HeldResponse | None] = asyncio.get_running_loop().create_future()
        self._coalescer = coalescer
        self._route = route = request.match.route
        self._personal = any(request.headers.get(name) for name in route.identity_headers)

    def settle(self, poll: HeldResponse | None, *, retry: bool = False) -> None:
        """Set the result for the requests that wait for it; the first call counts."""
        if not self.poll.done():
            if poll is not None and not self._is_shareable(poll.held.instruct):
                poll = None
            self.retry = retry
            self.poll.set_result(poll)
            self._coalescer.settled(self)

    def _is_shareable(self, instruct: Instruct) -> bool:
        """Whether all identical requests may be held by it: a `gone` link is for one client."""
        vary = shareable_vary(instruct.response.headers, personal=self._personal)
        return (
            instruct.gone is None
            and not isinstance(vary, str)
            and all(_selects(name, self._route) for name in vary)
        )


class Coalescer:
    """The requests in flight, and those of the last seconds whose response is held."""

    __slots__ = ("_held", "_hub", "_in_flight", "_unheld", "tick")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # One deadline on the wheel: that of the oldest response in `_held`.
        self.tick = OFF
        self._in_flight: dict[Hashable, InFlight] = {}
        self._held: OrderedDict[Hashable, InFlight] = OrderedDict()
        self._unheld: OrderedDict[int, None] = OrderedDict()

    def key(self, request: ProxiedRequest, pairs: Pairs) -> Hashable | None:
        """The key that identical requests have in common; None for one that is not shared.

        Args:
            request: without a body.
            pairs: the headers that the origin receives.
        """
        if request.method != "GET" or "content-length" in request.headers:
            return None
        route = request.match.route
        if not route.identity:
            same = tuple(_selecting(pairs, route))
        else:
            # The signature changes by the minute.
            same = tuple(pair for pair in pairs if pair[0].lower() != b"grip-sig")
            same = strip_forwarding(same, route) if route.share_addresses else same
        return request.match.target, request.target, same

    def begin(self, key: Hashable | None, request: ProxiedRequest) -> InFlight:
        """Begin a request to the origin, which identical ones may join. The caller settles it."""
        in_flight = InFlight(self, key, self._hub.now(), request)
        if key is not None and hash(key) not in self._unheld:
            self._in_flight[key] = in_flight
        return in_flight

    async def join(self, key: Hashable | None) -> HeldResponse | None:
        """The poll of an identical request; None if this one must go to the origin."""
        if key is None:
            return None
        for _ in range(MAX_JOINS):
            in_flight = self._in_flight.get(key) or self._held.get(key)
            if in_flight is None or in_flight.began + SHARED_SECONDS < self._hub.now():
                return None
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    poll = await asyncio.shield(in_flight.poll)
            except TimeoutError:
                return None
            if poll is None and not in_flight.retry:
                return None
            if poll is not None and self._is_at_end(poll):
                return poll
            self.forget(in_flight)
        return None

    def settled(self, in_flight: InFlight) -> None:
        """Store the result of a request to the origin."""
        key, poll = in_flight.key, in_flight.poll.result()
        if self._in_flight.get(key) is in_flight:
            del self._in_flight[key]
        if key is None or in_flight.retry:
            return
        if poll is None:
            self._unheld[hash(key)] = None
            if len(self._unheld) > MAX_UNHELD:
                self._unheld.popitem(last=False)
            return
        self._unheld.pop(hash(key), None)
        self._held[key] = in_flight
        self._held.move_to_end(key)
        for oldest in list(islice(self._held.values(), SWEEP)):
            if len(self._held) > MAX_HELD or oldest.began + SHARED_SECONDS < self._hub.now():
                del self._held[oldest.key]
        self._expire_later()

    def expire(self) -> None:
        """Remove held responses that are too old to be shared."""
        before = self._hub.now() - SHARED_SECONDS
        while self._held and (oldest := next(iter(self._held.values()))).began <= before:
            del self._held[oldest.key]
        self._expire_later()

    def _expire_later(self) -> None:
        oldest = next(iter(self._held.values()), None)
        if oldest is not None and self.tick == OFF:
            self._hub.wheel.set(self, oldest.began + SHARED_SECONDS)

    def _is_at_end(self, poll: HeldResponse) -> bool:
        """Whether nothing was published on the poll's channels since its position."""
        channels = self._hub.channels
        for channel_read in poll.reads:
            channel = channels.get(channel_read.channel)
            if channel is None or not channel.ends_at(channel_read.since):
                return False
        return not self._hub.feed_monitor.disconnected

    def clear(self) -> None:
        """Forget all responses: they may be out of date."""
        self._in_flight.clear()
        self._held.clear()

    def forget(self, in_flight: InFlight) -> None:
        """Forget a response that is out of date."""
        for entries in (self._in_flight, self._held):
            if entries.get(in_flight.key) is in_flight:
                del entries[in_flight.key]

    def __repr__(self) -> str:
        return f"<Coalescer {len(self._in_flight)} in flight, {len(self._held)} held>"


def without_client(pairs: Pairs, request: ProxiedRequest) -> Pairs:
    """The headers of a request that may be made for all users, without those that name its client:
    `Cookie`, `Authorization`, addresses, and headers of proxies that name a user.
    """
    headers = request.headers
    if request.match.route.identity or request.method != "GET" or not _FRAMING.isdisjoint(headers):
        return pairs
    kept = (
        pair
        for pair in _selecting(pairs, request.match.route)
        if pair[0].lower() not in (b"connection", b"te")
    )
    return (*kept, USER_AGENT)


def _selecting(pairs: Pairs, route: Route) -> Iterator[tuple[bytes, bytes]]:
    """The headers that select the response of a resource that is the same for all users."""
    for name, value in pairs:
        lower = name.decode("latin-1").lower()
        if _selects(lower, route):
            yield name, value
        elif lower == "forwarded":
            # The origin receives it, and it may name another host.
            yield name, without_hops(value)


def _selects(name: str, route: Route) -> bool:
    """Whether a header selects the response of a resource that is the same for all users."""
    return name in _CONDITIONS or counts(name, route)
