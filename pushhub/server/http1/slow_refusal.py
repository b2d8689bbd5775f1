"""A refusal by a limit that waits before it is written.

A client that sends on and on beyond its limit costs the time of each refusal. It sends fewer
requests if it receives the refusals later, as Postfix delays the replies after ten errors
(`smtpd_error_sleep_time`), nginx the requests above a rate (`limit_req`), and HAProxy the refusals
of a tarpit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.response import Response
from pushhub.hub.hold import Hold
from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from pushhub.auth.limits import Limits
    from pushhub.server.http1.interfaces import ClientConnection


class SlowRefusal(Hold):
    """A response 429 that is written when its pause has ended. Until then nothing is read from the
    connection: requests that the client sends ahead, or the rest of the body, stay in the kernel.

    Args:
        network: the client as limits count it.
        linger: whether the connection ends with the response, and unread bytes of its request may
            still come.
    """

    __slots__ = ("_connection", "_limits", "_linger", "_network", "_response", "tick")

    def __init__(
        self,
        connection: ClientConnection,
        response: Response,
        limits: Limits,
        network: str,
        *,
        linger: bool,
    ) -> None:
        super().__init__()
        self.tick = OFF
        self._connection = connection
        # Not a `LimitedResponse` any more: this one is written when it is given to the writer.
        self._response = Response(response.status, response.headers, response.body)
        self._limits = limits
        self._network = network
        self._linger = linger

    def wait(self, seconds: float) -> None:
        """Hold the response back."""
        transport = self._connection.transport
        if not transport.is_closing():
            transport.pause_reading()
        context = self._connection.context
        context.wheel.set(self, context.now() + seconds)

    def expire(self) -> None:
        """The pause has ended: write the response, and go on with the connection's next bytes."""
        if self.done:
            return
        connection = self._connection
        self.drop()
        connection.hold = None
        connection.context.writer.respond(connection, self._response, linger=self._linger)
        connection.advance()

    def unregister(self, reply: object) -> None:
        self._connection.context.wheel.clear(self)
        self._limits.resumed(self._network)

    def __repr__(self) -> str:
        return f"<SlowRefusal of {self._network}>"
