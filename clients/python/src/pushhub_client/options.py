"""What both clients accept, and make of it."""

import os
from collections.abc import Iterable, Mapping
from typing import Literal
from urllib.parse import urlsplit

from .version import __version__

DEFAULT_URL = "http://127.0.0.1:8080"

Channels = str | Iterable[str] | Mapping[str, str]
"""A channel, some channels, or channel to start (`earliest`, `now` or a cursor)."""

Transport = Literal["poll", "sse"]
"""`sse`: one stream in place of held requests. It changes to `poll` behind a proxy that delays."""

Path = str | os.PathLike[str]

MOST_BODY_BYTES = 16 * 1024 * 1024
"""A hub's response has about 1 MiB of events at most (docs/api.md); a larger one is not a hub's."""
MOST_REPRESENTATION_BYTES = 256 * 1024 * 1024
"""The bound of `poll`, whose server may be any."""
TOKEN_SECONDS = 60.0
"""The time within which an asynchronous `token()` has to return."""
CONNECT_SECONDS = 10.0
"""The time within which a connection has to be made, and a request to be sent."""
USER_AGENT = f"pushhub-client/{__version__}"


def base_of(url: str) -> str:
    """The URL without a final slash.

    Raises:
        ValueError: it is no HTTP URL.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{url!r} is not a URL such as {DEFAULT_URL}.")
    return url.rstrip("/")


def start_of(channels: Channels, since: str) -> dict[str, str]:
    """Channel to start."""
    if isinstance(channels, str):
        return {channels: since}
    if isinstance(channels, Mapping):
        return dict(channels)
    return dict.fromkeys(channels, since)


def same_origin(url: str, base: str) -> bool:
    """Whether two URLs have the same scheme, host and port."""
    one, other = urlsplit(url), urlsplit(base)
    return (one.scheme, one.hostname, one.port) == (other.scheme, other.hostname, other.port)
