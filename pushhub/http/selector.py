"""Selectors: the parts of a response that a setting names.

    header:x-devpi-serial       a header
    data.result[*].value[0]     JSON values: a JSONPath (RFC 9535), also without `$.` at its start
    /\\d+ sec ago/               text: a regular expression between slashes

JSONPath needs no filters here, and they could cost any time, so that only names, indexes, `*` and
one `..` are accepted. `python-jsonpath` parses a path. The walk is its own: the package takes 25 µs
for each value of a body, which stops the event loop for half a second with a large one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    import regex

MAX_SELECTOR_CHARS = 256
# The longest time for one pattern and one body. `regex` backtracks, and stops after it.
PATTERN_SECONDS = 0.02

_HEADER = re.compile(r"header:([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})", re.IGNORECASE)

# A step from a value to its members: a name, an index, or None for all members.
Step = str | int | None


class SelectorError(ValueError):
    """The text is no selector; the message says why."""


class HeaderSelector(NamedTuple):
    """The header of a lower-case name."""

    name: bytes


class JsonSelector(NamedTuple):
    """Values in a JSON body. Each part of the path has its steps, and whether it is `..`."""

    parts: tuple[tuple[tuple[Step, ...], bool], ...]

    def take(self, root: Any) -> list[Any]:
        """The values that the path selects."""
        return [holder[key] for holder, key in self._places(root)]

    def remove(self, root: Any) -> None:
        """Remove the values that the path selects. The root itself stays."""
        # In reverse: the inner values first, and the last of a list.
        for holder, key in reversed(list(self._places(root))):
            del holder[key]

    def _places(self, root: Any) -> Iterator[tuple[Any, Any]]:
        """The container and the key of each selected value; a container comes before its content,
        and an index before the next.
        """
        *before, (last, deep) = self.parts
        values = [root]
        for steps, descends in before:
            reached = _descendants(values) if descends else values
            values = [value[key] for value in reached for key in _keys(value, steps)]
        for value in _descendants(values) if deep else values:
            for key in _keys(value, last):
                yield value, key


def _keys(value: Any, steps: tuple[Step, ...]) -> list[Any]:
    """The keys of a container that the steps select, in ascending order, each once."""
    if isinstance(value, dict):
        if None in steps:
            return list(value)
        return [step for step in dict.fromkeys(steps) if isinstance(step, str) and step in value]
    if isinstance(value, list):
        length = len(value)
        if None in steps:
            return list(range(length))
        indexes = {step + length if step < 0 else step for step in steps if isinstance(step, int)}
        return sorted(index for index in indexes if 0 <= index < length)
    return []


def _descendants(values: list[Any]) -> list[Any]:
    """The containers among the values and in them, each before its content."""
    found: list[Any] = []
    stack = [value for value in reversed(values) if isinstance(value, dict | list)]
    while stack:
        value = stack.pop()
        found.append(value)
        inner = value.values() if isinstance(value, dict) else value
        stack.extend(reversed([item for item in inner if isinstance(item, dict | list)]))
    return found


class TextSelector(NamedTuple):
    """The matches of a pattern in a text."""

    pattern: regex.Pattern[str]

    def take(self, text: str) -> list[str] | None:
        """The matches; None if the pattern takes too long."""
        try:
            found = self.pattern.finditer(text, timeout=PATTERN_SECONDS)
            return [match[0] for match in found]
        except TimeoutError:
            return None

    def remove(self, text: str) -> str | None:
        """The text without the matches; None if the pattern takes too long."""
        try:
            without: str = self.pattern.sub("", text, timeout=PATTERN_SECONDS)
            return without
        except TimeoutError:
            return None


Selector = HeaderSelector | JsonSelector | TextSelector


def parse_selector(text: str) -> Selector:
    """Parse a selector.

    Raises:
        SelectorError: it is malformed, longer than `MAX_SELECTOR_CHARS`, or has a filter, a slice
            or a second `..`.
    """
    if not text or len(text) > MAX_SELECTOR_CHARS:
        raise SelectorError(f"A selector has 1 to {MAX_SELECTOR_CHARS} characters.")
    if header := _HEADER.fullmatch(text):
        return HeaderSelector(header[1].lower().encode())
    if text.startswith("/") and text.endswith("/") and len(text) > 2:
        return TextSelector(_pattern(text[1:-1]))
    return _json_selector(text)


def _pattern(source: str) -> regex.Pattern[str]:
    import regex  # only with a route that has a pattern

    try:
        return regex.compile(source)
    except regex.error as error:
        raise SelectorError(f"/{source}/ is no regular expression: {error}.") from None


def _json_selector(text: str) -> JsonSelector:
    # Only with a route that has a path.
    from jsonpath import JSONPathEnvironment, JSONPathError
    from jsonpath.segments import JSONPathRecursiveDescentSegment

    # `[]`, as JMESPath and jq write it, is `[*]`.
    path = text.replace("[]", "[*]")
    if not path.startswith("$"):
        path = f"${path}" if path.startswith("[") else f"$.{path}"
    try:
        segments = JSONPathEnvironment(strict=True).compile(path).segments  # type: ignore[union-attr]
    except JSONPathError as error:
        reason = str(error).partition("\n")[0]
        raise SelectorError(
            f"{text!r} is no JSONPath, header:NAME or /pattern/: {reason}."
        ) from None
    parts = tuple(
        (
            tuple(_step(text, selector) for selector in segment.selectors),
            isinstance(segment, JSONPathRecursiveDescentSegment),
        )
        for segment in segments
    )
    if not parts:
        raise SelectorError(f"{text!r} selects the whole body; name a value in it.")
    if sum(deep for _, deep in parts) > 1:
        raise SelectorError(f"{text!r} has a second '..'; write one.")
    return JsonSelector(parts)


def _step(text: str, selector: Any) -> Step:
    match type(selector).__name__:
        case "NameSelector":
            return str(selector.name)
        case "IndexSelector":
            return int(selector.index)
        case "WildcardSelector":
            return None
    raise SelectorError(
        f"{text!r} has a filter or a slice; a path here has names, indexes, '*' and one '..'."
    )
