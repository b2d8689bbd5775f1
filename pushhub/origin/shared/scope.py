"""The resources that a source may notify of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.path_pattern import PatternError, parse_pattern, readings

if TYPE_CHECKING:
    from collections.abc import Iterable


class NotificationScope:
    """Patterns of resources, as the setting of a source has them."""

    __slots__ = ("_patterns",)

    def __init__(self, texts: Iterable[str]) -> None:
        self._patterns = [parse_pattern(text) for text in texts]

    def covers(self, resource: str) -> bool:
        """Whether a notification of a resource is allowed: of a path in all of its readings, or of
        a pattern that matches nothing else.
        """
        path = resource.partition("?")[0]
        if "*" in path or "{" in path:
            try:
                pattern = parse_pattern(path)
            except PatternError:
                return False
            return any(own.covers(pattern) for own in self._patterns)
        return all(
            any(own.values(segments) is not None for own in self._patterns)
            for segments in readings(path)
        )

    def __repr__(self) -> str:
        return f"<NotificationScope {len(self._patterns)}>"
