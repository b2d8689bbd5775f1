"""The deadlines of a connection, by its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.problem import Problem
from pushhub.server.http1.states import BODY, GUEST, HEAD, IDLE, LINGER

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.server.http1.interfaces import ClientConnection


def check_deadline(connection: ClientConnection) -> None:
    """Check the deadline of the present state; the wheel calls this, sometimes too early."""
    context, state, body = connection.context, connection.state, connection.body
    now = context.now()
    if connection.paused:
        _check(connection, now, context.write_seconds, connection.transport.abort)
    elif state == LINGER:
        connection.transport.abort()
    elif state == BODY:
        _check(connection, now, context.body_seconds, lambda: _time_out(connection))
    elif state == HEAD:
        _check(connection, now, context.head_seconds, lambda: _time_out(connection))
    elif state == IDLE:
        _check(
            connection, now, context.keep_alive_seconds, lambda: context.writer.close(connection)
        )
    elif (
        state == GUEST and body is not None and not body.done and connection.transport.is_reading()
    ):
        # A page may take long, but its client may not be slow within a body.
        _check(connection, now, context.body_seconds, lambda: _fail(connection))
    else:
        context.wheel.set(connection, now + context.keep_alive_seconds)
        connection.release_held()


def _check(
    connection: ClientConnection, now: float, seconds: float, timed_out: Callable[[], None]
) -> None:
    if now - connection.since >= seconds:
        timed_out()
    else:
        connection.context.wheel.set(connection, connection.since + seconds)


def _fail(connection: ClientConnection) -> None:
    context = connection.context
    connection.fail_body(
        Problem(
            "timeout",
            f"The body came more slowly than {context.min_body_rate} bytes a second for"
            f" {context.body_seconds:g} seconds.",
        )
    )


def _time_out(connection: ClientConnection) -> None:
    context = connection.context
    seconds = context.body_seconds if connection.state == BODY else context.head_seconds
    connection.refuse(
        Problem("timeout", f"This part of the request did not arrive within {seconds:g} seconds.")
    )
