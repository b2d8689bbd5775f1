"""`/http-bind`: BOSH (XEP-0124) as an endpoint.

A hub without an XMPP domain has the route too, but imports neither BOSH nor XMPP: `app.py` sets the
handler where a domain is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.problem import Problem
from pushhub.http.response import Response

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.hub.hold import Hold
    from pushhub.log.grant import Grant

# `pushhub.xml.MAX_BYTES`, the limit of a `<body/>`; a test compares the two.
MAX_BODY_BYTES = 256 * 1024

_PAGE = Response(
    200,
    ((b"content-type", b"text/html; charset=utf-8"),),
    b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>BOSH</title>
<h1>It works</h1>
<p>XMPP clients that speak <a href="https://xmpp.org/extensions/xep-0124.html">BOSH</a> connect
here, such as Strophe.js and Converse.js: give them this address.</p>
</html>
""",
)


def bind(service: Service, request: Request, grant: Grant) -> Hold:
    """Pass a request to its session, or create one.

    Raises:
        Problem: this server has no XMPP domain.
    """
    if service.bosh is None:
        raise Problem("not-found", "No XMPP domain is served here.")
    return service.bosh.handle(request)


def page(service: Service, request: Request, grant: Grant) -> Response:
    """Explain the URL to a browser user."""
    if service.bosh is None:
        raise Problem("not-found", "No XMPP domain is served here.")
    if request.query_string:
        raise Problem("not-found", "The script syntax of XEP-0252 is not supported.")  # [Q2]
    return _PAGE
