"""A second listener, for publishers and operators, with pushhub's own routes at its root.

On loopback it needs no key, as GRIP's publishers expect: every program of this machine may publish.
A browser runs the scripts of other sites. So the listener trusts a request from a page only if the
page is its own (CWE-352). Every request needs a `Host` of this machine or a configured one: a
foreign DNS name may lead here (CWE-350, `listener_guard.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette

from pushhub.api.access_log import access_log, logged
from pushhub.api.asgi import handled, refused
from pushhub.api.endpoints import Endpoints
from pushhub.api.pages import pages, problem_handlers
from pushhub.http.host import is_own_origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send

    from pushhub.api.cors import Cors
    from pushhub.api.endpoints import EndpointRoute
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.settings import Settings


class Control:
    """The listener's endpoints and pages: an ASGI application like `App`, but without an origin."""

    origin = None
    # Publishers and operators are not limited by address.
    callers = None

    def __init__(
        self,
        service: Service,
        settings: Settings,
        cors: Cors,
        routes: tuple[EndpointRoute, ...],
        page_routes: Sequence[Route],
    ) -> None:
        trusts = trusted if settings.is_control_open else None
        self.service = service
        self.guard = service.guard
        self._access_log = access_log(service)
        self.settings = settings
        self.endpoints = Endpoints(service, cors, routes, trusts=trusts)
        self.pages = Starlette(
            routes=[*pages(service, trusts), *page_routes],
            exception_handlers=problem_handlers(service),
        )
        self.pages.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await logged(self._access_log, scope, receive, send, self._serve)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if await refused(self.endpoints, self.guard, scope, receive, send):
                return
            if await handled(self.endpoints, scope, receive, send):
                return
        await self.pages(scope, receive, send)


def trusted(request: Request) -> bool:
    """Whether a request to a listener on loopback was made by a program of this machine, or by a
    page of the listener's own. The guard has checked `Host`.
    """
    headers = request.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    return origin is None or is_own_origin(origin, request)
