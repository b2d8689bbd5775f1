"""The endpoints that `PushHub.waits` marks, and the routes of an application that have them.

The decorator leaves the function as it is, so the framework sees its own signature. When the
application starts, the hub goes through its routes, and puts a `WaitingRoute` around each one with
a marked endpoint. A wrapper of the function could not do it: the framework has opened the
dependencies before it calls the function, and closes them after the response.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from pushhub.embedding.waiting_route import WaitingRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Scope

    from pushhub.embedding.waiting_route import WaitingRoutes

# The attribute of a marked function. `functools.wraps` copies it to decorators above.
MARK = "__pushhub_waits__"
# The runs of one endpoint at a time: as many threads as Starlette has for `def` endpoints. After an
# event a thousand requests run one after the other, and not a thousand at once.
CONCURRENT_RUNS = 40


@dataclass(frozen=True, slots=True)
class WaitMark:
    """What the decorator says of an endpoint. `owner` is the hub whose decorator it was."""

    owner: object
    channel: str | Callable[[Request], str]
    concurrency: int

    def fields(self) -> set[str]:
        """The path parameters that the channel's name has.

        Raises:
            ValueError: the name is no pattern.
        """
        if not isinstance(self.channel, str):
            return set()
        found = _fields(self.channel)
        if not all(name.isidentifier() for name in found):
            raise ValueError(
                f"The channel {self.channel!r} may have path parameters only, such as {{id}}. For"
                " everything else give a function of the request."
            )
        return found

    def channel_of(self, scope: Scope) -> str:
        """The channel of a request."""
        if isinstance(self.channel, str):
            return self.channel.format_map(scope["path_params"])
        return self.channel(Request(scope))


def mark_of(endpoint: Any, owner: object) -> WaitMark | None:
    """The mark of an endpoint, if it is one of this hub's."""
    mark = getattr(endpoint, MARK, None)
    return mark if isinstance(mark, WaitMark) and mark.owner is owner else None


def upgrade(routes: Any, owner: object, shared: WaitingRoutes) -> int:
    """Put a `WaitingRoute` around each route with an endpoint that `owner` has marked; their
    number.

    Raises:
        ValueError: a channel's name has a parameter that the path does not have.
    """
    upgraded = 0
    for route, parameters in _all(routes, frozenset(), set()):
        mark = mark_of(getattr(route, "endpoint", None), owner)
        if mark is None or isinstance(route.handle, WaitingRoute):
            continue
        if missing := mark.fields() - parameters:
            raise ValueError(
                f"The channel {mark.channel!r} has the parameters {sorted(missing)}, which the"
                f" path {route.path!r} does not have."
            )
        route.handle = WaitingRoute(route.handle, shared, mark.channel_of, mark.concurrency)
        upgraded += 1
    return upgraded


def _all(
    routes: Any, outer: frozenset[str], seen: set[int]
) -> Iterator[tuple[Any, frozenset[str]]]:
    """The routes of an application, of those that it mounts, and of FastAPI's routers in it, each
    with its path parameters.
    """
    for route in routes or ():
        if id(route) in seen:
            continue
        seen.add(id(route))
        # FastAPI includes a router by an object that has the router and the prefix.
        prefix = getattr(getattr(route, "include_context", None), "prefix", "")
        inner = outer | set(getattr(route, "param_convertors", ())) | _fields(prefix)
        yield route, inner
        router = getattr(route, "original_router", route)
        yield from _all(getattr(router, "routes", None), inner, seen)


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}
