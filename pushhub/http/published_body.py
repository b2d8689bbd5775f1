"""Headers that keep a browser from running a body that a publisher chose.

A publisher chooses the bytes and the content type of an event. Without these headers a page,
an SVG image or a script would run on the origin of the hub, which may be the application's own
(OWASP, "Unrestricted file upload").
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.http.response import Headers

# Whatever the browser makes of the body: it guesses no other type, a document has no scripts, no
# origin and no requests, and pages of other sites cannot embed it.
_INERT: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"sandbox; default-src 'none'"),
    (b"cross-origin-resource-policy", b"same-site"),
)
_DOWNLOAD: Headers = (*_INERT, (b"content-disposition", b"attachment"))

# Types that a browser shows without running anything. All others are offered as a download.
_PASSIVE = frozenset(
    {
        "application/json",
        "application/octet-stream",
        "application/x-ndjson",
        "text/csv",
        "text/event-stream",
        "text/plain",
    }
)
_PASSIVE_KINDS = ("audio", "font", "image", "video")
# The entries are short strings; publishers use a handful of types.
_REMEMBERED = 256


@lru_cache(_REMEMBERED)
def published_headers(content_type: str) -> Headers:
    """The headers to send with a publisher's body of that type, beside `Content-Type` itself."""
    essence = content_type.partition(";")[0].strip(" \t").lower()
    kind, _, name = essence.partition("/")
    if essence in _PASSIVE or name.endswith("+json"):
        return _INERT
    if kind in _PASSIVE_KINDS and not name.endswith(("+xml", "/xml")):
        return _INERT
    return _DOWNLOAD
