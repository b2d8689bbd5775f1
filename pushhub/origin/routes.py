"""Which route a request takes: the first whose host and path match."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.settings.origin import Route

if TYPE_CHECKING:
    from pushhub.settings import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """A route, where it leads, and what its path's `{names}` were, still percent-encoded."""

    route: Route
    target: str
    names: dict[str, str]


class Routes:
    """The routes of one configuration, in their order; the origin's own is the last."""

    __slots__ = ("_rows",)

    def __init__(self, settings: Settings) -> None:
        routes = list(settings.routes)
        if settings.origin is not None:
            routes.append(Route())
        self._rows = [
            (route, route.target or settings.origin or "", _host(route.host), _path(route.path))
            for route in routes
        ]

    def find(self, host: str, path: str) -> Found | None:
        """The route of a request; `host` in lower case and without port, `path` as on the wire."""
        for route, target, wanted, pattern in self._rows:
            if wanted.fullmatch(host) and (match := pattern.fullmatch(path)):
                return Found(route, target, match.groupdict())
        return None

    def __len__(self) -> int:
        return len(self._rows)


def _host(pattern: str) -> re.Pattern[str]:
    if pattern == "*":
        return re.compile(r".*", re.DOTALL)
    if pattern.startswith("*."):
        return re.compile(r"[^/]+" + re.escape(pattern[1:].lower()))
    return re.compile(re.escape(pattern.lower()))


def _path(pattern: str) -> re.Pattern[str]:
    open_ended = pattern.endswith("*")
    # Split at the names: text, name, text, name, …
    parts = re.split(r"\{(\w+)\}", pattern.removesuffix("*"))
    texts, names = parts[::2], parts[1::2]
    written = re.escape(texts[0])
    for name, text in zip(names, texts[1:], strict=True):
        written += f"(?P<{name}>[^/]+)" + re.escape(text)
    return re.compile(written + (".*" if open_ended else ""), re.DOTALL)
