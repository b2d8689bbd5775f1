"""One request on its way through to the origin, and the response on its way back.

Nothing is added and nothing taken off but what RFC 9110 §7.6 says is for one connection only: the
client cannot tell that pushhub is there. A driver lends its connection as a `Sink`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.origin.headers import end_to_end, to_origin
from pushhub.protocol.problem import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import Stream
    from pushhub.origin.asked import Asked, Pairs
    from pushhub.origin.client import Response
    from pushhub.origin.origin import Origin
    from pushhub.origin.routes import Found
    from pushhub.protocol.answer import Answer

BODILESS = frozenset({204, 304})


class Sink(Protocol):
    """Where a response is written to, by whichever driver has the connection."""

    def open(self, response: Response, pairs: Pairs) -> None:
        """Write the head; `pairs` are its headers without those of the origin's connection, but
        with Transfer-Encoding where it has one.
        """

    async def write(self, piece: bytes) -> None:
        """Write a piece of the body; returns when there is room for another."""

    def end(self) -> None:
        """The response is complete."""

    def refuse(self, problem: Problem) -> None:
        """Answer a problem; or, in the middle of a response, break off so that it shows."""

    def become(self, outcome: Answer | Hold | Stream) -> None:
        """The response is another one than the origin's: now, or when that is completed."""


class Passage:
    """One request, from the moment its head is there."""

    __slots__ = ("asked", "found", "origin", "sink")

    def __init__(self, origin: Origin, found: Found, asked: Asked, sink: Sink) -> None:
        self.origin = origin
        self.found = found
        self.asked = asked
        self.sink = sink

    async def run(self, body: AsyncIterable[bytes] | bytes | None) -> None:
        """Ask the origin and write what it says."""
        origin, found, asked = self.origin, self.found, self.asked
        instructs = origin.instructs if found.route.step == "grip" else None
        pairs = to_origin(asked, origin.forwarded)
        mark: object = None
        if instructs is not None:
            mark = instructs.mark()
            pairs = instructs.request(pairs)
        try:
            response = await origin.client.ask(
                asked.method, found.target + asked.target, pairs, body
            )
        except Problem as problem:
            self.sink.refuse(problem)
            return
        try:
            if instructs is not None and instructs.concerns(response):
                self.sink.become(await instructs.outcome(found, asked, response, mark))
            else:
                await self._write(response)
        except Problem as problem:
            self.sink.refuse(problem)
        finally:
            response.close()

    async def _write(self, response: Response) -> None:
        sink = self.sink
        sink.open(response, end_to_end(response.pairs, framed=True))
        if self.asked.method != "HEAD" and response.status not in BODILESS:
            async for piece in response.body():
                await sink.write(piece)
        sink.end()
