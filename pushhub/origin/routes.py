"""Routing: a request takes the first route whose host and path match.

Servers read some paths in different ways (`..`, `%2e`, `//`, `;`, an encoded slash: see
`http/path_pattern.py`). Such a path takes a route only if every reading leads to it. If its
readings lead to different routes of one origin, the request only passes through, and is neither
held nor shared. If they lead to different origins, or out of all routes, it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.http.path_pattern import parse_pattern, readings
from pushhub.http.problem import Problem
from pushhub.settings.route import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.http.path_pattern import PathPattern, Segment, Segments
    from pushhub.settings import Settings

ANY_HOST = "*"


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route of a request, the URL of its origin, and the values of the path's `{names}`,
    percent-decoded.

    `ambiguous` says that the path has several readings. The route is then not a configured one, but
    one that only passes through.
    """

    route: Route
    target: str
    names: dict[str, str]
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class RouteRow:
    """A configured route with its parsed path, and its index: the first is 0."""

    index: int
    route: Route
    pattern: PathPattern
    target: str

    def matches_host(self, host: str) -> bool:
        """Whether the route is for this host: in lower case, without port."""
        pattern = self.route.host.lower()
        if pattern.startswith("*."):
            return host.endswith(pattern[1:]) and len(host) >= len(pattern)
        return pattern in (ANY_HOST, host)

    def covers(self, other: RouteRow) -> bool:
        """Whether it takes all requests of another route, which comes after it."""
        mine, its = self.route.host.lower(), other.route.host.lower()
        hosts = mine in (ANY_HOST, its) or (
            mine.startswith("*.") and its.removeprefix("*").endswith(mine[1:])
        )
        return hosts and self.pattern.covers(other.pattern)


class Routes:
    """The routes of one configuration, in their order; the default route of `origin` is the last.

    A look-up walks a tree of path segments for each form of host, and visits only what can match: a
    thousand routes cost as much as ten.
    """

    __slots__ = ("_pass_through", "_trees", "rows")

    def __init__(self, settings: Settings) -> None:
        routes = list(settings.routes)
        if settings.origin is not None:
            routes.append(Route())
        self.rows = [
            RouteRow(index, route, parse_pattern(route.path), route.target or settings.origin or "")
            for index, route in enumerate(routes)
        ]
        self._trees: dict[str, _RouteNode] = {}
        for row in self.rows:
            tree = self._trees.setdefault(row.route.host.lower(), _RouteNode(row.index))
            tree.add(row)
        # The route of an ambiguous request, by its target.
        self._pass_through = {
            row.target: Route(path="/*", target=row.target or None, step="pass")
            for row in self.rows
        }

    def find(self, host: str, path: str) -> RouteMatch | None:
        """The route of a request; None if no route matches.

        Args:
            host: in lower case and without port.
            path: as on the wire.

        Raises:
            Problem: 400, the path can be read as one of another origin.
        """
        if not path.startswith("/"):
            return None
        trees = list(self._trees_of(host.removesuffix(".")))
        paths = readings(path)
        first = self._first(trees, paths[0])
        if len(paths) == 1:
            if first is None:
                return None
            return RouteMatch(first.route, first.target, first.pattern.values(paths[0]) or {})
        rows = [first, *(self._first(trees, segments) for segments in paths[1:])]
        targets = {row.target if row is not None else None for row in rows}
        if len(targets) > 1:
            raise Problem(
                "bad-request",
                "This path has two readings that lead to different routes; send it without '//', "
                "'.' and '..' segments, ';' and encoded slashes.",
            )
        if first is None:
            return None
        names = [
            row.pattern.values(segments) for row, segments in zip(rows, paths, strict=True) if row
        ]
        if all(row is first for row in rows) and all(name == names[0] for name in names):
            return RouteMatch(first.route, first.target, names[0] or {})
        if all(row is not None and row.route.step == "grip" for row in rows):
            # The origin decides by its own reading.
            return RouteMatch(first.route, first.target, names[0] or {})
        return RouteMatch(self._pass_through[first.target], first.target, {}, ambiguous=True)

    def covering(self, row: RouteRow) -> RouteRow | None:
        """The earlier route that takes all requests of this one, if any."""
        return next((other for other in self.rows[: row.index] if other.covers(row)), None)

    def _trees_of(self, host: str) -> Iterator[_RouteNode]:
        """The trees of the host itself, of `*.` and each of its suffixes, and of any host."""
        keys = [host, ANY_HOST]
        dot = host.find(".")
        while dot > 0:
            keys.append("*" + host[dot:])
            dot = host.find(".", dot + 1)
        return (self._trees[key] for key in keys if key in self._trees)

    def _first(self, trees: list[_RouteNode], segments: Segments) -> RouteRow | None:
        """The first of the routes that match one reading."""
        best = len(self.rows)
        for tree in trees:
            best = tree.first(segments, 0, best)
        return self.rows[best] if best < len(self.rows) else None

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<Routes {len(self.rows)}>"


class _RouteNode:
    """The routes below some leading segments of a path, by their indexes."""

    __slots__ = ("_end", "_least", "_lengths", "_named", "_rests", "_texts")

    def __init__(self, index: int) -> None:
        self._least = index
        """The first of all routes below this node."""
        self._end: int | None = None
        """The route whose path ends here."""
        self._rests: dict[str, int] = {}
        """The routes that end in `*`, by the text before it in its segment."""
        self._lengths: list[int] = []
        self._texts: dict[str, _RouteNode] = {}
        self._named: dict[tuple[str, str], tuple[Segment, _RouteNode]] = {}

    def add(self, row: RouteRow) -> None:
        """Add a route. Routes are added in their order, so the first one with a path keeps it."""
        node, index = self, row.index
        for part in row.pattern.parts:
            if part.name is None:
                node = node._texts.setdefault(part.before, _RouteNode(index))
            else:
                key = (part.before, part.after)
                node = node._named.setdefault(key, (part, _RouteNode(index)))[1]
        rest = row.pattern.rest
        if rest is None:
            node._end = index if node._end is None else node._end
        else:
            node._rests.setdefault(rest, index)
            node._lengths = sorted({len(text) for text in node._rests})

    def first(self, segments: Segments, at: int, best: int) -> int:
        """The least index of a route that matches, or `best` if none is less."""
        if self._least >= best:
            return best
        if at == len(segments):
            return best if self._end is None else min(best, self._end)
        segment = segments[at]
        for length in self._lengths:
            if length > len(segment):
                break
            best = min(best, self._rests.get(segment[:length], best))
        if (node := self._texts.get(segment)) is not None:
            best = node.first(segments, at + 1, best)
        for part, node in self._named.values():
            if part.matches(segment):
                best = node.first(segments, at + 1, best)
        return best
