"""The resources that a source may notify of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.http.path_pattern import PatternError, parse_pattern, readings

if TYPE_CHECKING:
    from collections.abc import Iterable


# As long as the longest URL that the server accepts.
MAX_PATH = 8 * 1024


def is_pattern(resource: str) -> bool:
    """Whether a notification names several resources."""
    return "*" in resource or "{" in resource


def refusal(resource: object) -> str:
    """Why a notification cannot name a resource, as a sentence; empty if it can."""
    if not isinstance(resource, str) or not resource.startswith("/") or len(resource) > MAX_PATH:
        return "A resource must be a path that begins with '/', as clients request it."
    if is_pattern(resource):
        try:
            parse_pattern(resource)
        except PatternError as error:
            return str(error)
    return ""


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
        if is_pattern(path):
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
