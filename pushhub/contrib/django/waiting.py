"""Views that may wait, behind `pushhub serve --origin`.

A WSGI worker that held a request would serve no other for 25 seconds. So the hub in front holds
requests, and fetches the view again when an event of its channel arrives, with the credentials of
the clients that wait. `waits` marks a view with its channel, and `manage.py pushhub_routes` prints
the hub's routes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver
from django.urls.resolvers import LocalePrefixPattern, RoutePattern

View = TypeVar("View", bound=Callable[..., Any])

_CHANNEL = "pushhub_channel"
_BRACES = re.compile(r"\{(\w+)\}")
# <converter:name> or <name>, as Django's path() has them.
_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
# The converter that matches several segments, which a route of the hub cannot name.
_SEVERAL_SEGMENTS = "path"


def waits(channel: str) -> Callable[[View], View]:
    """Mark a view as one that may wait, until an event arrives on its channel.

    Args:
        channel: the name, with parameters of the path in braces: `orders:{id}`.

    The decorator is the outermost one of a function, and takes `View.as_view()` as well.
    """

    def mark(view: View) -> View:
        setattr(view, _CHANNEL, channel)
        return view

    return mark


@dataclass(frozen=True, slots=True)
class ViewRoute:
    """A path of the project, with `{name}` for its parameters, and its channel."""

    path: str
    channel: str


def waiting_routes(patterns: list[Any], prefix: str = "/") -> Iterator[ViewRoute]:
    """The marked views among URL patterns.

    Raises:
        ImproperlyConfigured: the path of a marked view has no form as a route of the hub, or its
            channel names a parameter that the path lacks.
    """
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            for route in waiting_routes(pattern.url_patterns, path):
                _check(pattern, route.channel, path)
                yield route
        elif isinstance(pattern, URLPattern):
            channel = getattr(pattern.callback, _CHANNEL, None)
            if channel is not None:
                _check(pattern, channel, path)
                yield _route(path, channel)


def _check(pattern: Any, channel: str, path: str) -> None:
    if isinstance(pattern.pattern, LocalePrefixPattern) or not isinstance(
        pattern.pattern, RoutePattern
    ):
        raise ImproperlyConfigured(
            f"The view that waits on {channel!r} is at {path!r}. Give it a path(): the hub has no "
            "routes by regular expressions or languages."
        )


def _route(path: str, channel: str) -> ViewRoute:
    parameters = _PARAMETER.findall(path)
    if any(converter == _SEVERAL_SEGMENTS for converter, _ in parameters):
        raise ImproperlyConfigured(
            f"The view that waits on {channel!r} is at {path!r}. A parameter of a route of the hub "
            "is one segment, and <path:…> is several."
        )
    missing = sorted(set(_BRACES.findall(channel)) - {name for _, name in parameters})
    if missing:
        raise ImproperlyConfigured(
            f"The channel {channel!r} names {missing[0]!r}, which its path {path!r} lacks."
        )
    return ViewRoute(_PARAMETER.sub(r"{\2}", path), channel)
