"""A response that goes on: what the origin sends first, what its links give, what is published.

It is a stream of the hub (`hub/stream.py`): the driver asks for one step after the other, when the
last has left. A step is a turn of a poll, or a piece that the origin is asked for.
"""

from __future__ import annotations

import asyncio
import math
from enum import Enum
from typing import TYPE_CHECKING

import structlog

from pushhub.hub.hold import Follower, Hold
from pushhub.hub.stream import Stream
from pushhub.origin.grip_link import target
from pushhub.protocol.accept import directives
from pushhub.protocol.answer import Answer, Part
from pushhub.protocol.grip_instruct import Mode
from pushhub.protocol.grip_response import held
from pushhub.protocol.grip_stream import For, GripStream, Next
from pushhub.protocol.problem import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from pushhub.origin.asked import Asked
    from pushhub.origin.grip import Grip
    from pushhub.origin.origin import Origin
    from pushhub.origin.response import Response
    from pushhub.origin.routes import Found
    from pushhub.protocol.grip_instruct import Instruct
    from pushhub.protocol.verbatim import Verbatim

log = structlog.get_logger(__name__)

# A link that cannot be followed is tried so often again, after 1, 2, 4 … seconds and up to one
# more: Pushpin's.
MAX_TRIES = 5
# An origin whose links give nothing and lead on is not asked as fast as it answers.
EMPTY_SECONDS = 1
# A turn with nothing to wait for but news ends all the same, and the next one begins.
IDLE_SECONDS = 3600


def _untransformed(opening: Verbatim) -> Verbatim:
    """The origin's headers, and `no-transform`: a proxy that compresses a stream would keep its
    parts until a block is full.
    """
    for name, value in opening.headers:
        said = value.decode("latin-1") if name.lower() == b"cache-control" else ""
        if "no-transform" in directives(said):
            return opening
    return opening.with_headers((b"Cache-Control", b"no-transform"))


class Doing(Enum):
    """Where a course is."""

    BODY = "body"
    FETCH = "fetch"
    HOLD = "hold"
    OVER = "over"


class Course(Stream):
    """One client's response."""

    __slots__ = (
        "_asked",
        "_base",
        "_beat",
        "_began",
        "_body",
        "_doing",
        "_empty",
        "_fetched",
        "_found",
        "_gone",
        "_grip",
        "_instruct",
        "_response",
        "_turns",
    )

    def __init__(
        self,
        grip: Grip,
        found: Found,
        asked: Asked,
        instruct: Instruct,
        response: Response,
        began: float,
    ) -> None:
        self.hub = grip.hub
        self.opening = _untransformed(instruct.response)
        self.expires = None
        self._grip = grip
        self._found = found
        self._asked = asked
        self._instruct = instruct
        # Where links are resolved against: what the instruct came from.
        self._base = asked.target
        self._gone = instruct.gone
        self._response: Response | None = response
        self._body: AsyncIterator[bytes] | None = None
        self._began = began
        self._turns: GripStream | None = None
        self._doing = Doing.BODY
        self._empty = False
        self.begun = self._fetched = self._beat = grip.hub.now()
        response.kept = True

    def next(self, written: Part | None) -> Part | Hold | None:
        """The step after `written`; None at the end."""
        if written is not None and written.last:
            self._doing = Doing.OVER
        match self._doing:
            case Doing.OVER:
                return None
            case Doing.HOLD:
                return self._watched(self._turn())
        return self._watched(Pull(self, self._grip.origin, self._piece))

    def _watched(self, step: Part | Hold) -> Part | Hold:
        if self._gone is None or not isinstance(step, Hold):
            return step
        return Watched(self, step)

    def leave(self) -> None:
        self.close()
        self.gone()

    def gone(self) -> None:
        """The client has gone."""
        if self._gone is not None:
            self._grip.tell_gone(self._found, self._asked, self._gone)

    # Turns of the hub

    def _turn(self) -> Part | Hold:
        poll = self._turns
        assert poll is not None
        now = self.hub.now()
        if poll.then is Next.FETCH:
            self._doing = Doing.FETCH
            return Pull(self, self._grip.origin, self._piece)
        beat = self._instruct.keep_alive
        stirred, poll.stirred = poll.stirred, None
        if beat is not None and (stirred is For.KEEP_ALIVE or (stirred and not beat.interval)):
            self._beat = now
        if poll.active and len(poll.active) == len(poll.wants):
            self._fetched = now
            poll.active.clear()
        waits = [(IDLE_SECONDS + now, For.KEEP_ALIVE)]
        if beat is not None:
            waits.append((self._beat + beat.timeout, For.KEEP_ALIVE))
        if self._instruct.next is not None:
            waits.append((self._fetched + self._instruct.next.timeout, For.NEXT))
        waits += [
            (now + order.window, For.WINDOW) for order in poll.orders.values() if order.parked
        ]
        due, poll.waits_for = min(waits, key=lambda wait: wait[0])
        poll.wait = max(1, math.ceil(due - now))
        step = self.hub.hold(poll)
        assert not isinstance(step, Answer), "a poll of a stream is answered with parts"
        return step

    # What the origin is asked for

    async def _piece(self) -> Part:
        """The next piece of what the origin sends."""
        try:
            if self._doing is Doing.FETCH:
                await self._fetch()
            if self._body is None:
                assert self._response is not None
                self._body = self._first(self._response)
            piece = await anext(self._body, None)
            if piece is not None:
                self._empty = False
                return Part(piece)
            self.close()
            return await self._after()
        except Problem as problem:
            self.hub.log.info(log, "grip.stream-ended", why=problem.detail)
            self.close()
            return Part(b"", last=True)

    async def _first(self, response: Response) -> AsyncIterator[bytes]:
        if self._instruct.response.body:
            # It came in a document, which was read already.
            yield self._instruct.response.body
            return
        while piece := await response.piece():
            yield piece

    async def _after(self) -> Part:
        """What comes when a body has ended."""
        instruct = self._instruct
        if instruct.mode is not Mode.STREAM:
            if instruct.next is None:
                return Part(b"", last=True)
            self._doing = Doing.FETCH
            return Part(b"")
        stand = await self._grip.look(instruct, self._began, trusted=self._turns is not None)
        cursors, orders = stand.cursors, stand.orders
        if self._turns is not None:
            for want in self._turns.wants:
                subscription = next(
                    (o for o in instruct.subscriptions if o.channel == want.channel), None
                )
                if subscription is not None and subscription.prev_id is None:
                    # The origin does not say what it knows; so the reader goes on where it was.
                    cursors[want.channel] = want.since  # type: ignore[assignment]
                    orders[want.channel] = self._turns.orders[want.channel]
        self._turns = GripStream(held(instruct), cursors, orders)
        self._doing = Doing.HOLD
        if stand.gap:
            self._turns.then = Next.FETCH
        return Part(b"")

    async def _fetch(self) -> None:
        """Follow the next link, and take its response as what goes on."""
        link = self._instruct.next
        assert link is not None
        last: tuple[tuple[str, str], ...] = ()
        if self._turns is not None:
            last = self._turns.last_ids()
        if self._empty:
            await asyncio.sleep(EMPTY_SECONDS)
        self._empty = True
        for tries in range(MAX_TRIES + 1):
            if tries:
                await asyncio.sleep(2 ** (tries - 1) + self.hub.uniform(0, 1))
            self._began = self.hub.now()
            try:
                response = await self._grip.follow(
                    "GET", self._found, self._asked, self._base, link.uri, last
                )
            except Problem as problem:
                if problem.slug == "bad-gateway" or tries == MAX_TRIES:
                    raise
                continue
            if 200 <= response.status < 300:
                break
            response.close()
        else:
            raise Problem("bad-gateway", "The origin's next link answers no success.")
        self._response = response
        self._instruct = await self._grip.read(response)
        if self._instruct.mode is Mode.RESPONSE:
            raise Problem("bad-gateway", "A next link of a stream cannot hold a response.")
        self._body = self._first(response)
        self._base = target(self._found, self._asked, self._base, link.uri)
        self._fetched = self.hub.now()
        self._doing = Doing.BODY

    def close(self) -> None:
        """Let go of the origin's response."""
        response, self._response = self._response, None
        self._body = None
        if response is not None:
            response.close()


class Pull(Hold):
    """A piece that is on its way from the origin."""

    __slots__ = ("_course", "_task")

    def __init__(
        self, course: Course, origin: Origin, piece: Callable[[], Awaitable[Part]]
    ) -> None:
        super().__init__()
        self._course = course
        self._task: asyncio.Task[None] | None = origin.keep(self._run(piece))

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
        self._course.close()


class Watched(Follower):
    """A step of a course whose origin wants to know when the client goes."""

    __slots__ = ("_course",)

    def __init__(self, course: Course, step: Hold) -> None:
        super().__init__()
        self._course = course
        self.follow(step)

    def drop(self) -> None:
        if not self.done:
            self._course.gone()
        super().drop()
