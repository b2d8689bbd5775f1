"""One request on its way through to the origin, and the response on its way back.

Nothing is added and nothing taken off but what RFC 9110 §7.6 says is for one connection only: the
client cannot tell that pushhub is there. A driver lends its connection as a `ClientWriter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.http.problem import Problem
from pushhub.origin.headers import to_origin
from pushhub.origin.misdirected import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from pushhub.http.response import Response
    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import EventStream
    from pushhub.origin.client.response import UpstreamResponse
    from pushhub.origin.grip.gateway import GripGateway
    from pushhub.origin.origin import Origin
    from pushhub.origin.request import Pairs, ProxiedRequest
    from pushhub.origin.routes import RouteMatch
    from pushhub.origin.shared.table import Meaning


class ClientWriter(Protocol):
    """Where a response is written to, by whichever driver has the connection."""

    @property
    def framed(self) -> bool:
        """Whether it writes a chunked body as it is on the wire."""

    def inform(self, head: bytes) -> None:
        """Write a response of 1xx, which comes before the one that counts."""

    def open(self, response: UpstreamResponse) -> None:
        """Write the head."""

    async def write(self, piece: bytes) -> None:
        """Write a piece of the body; returns when there is room for another."""

    def end(self) -> None:
        """The response is complete."""

    def switch(self, response: UpstreamResponse) -> None:
        """The connection speaks another protocol from now on, as does the origin's."""

    def refuse(self, problem: Problem) -> None:
        """Answer a problem; or, in the middle of a response, break off so that it shows."""

    def become(self, outcome: Response | Hold | EventStream) -> None:
        """The response is another one than the origin's: now, or when that is completed."""


class ProxyExchange:
    """One request, from the moment its head is there."""

    __slots__ = ("_shared", "asked", "found", "origin", "sink")

    def __init__(
        self, origin: Origin, found: RouteMatch, asked: ProxiedRequest, sink: ClientWriter
    ) -> None:
        self.origin = origin
        self.found = found
        self.asked = asked
        self.sink = sink
        sharing = origin.sharing
        self._shared = None if sharing is None else sharing.shared(found, asked)

    def at_once(self) -> Response | Hold | None:
        """What answers the request, now or later, without a question to the origin; None where
        there must be one.
        """
        return None if self._shared is None else self._shared.at_once()

    @property
    def meaning(self) -> Meaning | None:
        """What the request means, if the next of its kind means the same."""
        return None if self._shared is None else self._shared.meaning

    async def run(self, body: AsyncIterable[bytes] | bytes | None) -> None:
        """Ask the origin and write what it says."""
        origin, found, asked = self.origin, self.found, self.asked
        pairs = to_origin(asked, origin.forwarded)
        grip = origin.grip if found.route.step == "grip" and not asked.upgrades else None
        try:
            if self._shared is not None and (outcome := await self._shared.outcome()) is not None:
                self.sink.become(outcome)
            elif grip is None:
                await self._pass(pairs, body)
            else:
                await self._instructed(grip, grip.request(pairs), body)
        except Problem as problem:
            self.sink.refuse(problem)

    async def _pass(self, pairs: Pairs, body: AsyncIterable[bytes] | bytes | None) -> None:
        response = await self._ask(pairs, body)
        try:
            if response.status == 101:
                self.sink.switch(response)
            else:
                await self._write(response)
        finally:
            response.close()

    async def _instructed(
        self, grip: GripGateway, pairs: Pairs, body: AsyncIterable[bytes] | bytes | None
    ) -> None:
        found, asked = self.found, self.asked
        key = grip.shares.key(found, asked, pairs) if body is None else None
        poll = await grip.shares.join(key)
        if poll is not None:
            self.sink.become(grip.hold(found, asked, poll))
            return
        question = grip.shares.ask(key, found, asked)
        try:
            response = await self._ask(pairs, body)
            try:
                if not grip.concerns(response):
                    question.settle(None)
                    await self._write(response)
                elif asked.method == "HEAD":
                    response = grip.head(response)
                    await self._write(response)
                else:
                    self.sink.become(await grip.outcome(found, asked, response, question))
            finally:
                # A stream may still be reading it.
                if not response.kept:
                    response.close()
        finally:
            # Without an answer, who waits for it may try by themselves.
            question.settle(None, again=True)

    async def _ask(
        self, pairs: Pairs, body: AsyncIterable[bytes] | bytes | None
    ) -> UpstreamResponse:
        asked = self.asked
        response = await self.origin.client.ask(
            asked.method, self.found.target + asked.target, pairs, body, self.sink.inform
        )
        if response.status in UNKNOWN:
            self.origin.misdirected.refused(asked, response.status)
        if response.status == 101 and not asked.upgrades:
            response.close()
            raise Problem(
                "bad-gateway", "The origin switched to a protocol that the client did not request."
            )
        return response

    async def _write(self, response: UpstreamResponse) -> None:
        sink = self.sink
        sink.open(response)
        read = response.wired if sink.framed else response.piece
        while piece := await read():
            await sink.write(piece)
        # First, so that the client's next request finds the connection unused.
        response.close()
        sink.end()
