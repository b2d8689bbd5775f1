"""Opt-ins from pages of other origins (WHATWG Fetch §3.3), where the application allows the page.

A browser asks the application before it sends `Prefer` to another origin. The application has
never heard of it, so pushhub takes its own headers out of that question, lets the application
decide about the page and all other headers, and adds its own to what the application allows. On
the response to an opted-in request pushhub adds its headers to those that the page may read.
Nothing else of the application's CORS changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.origin.client.response import UpstreamResponse
from pushhub.origin.exposed_headers import ALLOW_ORIGIN, added_to

if TYPE_CHECKING:
    from pushhub.origin.request import ProxiedRequest

_ALLOW_HEADERS = b"access-control-allow-headers"
_REQUEST_HEADERS = b"access-control-request-headers"

# The headers by which a client opts in, by the names in a route's `opt_in`.
_OPT_INS = {"prefer": "prefer", "wait": "wait"}
_CONDITION = "if-none-match"
# An application without a handler for OPTIONS; its GET may have CORS nevertheless, as with nginx's
# `add_header`.
_NO_OPTIONS = frozenset({404, 405, 501})
# Methods that a page may use without a preflight, if its headers are simple, too (Fetch §2.2.1).
_SIMPLE = frozenset({"GET", "HEAD", "POST"})


class Preflight:
    """A preflight for an opt-in. `request` is the question without pushhub's own headers.

    `is_simple` says that without these headers the browser would not ask at all.
    """

    __slots__ = ("_added", "_origin", "is_simple", "request")

    def __init__(
        self, request: ProxiedRequest, added: tuple[bytes, ...], origin: bytes, *, is_simple: bool
    ) -> None:
        self.request = request
        self._added = added
        self._origin = origin
        self.is_simple = is_simple

    @classmethod
    def of(cls, request: ProxiedRequest) -> Preflight | None:
        """The preflight of a routed request; None if it is for no opt-in."""
        route = request.match.route
        headers = request.headers
        names_text = headers.get(_REQUEST_HEADERS.decode())
        method = headers.get("access-control-request-method")
        if (
            request.method != "OPTIONS"
            or route.step not in ("poll", "notify")
            or names_text is None
            or "origin" not in headers
            or method not in route.methods
        ):
            return None
        ours = {_OPT_INS[name] for name in route.opt_in if name in _OPT_INS}
        names = [name.strip() for name in names_text.split(",")]
        if ours.isdisjoint(name.lower() for name in names):
            return None
        ours.add(_CONDITION)
        kept = [name for name in names if name and name.lower() not in ours]
        added = tuple(name.title().encode() for name in sorted(ours, reverse=True))
        plain = _with_request_headers(request, ", ".join(kept).encode("latin-1"))
        return cls(
            plain,
            added,
            headers["origin"].encode("latin-1"),
            is_simple=not kept and method in _SIMPLE,
        )

    def complete(self, response: UpstreamResponse) -> UpstreamResponse:
        """The application's response with pushhub's headers, if it allows the page."""
        allowed = [value for name, value in response.pairs if name.lower() == ALLOW_ORIGIN]
        if 200 <= response.status < 300 and allowed in ([b"*"], [self._origin]):
            text = added_to(response.pairs, _ALLOW_HEADERS, self._added)
            if text is not None:
                response.set_header(b"Access-Control-Allow-Headers", text)
        elif self.is_simple and response.status in _NO_OPTIONS and not allowed:
            # The response to the request itself decides whether the page may read it.
            response.close()
            return UpstreamResponse(
                b"HTTP/1.1 204 No Content\r\n"
                b"Access-Control-Allow-Origin: %b\r\n"
                b"Access-Control-Allow-Credentials: true\r\n"
                b"Access-Control-Allow-Headers: %b\r\n"
                b"Vary: Origin, Access-Control-Request-Headers\r\n\r\n"
                % (self._origin, b", ".join(self._added)),
                "OPTIONS",
            )
        return response


def _with_request_headers(request: ProxiedRequest, names_text: bytes) -> ProxiedRequest:
    """The request with other names in `Access-Control-Request-Headers`; without it for none."""
    pairs: list[tuple[bytes, bytes]] = []
    for name, value in request.pairs:
        if name.lower() != _REQUEST_HEADERS:
            pairs.append((name, value))
        elif names_text:
            pairs.append((name, names_text))
            names_text = b""
    return request.with_pairs(tuple(pairs))
