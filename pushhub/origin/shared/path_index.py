"""The resources of a table by their paths: a notification finds those that it names without a walk
over all others.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from operator import attrgetter
from typing import TYPE_CHECKING

from pushhub.http.path_pattern import PatternTree, Segments, parse_pattern, readings
from pushhub.origin.shared.scope import is_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.http.path_pattern import PathPattern
    from pushhub.origin.shared.resource import Resource

# The segments by which paths are ordered. Paths of APIs are rarely deeper, and the bound keeps a
# path of 8 KiB, which may have thousands, from being kept a second time.
DEPTH = 8


class _Path:
    """One path, and its resources by their channels: queries, headers and users differ."""

    __slots__ = ("path", "resources", "segments")

    def __init__(self, path: str) -> None:
        self.path = path
        self.segments: Segments = readings(path)[0][:DEPTH]
        self.resources: dict[str, Resource] = {}


_segments = attrgetter("segments")


class PathIndex:
    """Finds resources by paths and patterns. Paths are ordered by their decoded segments, so those
    with a common beginning lie side by side.
    """

    __slots__ = ("_order", "_paths")

    def __init__(self) -> None:
        self._paths: dict[str, _Path] = {}
        self._order: list[_Path] = []

    def add(self, resource: Resource) -> None:
        """Add a resource."""
        path = resource.key.path
        if (known := self._paths.get(path)) is None:
            known = self._paths[path] = _Path(path)
            insort(self._order, known, key=_segments)
        known.resources[resource.channel] = resource

    def discard(self, resource: Resource) -> None:
        """Remove a resource that was added."""
        known = self._paths[resource.key.path]
        del known.resources[resource.channel]
        if known.resources:
            return
        del self._paths[known.path]
        at = bisect_left(self._order, known.segments, key=_segments)
        while self._order[at] is not known:
            at += 1
        del self._order[at]

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def find(self, names: list[str]) -> list[Resource]:
        """The resources that a notification names: by a path, with or without a query, by a prefix
        with a final `*`, or with `{name}` for one segment. Each once.
        """
        found: dict[str, Resource] = {}
        tree, candidates = PatternTree(), dict[str, _Path]()
        for text in names:
            if not is_pattern(text):
                found.update(self._named(text))
                continue
            pattern = parse_pattern(text)
            prefix, beginning = _literal_prefix(pattern)
            of_range = self._range(prefix, beginning)
            if pattern.rest is None or len(pattern.parts) > len(prefix):
                tree.add(pattern)
                candidates.update((one.path, one) for one in of_range)
                continue
            # All of the pattern is in the prefix, so the range has nothing else.
            for one in of_range:
                found.update(one.resources)
        for one in candidates.values():
            is_whole = len(one.segments) < DEPTH
            if tree.matches(one.segments if is_whole else readings(one.path)[0]):
                found.update(one.resources)
        return list(found.values())

    def _named(self, text: str) -> Iterator[tuple[str, Resource]]:
        path, mark, query = text.partition("?")
        if (known := self._paths.get(path)) is not None:
            for channel, resource in known.resources.items():
                if not mark or resource.key.query == query:
                    yield channel, resource

    def _range(self, prefix: Segments, beginning: str) -> Iterator[_Path]:
        """The paths with the segments of `prefix` and one more that begins with `beginning`."""
        count, length = len(prefix), len(beginning)

        def order(one: _Path) -> tuple[Segments, str]:
            rest = one.segments[count : count + 1]
            return one.segments[:count], rest[0][:length] if rest else ""

        first = bisect_left(self._order, (prefix, beginning), key=order)
        last = bisect_right(self._order, (prefix, beginning), key=order)
        return (one for one in self._order[first:last] if len(one.segments) > count)


def _literal_prefix(pattern: PathPattern) -> tuple[Segments, str]:
    """The segments of a pattern before its first name, and the beginning of the next segment."""
    prefix: list[str] = []
    for part in pattern.parts[: DEPTH - 1]:
        if part.name is not None:
            return tuple(prefix), part.before
        prefix.append(part.before)
    if len(pattern.parts) > len(prefix):
        return tuple(prefix), pattern.parts[len(prefix)].before
    return tuple(prefix), pattern.rest or ""
