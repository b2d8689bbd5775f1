"""Requests for pushhub's own routes that were sent to the origin's address, and that it refused.

In front of an origin every path but those under the prefix is the origin's, so `POST /v1/notify` on
the public port reaches the origin, whose 404 says nothing of pushhub. The response stays as it is;
the log tells the operator, once for each route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pushhub.origin.request import ProxiedRequest

log = structlog.get_logger(__name__)

# Statuses by which an origin says that it does not have such a route.
UNKNOWN = (404, 405, 501)
# Routes that publishers call; /v1/channels/{channel}/events is told by its beginning.
_OWN = frozenset({"/v1/notify", "/v1/publish", "/v1/tickets", "/publish", "/publish/"})
_CHANNELS = "/v1/channels/"


class Misdirected:
    """Which of them were told already: a few fixed names."""

    __slots__ = ("_prefix", "_told")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._told: set[str] = set()

    def refused(self, asked: ProxiedRequest, status: int) -> None:
        """The origin has refused a request with `status`."""
        path = asked.path
        if asked.method != "POST":
            return
        route = _CHANNELS if path.startswith(_CHANNELS) else path
        if (route != _CHANNELS and route not in _OWN) or route in self._told:
            return
        self._told.add(route)
        log.warning(
            "origin.misdirected",
            method=asked.method,
            path=path,
            status=status,
            hint="The origin refused this request. The routes of pushhub itself are under "
            f"{self._prefix} on this port, as {self._prefix}{path}, and at the root of the control "
            "listener (--control).",
        )
