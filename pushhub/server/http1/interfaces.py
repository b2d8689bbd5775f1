"""The interfaces between a connection, its reader, its writer and its guests.

The state is in the connection. Reader and writer have no state: one object of each serves all
connections of a process, so that a held request costs no more than one slotted object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from pushhub.api.access_log import AccessEntry
    from pushhub.api.endpoints import Match, Outcome
    from pushhub.auth.caller import Caller
    from pushhub.http.body import RequestBody
    from pushhub.http.byte_budget import ByteLease
    from pushhub.http.connection_record import ConnectionRecord
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
    """The handler of one request that no endpoint serves: uvicorn's protocol, or the proxy to the
    origin. It writes its response to the connection's transport.
    """

    def begin(self, head: Head, raw: bytes) -> None:
        """Receive the head of the request."""

    def forward(self, raw: bytes, payload: bytes, *, done: bool) -> None:
        """Receive more of the body: the bytes as sent, and the payload without chunk framing."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has disconnected."""

    def fail(self, problem: Problem) -> None:
        """The client's body is too slow: respond with the problem, unless a response has begun."""

    def pause_writing(self) -> None:
        """The client reads too slowly."""

    def resume_writing(self) -> None:
        """The client has read enough for more writes."""

    def shutdown(self) -> None:
        """The server shuts down after the response."""

    def abort_unfinished(self) -> None:
        """The process exits during the response: a truncated body must not look complete."""


class ClientConnection(Protocol):
    """The state of one connection, and the steps that reader, writer and guests call.

    `buffer` are the unread bytes. `keep` is whether the connection stays open after the response.
    `paused` is whether the client reads too slowly. `since` is the time from which the deadline of
    the present state counts. `network` is how limits count its address: empty if they do not, None
    if each request has its own. `caller` is the client of the last request, if limits concern it.
    `lines` are the header lines that each response gets. `record` is notified of the end.
    """

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
    access: AccessEntry | None
    match: Match | None
    body: RequestBody | None
    lease: ByteLease | None
    hold: Hold | None
    framing: StreamFraming | None
    client_headers: ClientHeaders | None
    network: str | None
    caller: Caller | None
    record: ConnectionRecord | None

    @property
    def client(self) -> str:
        """The address of the client."""

    def expire(self) -> None:
        """A deadline of the connection has passed."""

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """Write the result of the completed hold."""

    def advance(self) -> None:
        """Process the buffered bytes, until a request waits or is incomplete."""

    def conclude(self, outcome: Outcome) -> None:
        """Write a response, park a hold or open a stream."""

    def refuse(self, problem: Problem) -> None:
        """Respond with a problem, and close."""

    def fail_body(self, problem: Problem) -> None:
        """The body of a guest's request is too slow: respond with a problem, if still possible."""

    def release_held(self) -> bool:
        """Complete the hold or stream if a whole newer request has arrived; False if it stays."""

    def hold_bytes(self, size: int) -> None:
        """Count `size` bytes of an incomplete request."""

    def release_bytes(self) -> None:
        """The request is complete, or given up."""

    def hand_off(self, head: Head, raw: bytes) -> None:
        """Hand the request to a guest."""


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
        """Write the pieces of one response or part."""

    def write_part(self, connection: ClientConnection, part: Part) -> None:
        """Write a part of the stream."""

    def log_access(self, connection: ClientConnection, status: int) -> None:
        """Write the line of the present request to the access log, if there is that log."""

    def discard_access(self, connection: ClientConnection) -> None:
        """Another server handles the present request, and writes its line."""

    def open_stream(self, connection: ClientConnection, stream: EventStream) -> None:
        """Write the head of a stream, and its first parts."""

    def continue_stream(self, connection: ClientConnection) -> None:
        """Write the ready parts, until the stream waits or ends, or the client reads too slowly."""

    def close_stream(self, connection: ClientConnection) -> None:
        """Write the end of a stream."""

    def end(self, connection: ClientConnection, *, linger: bool) -> None:
        """Close when everything is written; `linger` if unread bytes would reset it."""

    def close(self, connection: ClientConnection) -> None:
        """Close when everything is written."""
