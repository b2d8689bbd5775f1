"""The paths of routes: patterns, and the possible readings of a request's path.

It lies here, below `origin`, because the settings check the paths of their routes with it.

A gateway that reads a path in one way in front of a server that reads it in another lets requests
around its routes (CWE-436): `/public/../admin`, `%2e%2e`, `//admin`, `/public%2f..%2fadmin`,
`/public/..;/admin`. So a request has as many readings as known
servers have, and the result of a search for a route says whether they agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

Segments = tuple[str, ...]

# Without any of these every server reads a path alike.
_TWO_WAYS = re.compile(r"[%;\\]|//|/\.")
# How often a path may be decoded on its way: once by the server, once more by a careless one.
_DECODINGS = 2

_PATTERN = re.compile(r"/[\x21-\x7e]*")
_NAMED = re.compile(r"([^{}]*)\{([A-Za-z_][0-9A-Za-z_]*)\}([^{}]*)")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class PatternError(ValueError):
    """The path of a route cannot be used; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a pattern, decoded: a text, or with a `name` any text of at least one character
    between `before` and `after`.
    """

    before: str
    name: str | None = None
    after: str = ""

    def matches(self, segment: str) -> bool:
        """Whether a decoded segment of a path is of this kind."""
        if self.name is None:
            return segment == self.before
        fixed = len(self.before) + len(self.after)
        return (
            len(segment) > fixed
            and segment.startswith(self.before)
            and segment.endswith(self.after)
        )

    def value(self, segment: str) -> str:
        """The value of the name in a segment that matches."""
        return segment[len(self.before) : len(segment) - len(self.after)]

    def covers(self, other: Segment) -> bool:
        """Whether every segment that `other` matches is matched by this part."""
        if self.name is None:
            return other.name is None and self.before == other.before
        if other.name is None:
            return self.matches(other.before)
        return other.before.startswith(self.before) and other.after.endswith(self.after)


@dataclass(frozen=True, slots=True)
class PathPattern:
    """The path of a route. `rest` is the beginning of the segment after the parts, where any
    text may follow (the final `*`); None without a final `*`.
    """

    parts: tuple[Segment, ...]
    rest: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names in it, in their order."""
        return tuple(part.name for part in self.parts if part.name is not None)

    def values(self, segments: Segments) -> dict[str, str] | None:
        """The values of the names in a path; None if the path does not match."""
        count = len(self.parts)
        if self.rest is None:
            if len(segments) != count:
                return None
        elif len(segments) <= count or not segments[count].startswith(self.rest):
            return None
        if not all(map(Segment.matches, self.parts, segments)):
            return None
        return {
            part.name: part.value(segment)
            for part, segment in zip(self.parts, segments, strict=False)
            if part.name is not None
        }

    def covers(self, other: PathPattern) -> bool:
        """Whether every path that `other` matches is matched by this pattern. A `{name}` that the
        other's prefix may or may not fill counts as not covered.
        """
        count = len(self.parts)
        if self.rest is None:
            return (
                other.rest is None
                and len(other.parts) == count
                and all(map(Segment.covers, self.parts, other.parts))
            )
        if len(other.parts) < count or not all(map(Segment.covers, self.parts, other.parts)):
            return False
        if len(other.parts) > count:
            return other.parts[count].before.startswith(self.rest)
        return other.rest is not None and other.rest.startswith(self.rest)


class PatternTree:
    """Several patterns, matched together: as many steps as a path has segments, and not as many
    as there are patterns.
    """

    __slots__ = ("_ends", "_named", "_rests", "_texts")

    def __init__(self) -> None:
        self._ends = False
        self._rests: tuple[str, ...] = ()
        self._texts: dict[str, PatternTree] = {}
        # By what is fixed in a segment: names make no difference.
        self._named: dict[tuple[str, str], tuple[Segment, PatternTree]] = {}

    def add(self, pattern: PathPattern) -> None:
        """Add a pattern."""
        node = self
        for part in pattern.parts:
            if part.name is None:
                node = node._texts.setdefault(part.before, PatternTree())
            else:
                fixed = (part.before, part.after)
                node = node._named.setdefault(fixed, (part, PatternTree()))[1]
        if pattern.rest is None:
            node._ends = True
        elif pattern.rest not in node._rests:
            node._rests += (pattern.rest,)

    def matches(self, segments: Segments, at: int = 0) -> bool:
        """Whether one of the patterns matches a path, from a segment on."""
        if at == len(segments):
            return self._ends
        segment = segments[at]
        if segment.startswith(self._rests):
            return True
        found = self._texts.get(segment)
        if found is not None and found.matches(segments, at + 1):
            return True
        return any(
            part.matches(segment) and node.matches(segments, at + 1)
            for part, node in self._named.values()
        )


def parse_pattern(text: str) -> PathPattern:
    """Read the path of a route: `/orders`, `/orders/{id}`, `/orders/{id}.json` or `/orders/*`.

    Raises:
        PatternError: the text is invalid, or no path could match it in all of its readings.
    """
    if not _PATTERN.fullmatch(text):
        raise PatternError(
            f"A path starts with '/' and is percent-encoded, such as /caf%C3%A9/*; not {text!r}."
        )
    if "?" in text or "#" in text:
        raise PatternError(
            f"Only the path selects a route; leave out the query or fragment in {text!r}."
        )
    if "*" in text[:-1]:
        raise PatternError(f"The one '*' of a path is its last character; not so in {text!r}.")
    if _BAD_ESCAPE.search(text):
        raise PatternError(f"A '%' is followed by two hexadecimal digits; not so in {text!r}.")
    is_open = text.endswith("*")
    segments = text.removesuffix("*")[1:].split("/")
    parts = [_part(segment, text) for segment in segments]
    rest = None
    if is_open:
        last = parts.pop()
        if last.name is not None:
            raise PatternError(
                f"A name is followed by '/' before the final '*': write {text[:-1]}/* instead of "
                f"{text!r}."
            )
        rest = last.before
    pattern = PathPattern(tuple(parts), rest)
    if len(set(pattern.names)) < len(pattern.names):
        raise PatternError(f"Each {{name}} of a path is another; not so in {text!r}.")
    # With a letter in place of what is open, it must be a path that has one reading.
    sample = "/" + "/".join(segments) + ("x" if is_open else "")
    if len(readings(re.sub(r"\{\w+\}", "x", sample))) > 1:
        raise PatternError(
            f"Servers read {text!r} in different ways; write it without '//', '.' and '..' "
            f"segments, ';', a backslash, and percent-encoded ones of these and of '/'."
        )
    return pattern


def _part(segment: str, text: str) -> Segment:
    if "{" not in segment and "}" not in segment:
        return Segment(decoded(segment))
    found = _NAMED.fullmatch(segment)
    if found is None:
        raise PatternError(
            f"A segment has at most one {{name}}, of letters, digits and '_'; not so in {text!r}. "
            f"A brace itself is %7B or %7D."
        )
    return Segment(decoded(found[1]), found[2], decoded(found[3]))


def decoded(text: str) -> str:
    """Percent-encoding undone; bytes that are no UTF-8 stay distinct."""
    return unquote(text, errors="surrogateescape")


def readings(path: str) -> list[Segments]:
    """The possible readings of a path as on the wire, as decoded segments; nearly always one.

    - As it stands: split at `/`, nothing resolved.
    - By RFC 3986 §6.2.2: `.` and `..` resolved, `%2e` being a dot.
    - As the most liberal server has it: an encoded slash and a backslash are slashes, empty
      segments count for nothing, and what follows a `;` is a parameter.
    """
    segments = path[1:].split("/")
    if not _TWO_WAYS.search(path):
        return [tuple(segments)]
    if "%2f" in path.lower():
        plain = tuple(map(decoded, segments))
    else:
        plain = tuple(decoded(path)[1:].split("/"))
    text = path
    for _ in range(_DECODINGS):
        text = decoded(text)
    liberal = [segment.partition(";")[0] for segment in text.replace("\\", "/")[1:].split("/")]
    ends = liberal[-1:] if liberal[-1] else [""]
    merged = [segment for segment in liberal[:-1] if segment] + ends
    return list(dict.fromkeys([plain, _resolved(plain), _resolved(tuple(merged))]))


def _resolved(segments: Segments) -> Segments:
    """Without `.` and `..` (RFC 3986 §5.2.4); above the root there is nothing."""
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    # `/a/..` and `/a/.` name a folder: their last segment is the empty one.
    if segments[-1] in (".", ".."):
        kept.append("")
    return tuple(kept)
