"""A GRIP stream: the origin's body, then published items, and the responses of its next links.

It is a stream of the hub (`hub/stream.py`): the driver calls `next` when the last step was
written. A step is a turn of a poll, or the next piece of the origin's response.
"""

from __future__ import annotations

import asyncio
import math
from enum import Enum
from typing import TYPE_CHECKING

import structlog

from pushhub.grip.held_response import HeldInstruct
from pushhub.grip.held_stream import HeldStream, StreamAction, StreamTimer
from pushhub.grip.instruct import HoldMode
from pushhub.http.accept import directives
from pushhub.http.problem import Problem
from pushhub.http.response import Part, Response
from pushhub.hub.hold import ChainedHold, Hold
from pushhub.hub.stream import EventStream
from pushhub.log.grant import EVERYTHING
from pushhub.origin.grip.link import link_target
from pushhub.origin.grip.position import find_hold_position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

    from pushhub.grip.instruct import Instruct
    from pushhub.http.raw_response import RawResponse
    from pushhub.hub.hub import Hub
    from pushhub.origin.client.response import UpstreamResponse
    from pushhub.origin.grip.upstream import GripUpstream, LastIds
    from pushhub.origin.request import ProxiedRequest

    Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]

log = structlog.get_logger(__name__)

# A link that fails is tried so often again, after 1, 2, 4 … seconds and up to one more: Pushpin's.
MAX_TRIES = 5
# The pause between next links whose responses are empty: an origin that responds immediately
# must not be requested in a busy loop.
EMPTY_SECONDS = 1
# A turn without any other timer ends after so long, and the next one begins.
IDLE_SECONDS = 3600


def _untransformed(opening: RawResponse) -> RawResponse:
    """The origin's headers, and `no-transform`: a proxy that compresses a stream would keep its
    parts until a block is full.
    """
    for name, value in opening.headers:
        cache_control = value.decode("latin-1") if name.lower() == b"cache-control" else ""
        if "no-transform" in directives(cache_control):
            return opening
    return opening.with_headers((b"Cache-Control", b"no-transform"))


class StreamPhase(Enum):
    """The source of a stream's next part."""

    BODY = "body"
    """The body of the origin's response."""
    FETCH = "fetch"
    """The response of the next link, which is to be fetched."""
    HOLD = "hold"
    """The items that are published."""
    OVER = "over"


class GripResponseStream(EventStream):
    """One client's response."""

    hub: Hub

    __slots__ = (
        "_base",
        "_began",
        "_body",
        "_empty",
        "_fetched",
        "_gone",
        "_instruct",
        "_keep_alive_at",
        "_phase",
        "_request",
        "_response",
        "_spawn",
        "_turns",
        "_upstream",
    )

    def __init__(
        self,
        hub: Hub,
        upstream: GripUpstream,
        spawn: Spawn,
        request: ProxiedRequest,
        instruct: Instruct,
        response: UpstreamResponse,
        began: float,
    ) -> None:
        self.hub = hub
        self.opening = _untransformed(instruct.response)
        self.grant = EVERYTHING  # The origin has decided about rights.
        self._upstream = upstream
        self._spawn = spawn
        self._request = request
        self._instruct = instruct
        # The target of the request whose response has the instruct; links are relative to it.
        self._base = request.target
        self._gone = instruct.gone
        self._response: UpstreamResponse | None = response
        self._body: AsyncIterator[bytes] | None = None
        self._began = began
        self._turns: HeldStream | None = None
        self._phase = StreamPhase.BODY
        self._empty = False
        self.begun = self._fetched = self._keep_alive_at = hub.now()
        response.is_streamed = True

    def next(self, written: Part | None) -> Part | Hold | None:
        """The step after `written`; None at the end."""
        if written is not None and written.last:
            self._phase = StreamPhase.OVER
        match self._phase:
            case StreamPhase.OVER:
                return None
            case StreamPhase.HOLD:
                return self._with_gone(self._turn())
        return self._with_gone(PullHold(self, self._spawn, self._piece))

    def _with_gone(self, step: Part | Hold) -> Part | Hold:
        if self._gone is None or not isinstance(step, Hold):
            return step
        return GoneHold(self, step)

    def leave(self) -> None:
        self.close()
        self.notify_gone()

    def notify_gone(self) -> None:
        """The client has disconnected."""
        if self._gone is not None:
            self._upstream.notify_gone(self._request, self._gone)

    # Turns of the hub

    def _turn(self) -> Part | Hold:
        poll = self._turns
        assert poll is not None
        now = self.hub.now()
        if poll.action is StreamAction.FETCH:
            self._phase = StreamPhase.FETCH
            return PullHold(self, self._spawn, self._piece)
        keep_alive = self._instruct.keep_alive
        written, poll.written = poll.written, None
        if keep_alive is not None and (
            written is StreamTimer.KEEP_ALIVE or (written and not keep_alive.interval)
        ):
            self._keep_alive_at = now
        if poll.active and len(poll.active) == len(poll.reads):
            self._fetched = now
            poll.active.clear()
        timers = [(IDLE_SECONDS + now, StreamTimer.KEEP_ALIVE)]
        if keep_alive is not None:
            timers.append((self._keep_alive_at + keep_alive.timeout, StreamTimer.KEEP_ALIVE))
        if self._instruct.next is not None:
            timers.append((self._fetched + self._instruct.next.timeout, StreamTimer.NEXT_LINK))
        timers += [
            (now + sequence.window, StreamTimer.WINDOW)
            for sequence in poll.sequences.values()
            if sequence.parked
        ]
        due, poll.timer = min(timers, key=lambda timer: timer[0])
        poll.wait = max(1, math.ceil(due - now))
        step = self.hub.hold(poll)
        assert not isinstance(step, Response), "a poll of a stream gets parts as replies"
        return step

    # Responses of the origin

    async def _piece(self) -> Part:
        """The next piece of the origin's responses."""
        try:
            if self._phase is StreamPhase.FETCH:
                await self._follow_next()
            if self._body is None:
                assert self._response is not None
                self._body = self._read_body(self._response)
            piece = await anext(self._body, None)
            if piece is not None:
                self._empty = False
                return Part(piece)
            self.close()
            return await self._end_body()
        except Problem as problem:
            self.hub.log.info(log, "grip.stream-ended", why=problem.detail)
            self.close()
            return Part(b"", last=True)

    async def _read_body(self, response: UpstreamResponse) -> AsyncIterator[bytes]:
        if self._instruct.response.body:
            # The body is a member of the instruct document, which was read already.
            yield self._instruct.response.body
            return
        while piece := await response.read():
            yield piece

    async def _end_body(self) -> Part:
        """Choose the phase after the end of a body."""
        instruct = self._instruct
        if instruct.mode is not HoldMode.STREAM:
            if instruct.next is None:
                return Part(b"", last=True)
            self._phase = StreamPhase.FETCH
            return Part(b"")
        position = await find_hold_position(
            self.hub, instruct, self._began, trusted=self._turns is not None
        )
        cursors, sequences = position.cursors, position.sequences
        if self._turns is not None:
            for channel_read in self._turns.reads:
                subscription = next(
                    (
                        each
                        for each in instruct.subscriptions
                        if each.channel == channel_read.channel
                    ),
                    None,
                )
                if subscription is not None and subscription.prev_id is None:
                    # Without a `prev-id` the reader keeps its position.
                    cursors[channel_read.channel] = channel_read.since  # type: ignore[assignment]
                    sequences[channel_read.channel] = self._turns.sequences[channel_read.channel]
        self._turns = HeldStream(HeldInstruct.of(instruct), cursors, sequences)
        self._phase = StreamPhase.HOLD
        if position.gap:
            self._turns.action = StreamAction.FETCH
        return Part(b"")

    async def _follow_next(self) -> None:
        """Follow the next link; its response continues the stream."""
        link = self._instruct.next
        assert link is not None
        last_ids: LastIds = ()
        if self._turns is not None:
            last_ids = self._turns.last_ids()
        if self._empty:
            await asyncio.sleep(EMPTY_SECONDS)
        self._empty = True
        for tries in range(MAX_TRIES + 1):
            if tries:
                await asyncio.sleep(2 ** (tries - 1) + self.hub.uniform(0, 1))
            self._began = self.hub.now()
            try:
                response = await self._upstream.follow(
                    "GET", self._request, self._base, link.uri, last_ids
                )
            except Problem as problem:
                if problem.slug == "bad-gateway" or tries == MAX_TRIES:
                    raise
                continue
            if 200 <= response.status < 300:
                break
            response.close()
        else:
            raise Problem("bad-gateway", "The origin's next link did not respond with success.")
        self._response = response
        self._instruct = await self._upstream.read_instruct(response)
        if self._instruct.mode is HoldMode.RESPONSE:
            raise Problem("bad-gateway", "A next link of a stream cannot hold a response.")
        self._body = self._read_body(response)
        self._base = link_target(self._request, self._base, link.uri)
        self._fetched = self.hub.now()
        self._phase = StreamPhase.BODY

    def close(self) -> None:
        """Close the origin's response."""
        response, self._response = self._response, None
        self._body = None
        if response is not None:
            response.close()


class PullHold(Hold):
    """The wait for the next piece of the origin's response."""

    __slots__ = ("_stream", "_task")

    def __init__(
        self, stream: GripResponseStream, spawn: Spawn, piece: Callable[[], Awaitable[Part]]
    ) -> None:
        super().__init__()
        self._stream = stream
        self._task: asyncio.Task[None] | None = spawn(self._run(piece))

    async def _run(self, piece: Callable[[], Awaitable[Part]]) -> None:
        part = await piece()
        self._task = None
        self.complete(part)

    def drop(self) -> None:
        if self.done:
            return
        super().drop()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._stream.close()


class GoneHold(ChainedHold):
    """A step of a stream with a `gone` link: notifies the origin when the client disconnects."""

    __slots__ = ("_stream",)

    def __init__(self, stream: GripResponseStream, step: Hold) -> None:
        super().__init__()
        self._stream = stream
        self.follow(step)

    def drop(self) -> None:
        if not self.done:
            self._stream.notify_gone()
        super().drop()
