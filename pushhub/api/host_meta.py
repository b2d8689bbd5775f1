"""`/.well-known/host-meta`: the BOSH URL of a domain (XEP-0156), for clients that know the domain
alone. Converse.js reads it before it connects, and follows `https` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from starlette.responses import JSONResponse, Response

from pushhub.http.host import host_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from pushhub.api.service import Service

# XEP-0156 §4.
REL = "urn:xmpp:alt-connections:xbosh"
_XRD = "http://docs.oasis-open.org/ns/xri/xrd-1.0"

# The page of a domain is read by pages of others (XEP-0156 §4); there is nothing secret in it.
_HEADERS = {"access-control-allow-origin": "*", "cache-control": "no-store"}


def host_meta(service: Service, *, json: bool) -> Callable[[Request], Awaitable[Response]]:
    """The page: a link, if a domain is served here."""

    async def page(request: Request) -> Response:
        if service.bosh is None:
            return Response("No XMPP domain is served here.\n", 404, _HEADERS)
        address = bosh_address(service, request)
        if json:
            return JSONResponse({"links": [{"rel": REL, "href": address}]}, headers=_HEADERS)
        link = f"<Link rel={quoteattr(REL)} href={quoteattr(address)}/>"
        text = f"<?xml version='1.0' encoding='utf-8'?><XRD xmlns='{_XRD}'>{link}</XRD>\n"
        return Response(text, 200, _HEADERS, "application/xrd+xml")

    return page


def bosh_address(service: Service, request: Request) -> str:
    """The URL for the client: the host of its request, and https where a proxy says so. A host that
    is neither known nor below a served domain is not repeated; then the URL has the first domain.
    """
    scheme = request.headers.get("x-forwarded-proto", "http").partition(",")[0].strip()
    scheme = "https" if scheme == "https" else "http"
    # The prefix of pushhub's own routes, and that of the server's settings.
    prefix = request.scope.get("root_path", "").rstrip("/")
    host = request.headers.get("host", "")
    name, domains = host_name(host), service.settings.xmpp_domains
    below = any(f".{name}".endswith(f".{domain}") for domain in domains)
    if not (below or service.guard.accepts(name)):
        host = domains[0] if domains else "localhost"
    return f"{scheme}://{host}{prefix}/http-bind"
