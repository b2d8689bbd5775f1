"""Requests for pushhub's own routes that reached the origin, which refused them.

In front of an origin all paths outside the prefix belong to the origin. So `POST /v1/notify` on the
public port reaches the origin, and its 404 does not mention pushhub. The response stays as it is;
the log warns the operator, once for each route.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pushhub.origin.request import ProxiedRequest

log = structlog.get_logger(__name__)

# Statuses with which an origin refuses a route that it does not have.
UNKNOWN = (404, 405, 501)
# Routes that publishers call; /v1/channels/{channel}/events is recognised by its prefix.
_OWN_ROUTES = frozenset({"/v1/notify", "/v1/publish", "/v1/tickets", "/publish", "/publish/"})
_CHANNELS = "/v1/channels/"


class Misdirected:
    """The routes for which the log has a warning: a few fixed names."""

    __slots__ = ("_logged", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._logged: set[str] = set()

    def refused(self, request: ProxiedRequest, status: int) -> None:
        """The origin has refused a request with `status`."""
        path = request.path
        if request.method != "POST":
            return
        route = _CHANNELS if path.startswith(_CHANNELS) else path
        if (route != _CHANNELS and route not in _OWN_ROUTES) or route in self._logged:
            return
        self._logged.add(route)
        log.warning(
            "origin.misdirected",
            method=request.method,
            path=path,
            status=status,
            hint="The origin refused this request. The routes of pushhub itself are under "
            f"{self._prefix} on this port, as {self._prefix}{path}, and at the root of the control "
            "listener (--control).",
        )
