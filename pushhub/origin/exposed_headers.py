"""Lists of header names in CORS headers, and the names that pushhub adds (WHATWG Fetch §3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.http.response import Headers

ALLOW_ORIGIN = b"access-control-allow-origin"
_ALLOW_CREDENTIALS = b"access-control-allow-credentials"
_EXPOSE_HEADERS = b"access-control-expose-headers"

# The headers of a response to an opted-in request that a client needs for its next one.
EXPOSED = (b"ETag", b"Preference-Applied", b"X-Polling-Index", b"X-Poll-Interval")


def exposing(headers: Headers) -> Headers:
    """The headers of a response to an opted-in request; where the application lets a page read it,
    the page may also read what pushhub has added.
    """
    if not any(name.lower() == ALLOW_ORIGIN for name, _ in headers):
        return headers
    text = added_to(headers, _EXPOSE_HEADERS, EXPOSED)
    if text is None:
        return headers
    kept = tuple(pair for pair in headers if pair[0].lower() != _EXPOSE_HEADERS)
    return (*kept, (b"Access-Control-Expose-Headers", text))


def added_to(headers: Headers, name: bytes, added: tuple[bytes, ...]) -> bytes | None:
    """The value of a list of header names with more names; None if it has all of them already."""
    values = [value for key, value in headers if key.lower() == name]
    present = {token.strip().lower() for value in values for token in value.split(b",")}
    # With credentials `*` is the name of a header (WHATWG Fetch §3.3.3).
    credentials = any(
        key.lower() == _ALLOW_CREDENTIALS and value.strip() == b"true" for key, value in headers
    )
    if b"*" in present and not credentials:
        return None
    missing = [token for token in added if token.lower() not in present]
    if not missing:
        return None
    return b", ".join([*(value.strip() for value in values if value.strip()), *missing])
