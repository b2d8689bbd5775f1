"""A route of the application whose requests may wait for another response.

The contract is that of an origin's resources: without `Prefer: wait` nothing changes. With it the
response has an `ETag`, and a request that sends it back in `If-None-Match` waits until the route
would respond with another one. After each event of the channel the whole route runs again for each
request that waits: middleware of the route, dependencies, endpoint. So rights are checked again,
and nothing that a dependency has opened is held during the wait.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pushhub.embedding.route_run import RouteRun
from pushhub.http.etag import parse_tags
from pushhub.http.prefer import bounded_wait, preferred
from pushhub.http.response import Part
from pushhub.hub.channel_hold import ChannelHold
from pushhub.hub.hold import Hold
from pushhub.log.channel import ChannelNameError, public_name
from pushhub.log.read import Gap
from pushhub.origin.shared.condition import Tags
from pushhub.origin.shared.representation import Representation
from pushhub.polls.base import NO_HINT, ChannelPoll, ChannelRead, Hint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pushhub.embedding.wakes import Wakes
    from pushhub.http.problem import Problem
    from pushhub.http.raw_response import RawResponse
    from pushhub.http.response import Response
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream
    from pushhub.log.cursor import Cursor
    from pushhub.log.read import Read
    from pushhub.polls.base import Positions


@dataclass(frozen=True, slots=True)
class WaitEnd(Part):
    """The end of a hold: an event at `cursor`; or the end of the wait, with its hint; or a log that
    cannot be read, which `is_lost`.
    """

    cursor: Cursor | None = None
    hint: Hint | None = None
    is_lost: bool = False


class RoutePoll(ChannelPoll):
    """A poll that waits for the next event of a channel, whatever it says."""

    __slots__ = ("wait",)
    kind = "endpoint"
    # Nothing in a reply depends on the poll.
    variant = "endpoint"

    def __init__(self, channel: str, since: Cursor, wait: int) -> None:
        self.reads = (ChannelRead(channel, since, 1),)
        self.wait = wait

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> WaitEnd | None:
        read = reads[self.reads[0].channel]
        if isinstance(read, Gap):
            return WaitEnd(b"", cursor=read.latest)
        return WaitEnd(b"", cursor=read.cursor) if read.events else None

    def empty(self, at: Positions, hint: Hint) -> WaitEnd:
        return WaitEnd(b"", hint=hint)

    def error(self, problem: Problem) -> WaitEnd:
        # After a delete the log goes on, from its end. One that cannot be read ends the wait.
        return WaitEnd(b"", is_lost=problem.slug != "deleted")


class Waiter:
    """One request that waits: the driver of its hold, and what a wake calls."""

    __slots__ = ("_end", "_woken", "address")

    def __init__(self, address: str) -> None:
        # For the console.
        self.address = address
        self._end: asyncio.Future[WaitEnd] | None = None
        # Whether a wake came while the route ran.
        self._woken = False

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """The hold has ended."""
        assert isinstance(reply, WaitEnd)
        if self._end is not None and not self._end.done():
            self._end.set_result(reply)

    def wake(self) -> None:
        """The application says that the response may be another one."""
        if self._end is None:
            self._woken = True
        elif not self._end.done():
            self._end.set_result(WaitEnd(b""))

    async def end_of(self, hold: Hold, left: asyncio.Future[Message]) -> WaitEnd | None:
        """Wait for the end of a hold, or for a wake; None if the client disconnects first."""
        self._end = asyncio.get_running_loop().create_future()
        if self._woken:
            self.wake()
        hold.attach(self)
        try:
            ends: set[asyncio.Future[Any]] = {self._end, left}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return self._end.result() if self._end.done() else None
        finally:
            hold.drop()
            self._end, self._woken = None, False


@dataclass(frozen=True, slots=True)
class WaitingRoutes:
    """What all routes that may wait share."""

    hub: Hub
    wakes: Wakes
    max_wait: Callable[[], int]
    """The setting of this name, in seconds."""


class WaitingRoute:
    """An ASGI application around the one of a route."""

    def __init__(
        self,
        app: ASGIApp,
        shared: WaitingRoutes,
        channel_of: Callable[[Scope], str],
        concurrency: int,
    ) -> None:
        """`channel_of` gives the channel of a request; so many runs are under way at a time."""
        self._app = app
        self.shared = shared
        self._channel_of = channel_of
        self._runs = asyncio.Semaphore(concurrency)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope) if scope["type"] == "http" and scope["method"] == "GET" else {}
        wait = None
        if "prefer" in headers:
            wait = bounded_wait(preferred(headers["prefer"]), self.shared.max_wait())
        channel = None if wait is None else self._channel(scope)
        if wait is None or channel is None:
            await self._app(scope, receive, send)
            return
        tags = parse_tags(headers.get("if-none-match", ""))
        await WaitingExchange(self, scope, receive, send).run(channel, wait, tags)

    def _channel(self, scope: Scope) -> str | None:
        """The channel of a request; None if no event can ever come, because of its name."""
        try:
            return public_name(self._channel_of(scope))
        except ChannelNameError:
            return None

    async def run_route(self, scope: Scope, receive: Receive, send: Send) -> Representation | None:
        """Run the route once, when there is room for one more run."""
        async with self._runs:
            return await RouteRun(scope, receive, send).run(self._app)


class WaitingExchange:
    """One request with a wait, and its response."""

    def __init__(self, route: WaitingRoute, scope: Scope, receive: Receive, send: Send) -> None:
        self._route = route
        self._hub = route.shared.hub
        self._scope = scope
        self._send = send
        self._outer = receive
        # The client's next message, which is its disconnection once its body was read.
        self._next: asyncio.Task[Message] | None = None
        self._has_body = False

    async def run(self, channel: str, wait: int, tags: frozenset[str]) -> None:
        client = self._scope.get("client")
        wakes, waiter = self._route.shared.wakes, Waiter(client[0] if client else "")
        # First: from now on no event and no wake is missed.
        wakes.add(channel, waiter.wake)
        try:
            cursor = await _position(self._hub, channel)
            response = await self._respond(channel, wait, tags, waiter, cursor)
        finally:
            wakes.remove(channel, waiter.wake)
            if self._next is not None:
                self._next.cancel()
        if response is not None:
            await _write(response, self._send)

    async def _respond(
        self,
        channel: str,
        wait: int,
        tags: frozenset[str],
        waiter: Waiter,
        cursor: Cursor | None,
    ) -> RawResponse | None:
        """The response; None if it has passed through, or the client has disconnected."""
        hub, condition = self._hub, Tags(tags) if tags else None
        deadline = hub.now() + wait
        while True:
            latest = await self._route.run_route(self._scope, self._receive, self._send)
            if latest is None:
                return None
            # Without the log no request can wait, so its client keeps its interval.
            granted = None if cursor is None else wait
            if condition is None or _is_new(latest, condition):
                return latest.response(granted)
            remaining = deadline - hub.now()
            if cursor is None or remaining <= 0:
                return _unchanged(latest, tags, granted)
            poll = RoutePoll(channel, cursor, math.ceil(remaining))
            held = hub.begin(ChannelHold(hub, poll))
            if isinstance(held, Hold):
                ended = await waiter.end_of(held, self._left())
                if ended is None:
                    return None
            else:
                assert isinstance(held, WaitEnd)
                ended = held
            if ended.hint is not None:
                return _unchanged(latest, tags, granted, ended.hint)
            cursor = None if ended.is_lost else ended.cursor or cursor

    def _left(self) -> asyncio.Task[Message]:
        """The client's next message: without a body that is being read, its disconnection."""
        if self._next is None:
            self._next = asyncio.create_task(self._disconnected())
        return self._next

    async def _disconnected(self) -> Message:
        while (message := await self._outer())["type"] != "http.disconnect":
            pass
        return message

    async def _receive(self) -> Message:
        """The messages of an internal request: an empty body, then the client's disconnection."""
        if not self._has_body:
            # A GET has no body that says anything (RFC 9110 §9.3.1).
            self._has_body = True
            return {"type": "http.request", "body": b"", "more_body": False}
        return await asyncio.shield(self._left())


def _is_new(latest: Representation, condition: Tags) -> bool:
    """Whether the client does not have the response. The endpoint may have said so itself."""
    return latest.status != 304 and condition.is_new(latest)


def _unchanged(
    latest: Representation, tags: frozenset[str], wait: int | None, hint: Hint = NO_HINT
) -> RawResponse:
    """The response for a client that has the present one."""
    if latest.status != 304:
        return latest.unchanged(wait, hint)
    if not latest.own_tag and len(tags) == 1:
        # A 304 has the tag (RFC 9110 §15.4.5), which this endpoint has left out.
        etag = (b"etag", b'W/"%b"' % next(iter(tags)).encode())
        latest = Representation(304, b"", (*latest.headers, etag), b"")
    return latest.response() if wait is None else latest.repeated(wait, hint)


async def _position(hub: Hub, channel: str) -> Cursor | None:
    """The end of a channel's log; None if it cannot be read, and no request can wait."""
    known = hub.channels.keep(channel)
    if known.tail is None and await hub.store_reads.loaded(known) is not None:
        return None
    return None if known.tail is None else known.tail.cursor


async def _write(response: RawResponse, send: Send) -> None:
    headers = [(name.lower(), value) for name, value in response.headers]
    if response.has_length:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _headers(scope: Scope) -> dict[str, str]:
    """The headers that a wait needs, of which several lines are one list (RFC 9110 §5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        if raw_name in (b"prefer", b"if-none-match"):
            name, value = raw_name.decode(), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
