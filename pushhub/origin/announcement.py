"""The resources that a response of the origin reports as changed.

The origin names them in `X-Pushhub-Notify`. On a route with `notify_writes` a write that succeeds
also reports its own resource, the collection around it, and what it has created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from pushhub.origin.shared.notifications import MAX_RESOURCES, ON_THE_WIRE
from pushhub.origin.shared.scope import MAX_PATH, refusal

if TYPE_CHECKING:
    from pushhub.origin.client.response import UpstreamResponse
    from pushhub.origin.request import ProxiedRequest

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# A notification for all: of an origin that names more resources than a notification has.
EVERYTHING = "/*"


def named(values: tuple[bytes, ...]) -> tuple[list[str], str]:
    """The resources in the values of `X-Pushhub-Notify`, and what is wrong with them, as a
    sentence; empty if nothing is.
    """
    texts = [text for value in values for part in value.split(b",") if (text := part.strip())]
    if len(texts) > MAX_RESOURCES:
        wrong = f"It names more than {MAX_RESOURCES} resources, so it counts for all of them."
        return [EVERYTHING], wrong
    resources, wrong = [], ""
    for text in texts:
        resource = quote(text, safe=ON_THE_WIRE)
        if (why := refusal(resource)) == "":
            resources.append(resource)
        else:
            wrong = why
    return resources, wrong


def is_write(request: ProxiedRequest) -> bool:
    """Whether the success of a request notifies by itself."""
    route = request.match.route
    # The owner says that requests by the route's `methods` only read.
    return route.notify_writes and request.method in WRITES and request.method not in route.methods


def written(request: ProxiedRequest, response: UpstreamResponse | None) -> list[str]:
    """The resources that a write has changed. Without a response it may have done so all the same:
    the origin was disconnected, or the client before the origin has responded.
    """
    if response is not None and not 200 <= response.status < 300:
        return []
    paths = [request.path]
    if response is not None and response.status == 201:
        for name, value in response.pairs:
            if name.lower() == b"location":
                paths.append(_location(request, value.decode("latin-1")))
    found = [text for path in paths for text in (path, *_collections(path))]
    return [text for text in dict.fromkeys(found) if _is_plain(text)]


def _location(request: ProxiedRequest, location: str) -> str:
    """The path of a `Location` at this origin; empty if it leads elsewhere."""
    try:
        parts = urlsplit(urljoin(request.path, quote(location, safe=ON_THE_WIRE)))
        own = parts.hostname in (None, request.host, urlsplit(request.match.target).hostname)
    except ValueError:
        return ""
    return parts.path if own else ""


def _collections(path: str) -> tuple[str, ...]:
    """The collection of a resource: `/orders` and `/orders/` for `/orders/7`."""
    parent = path.removesuffix("/").rpartition("/")[0]
    return (parent, parent + "/") if path.strip("/") else ()


def _is_plain(path: str) -> bool:
    """Whether a path of a client or of `Location` names one resource. In a notification `*` and
    braces are a pattern's, and a client must not notify of more than it writes.
    """
    return path.startswith("/") and len(path) <= MAX_PATH and not set(path) & set("*{}")
