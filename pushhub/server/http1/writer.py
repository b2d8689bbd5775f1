"""Writes responses and streams, and closes connections when they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.response import BODILESS, LimitedResponse, Part
from pushhub.server.http1.limits import LINGER_SECONDS, WRITE_HIGH_WATER
from pushhub.server.http1.slow_refusal import SlowRefusal
from pushhub.server.http1.states import HELD, IDLE, LINGER, STREAM
from pushhub.server.http1.stream_framing import StreamFraming

if TYPE_CHECKING:
    from pushhub.http.response import Response
    from pushhub.hub.stream import EventStream
    from pushhub.server.http1.context import ConnectionContext
    from pushhub.server.http1.interfaces import ClientConnection


class ResponseWriter:
    """The writer of all connections of a process."""

    __slots__ = ("_context",)

    def __init__(self, context: ConnectionContext) -> None:
        self._context = context

    # Responses

    def respond(
        self, connection: ClientConnection, response: Response, *, linger: bool = False
    ) -> None:
        """Write a response; the connection is idle after it, or ends. A refusal by a limit may
        have to wait.
        """
        if type(response) is LimitedResponse and self._slows(connection, response, linger):
            return
        lines, head, context = connection.lines, connection.head, self._context
        keep = connection.keep and not context.hub.draining
        tail = lines.keep if keep else lines.close
        connection.state = IDLE
        connection.since = context.coarse_now
        if head is None:
            pieces = response.pieces(tail)
        else:
            connection.head = connection.match = None
            if keep and head.http_1_0:
                tail = lines.stay
            pieces = response.pieces(tail) if head.method != "HEAD" else (response.head(tail),)
        if context.access_log is not None:
            access = connection.access or context.access_log.unread(connection.client)
            if access is not None:
                has_body = response.status not in BODILESS and (
                    head is None or head.method != "HEAD"
                )
                access.size = len(response.body) if has_body else 0
                connection.access = access
                self.log_access(connection, response.status)
        self.write(connection, pieces)
        if not keep:
            self.end(connection, linger=linger or bool(connection.buffer))

    def _slows(self, connection: ClientConnection, response: Response, linger: bool) -> bool:
        """Hold back a refusal of a client that has had many; False if it is to be written now."""
        caller = connection.caller
        if caller is None or not caller.address:
            return False
        seconds = caller.limits.pause(caller.address)
        if not seconds:
            return False
        slow = SlowRefusal(connection, response, caller.limits, caller.address, linger=linger)
        connection.state = HELD
        connection.hold = slow
        slow.wait(seconds)
        return True

    def write(self, connection: ClientConnection, pieces: tuple[bytes, ...]) -> None:
        """Write the pieces of one response or part. A large piece stays in memory whole while one
        byte of it is unsent, so each is sent completely before the next is made.
        """
        transport = connection.transport
        body = pieces[1] if len(pieces) > 1 else pieces[0]
        if len(body) <= WRITE_HIGH_WATER:
            transport.writelines(pieces)
            return
        transport.set_write_buffer_limits(0)
        transport.writelines(pieces)
        if not connection.paused:
            transport.set_write_buffer_limits(WRITE_HIGH_WATER)

    def log_access(self, connection: ClientConnection, status: int) -> None:
        """Write the line of the present request. A stream has sent its own status."""
        entry, connection.access = connection.access, None
        access = self._context.access_log
        if entry is not None and access is not None:
            access.end(entry, entry.status or status)

    def discard_access(self, connection: ClientConnection) -> None:
        """Another server handles the present request, and writes its line."""
        entry, connection.access = connection.access, None
        if entry is not None and entry.span is not None:
            entry.span.discard()

    # Streams

    def write_part(self, connection: ClientConnection, part: Part) -> None:
        """Write a part of the stream."""
        assert connection.framing is not None
        if connection.access is not None:
            connection.access.size += len(part.body)
        self.write(connection, connection.framing.frame(part))

    def open_stream(self, connection: ClientConnection, stream: EventStream) -> None:
        """Write the head of a stream, and its first parts."""
        head, lines, context = connection.head, connection.lines, self._context
        # Without a head the request was HTTP/1.1, which has chunks (see `Connection.conclude`).
        framing = StreamFraming(stream, chunked=head is None or not head.http_1_0)
        connection.keep = connection.keep and framing.chunked
        keep = connection.keep and not context.hub.draining
        connection.transport.write(framing.opening(lines.keep if keep else lines.close))
        if connection.access is not None:
            connection.access.status = stream.opening.status
        connection.state = STREAM
        connection.framing = framing
        connection.head = connection.match = None
        self.continue_stream(connection)

    def continue_stream(self, connection: ClientConnection) -> None:
        """Write the ready parts, until the stream waits or ends, or the client reads too slowly."""
        framing, transport = connection.framing, connection.transport
        while framing is not None and not connection.paused and not transport.is_closing():
            step = framing.next()
            if step is None:
                self.close_stream(connection)
                return
            if isinstance(step, Part):
                self.write_part(connection, step)
            else:
                connection.hold = step
                if connection.caller is not None:
                    connection.caller.add(step)
                step.attach(connection)
                return

    def close_stream(self, connection: ClientConnection) -> None:
        """Write the end of a stream."""
        framing, connection.framing = connection.framing, None
        assert framing is not None
        connection.state = IDLE
        connection.since = self._context.coarse_now
        if framing.chunked:
            connection.transport.write(framing.end)
        self.log_access(connection, 0)
        if not connection.keep or self._context.hub.draining:
            self.end(connection, linger=False)
        else:
            connection.advance()

    # Ends

    def end(self, connection: ClientConnection, *, linger: bool) -> None:
        """Close when everything is written; `linger` if unread bytes would reset it before the
        client has read the response.
        """
        transport, context = connection.transport, self._context
        connection.keep = False
        connection.buffer = b""
        if linger and transport.can_write_eof():
            connection.state = LINGER
            transport.write_eof()
            connection.since = context.now()
            context.wheel.set(connection, connection.since + LINGER_SECONDS)
        else:
            self.close(connection)

    def close(self, connection: ClientConnection) -> None:
        """Close when everything is written. A client that does not read is disconnected after
        `write_seconds`: the kernel would wait for it without end.
        """
        transport, context = connection.transport, self._context
        now = context.now()
        transport.close()
        if transport.get_write_buffer_size():
            connection.state, connection.since = LINGER, now
            context.wheel.set(connection, now + context.write_seconds)
