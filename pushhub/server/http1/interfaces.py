"""What the parts of a connection see of each other.

A connection has the state; reader and writer have none, and are one object each for all
connections of a process, so that a held request costs no more than one slotted object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from pushhub.api.endpoints import Match, Outcome
    from pushhub.http.body import RequestBody
    from pushhub.http.problem import Problem
    from pushhub.http.response import Part, Response
    from pushhub.hub.hold import Hold
    from pushhub.hub.stream import EventStream
    from pushhub.server.http1.context import ConnectionContext
    from pushhub.server.http1.head import Head
    from pushhub.server.http1.header_lines import HeaderLines
    from pushhub.server.http1.request_cache import ClientHeaders
    from pushhub.server.http1.stream_framing import StreamFraming


class Guest(Protocol):
    """A protocol that serves one request on somebody else's connection."""

    def begin(self, head: Head, raw: bytes) -> None:
        """Take the head of the request."""

    def forward(self, raw: bytes, payload: bytes, *, done: bool) -> None:
        """Take more of its body: as it was sent, and without its chunks."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has disconnected."""

    def pause_writing(self) -> None:
        """The client reads too slowly."""

    def resume_writing(self) -> None:
        """The client has caught up."""

    def shutdown(self) -> None:
        """The server leaves when the response has ended."""

    def cut(self) -> None:
        """The process ends in the middle of the response."""


class ClientConnection(Protocol):
    """The state of one connection, and the steps that reader, writer and guests ask for."""

    context: ConnectionContext
    transport: asyncio.Transport
    tick: int
    state: int
    buffer: bytes
    keep: bool
    paused: bool
    since: float
    lines: HeaderLines
    head: Head | None
    match: Match | None
    body: RequestBody | None
    hold: Hold | None
    framing: StreamFraming | None
    client_headers: ClientHeaders | None

    @property
    def client(self) -> str:
        """The address of the client."""

    def expire(self) -> None:
        """A deadline of the connection has passed."""

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """Write what the hold was completed with."""

    def advance(self) -> None:
        """Take what has arrived as far as it goes."""

    def conclude(self, outcome: Outcome) -> None:
        """Write a response, park a hold or open a stream."""

    def refuse(self, problem: Problem) -> None:
        """Respond with a problem, and close."""

    def hand_off(self, head: Head, raw: bytes) -> None:
        """Have a guest serve the request."""


class ReaderInterface(Protocol):
    """Reads requests from the buffer of a connection."""

    def serve_cached(self, connection: ClientConnection, data: bytes) -> bool:
        """Serve a request that is in a cache; False if it must be parsed."""

    def read_head(self, connection: ClientConnection) -> bool:
        """Begin the next request; False if its head is incomplete."""

    def read_body(self, connection: ClientConnection) -> bool:
        """Read the body and run the request; False if the body is incomplete."""


class WriterInterface(Protocol):
    """Writes responses and streams, and closes connections."""

    def respond(
        self, connection: ClientConnection, response: Response, *, linger: bool = False
    ) -> None:
        """Write a response; the connection is idle after it, or ends."""

    def write(self, connection: ClientConnection, pieces: tuple[bytes, ...]) -> None:
        """Write what belongs together."""

    def open_stream(self, connection: ClientConnection, stream: EventStream) -> None:
        """Write the head of a stream, and its first parts."""

    def continue_stream(self, connection: ClientConnection) -> None:
        """Write what the stream has, until it waits, ends, or the client reads too slowly."""

    def close_stream(self, connection: ClientConnection) -> None:
        """Write the end of a stream."""

    def end(self, connection: ClientConnection, *, linger: bool) -> None:
        """Close when everything is written; `linger` if unread bytes would reset it."""

    def close(self, connection: ClientConnection) -> None:
        """Close when everything is written."""
