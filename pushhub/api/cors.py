"""Cross-origin access (WHATWG Fetch §3.2), for every endpoint and every status.

A browser hides a response without these headers from its page, also the reason of an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.http.host import is_loopback_origin
from pushhub.http.response import Headers, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

# The headers of a response that a page may read.
EXPOSED = (
    "Date, ETag, Event-Id, Event-Time, Event-Type, Preference-Applied, RateLimit, RateLimit-Policy,"
    " Retry-After, X-Poll-Interval"
)

# The request headers that a page may send.
ALLOWED = (
    "Authorization, Cache-Control, Content-Encoding, Content-Type, Event-Id, Event-Type,"
    " Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, Wait"
)

# The origins of `is_loopback_origin`, for Starlette, which matches the whole header.
LOOPBACK_ORIGIN = r"(?i:https?)://(?:(?i:(?:[a-z0-9_-]+\.)*localhost)\.?|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?"

# Seconds for which a browser remembers a preflight; Chromium takes no more than two hours.
MAX_AGE = 7200

# Distinct origins that are remembered; a wildcard needs one.
MAX_VARIANTS = 1024


@dataclass(frozen=True, slots=True)
class Variant:
    """The headers of every response to one origin: as pairs, and as HTTP/1.1 lines."""

    headers: Headers
    lines: bytes


def _variant(*headers: tuple[bytes, bytes]) -> Variant:
    return Variant(headers, b"".join(name + b": " + value + b"\r\n" for name, value in headers))


SAME_ORIGIN = _variant()


class Cors:
    """The origins that may read responses: exact ones, which may also send cookies, or `*` for any.

    `headers` are the request headers that their pages may send beside `ALLOWED`. With `loopback`
    pages that this machine serves may read responses, on any port, and `*` has no effect.
    """

    def __init__(
        self, origins: list[str], headers: Sequence[str] = (), *, loopback: bool = False
    ) -> None:
        self.allowed = ", ".join((ALLOWED, *headers))
        self.origins = [origin for origin in origins if not (loopback and origin == "*")]
        self._loopback = loopback
        self._any = "*" in self.origins
        self._origins = frozenset(self.origins)
        exposed = (b"access-control-expose-headers", EXPOSED.encode())
        self._any_origin = _variant((b"access-control-allow-origin", b"*"), exposed)
        self._loopback_origin = _variant(*self._any_origin.headers, (b"vary", b"Origin"))
        self._variants = {
            origin: _variant(
                (b"access-control-allow-origin", origin.encode()),
                (b"access-control-allow-credentials", b"true"),
                exposed,
                (b"vary", b"Origin"),
            )
            for origin in self._origins - {"*"}
        }

    def variant(self, origin: str | None) -> Variant:
        """The headers of a response to a request with this `Origin` header."""
        if origin is None:
            return SAME_ORIGIN
        if self._any:
            return self._any_origin
        variant = self._variants.get(origin.lower(), SAME_ORIGIN)
        if self._loopback and variant is SAME_ORIGIN and is_loopback_origin(origin):
            return self._loopback_origin
        return variant

    def preflight(self, methods: tuple[str, ...]) -> Response:
        """The response to OPTIONS; `variant` adds whether the origin has access."""
        allowed = ", ".join((*methods, "OPTIONS")).encode()
        return Response(
            204,
            (
                (b"allow", allowed),
                (b"access-control-allow-methods", allowed),
                (b"access-control-allow-headers", self.allowed.encode()),
                (b"access-control-max-age", b"%d" % MAX_AGE),
                (b"cache-control", b"no-store"),
            ),
        )
