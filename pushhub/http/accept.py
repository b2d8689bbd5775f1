"""Content negotiation (RFC 9110 §12.5): which of the offered media types or codings a request
prefers.

Header values are read once from left to right. A comma inside a quoted string separates nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Browsers send about 10 ranges and 5 codings. Elements after the 64th are ignored, as if the
# header ended there; the header itself has at most 16 KiB.
MAX_ELEMENTS = 64

# The longest header whose result is remembered; a browser's has 135 characters.
MAX_REMEMBERED = 256

# One list element (RFC 9110 §5.6.1): everything up to a comma outside a quoted string (§5.6.4).
# Its alternatives begin with different characters, so a match never backtracks.
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*+"?)+', re.DOTALL)
_PARAMETER = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*+"?)+', re.DOTALL)
# RFC 9110 §12.4.2. Clients send more digits than the three that are allowed.
_WEIGHT = re.compile(r"(?:0(?:\.[0-9]*)?|1(?:\.0*)?|\.[0-9]+)", re.ASCII)

_GZIP = ("gzip", "x-gzip")


def elements(header: str, most: int = MAX_ELEMENTS) -> Iterator[str]:
    """The elements of a list header, without white space around them and without empty ones; the
    first `most`.
    """
    for count, found in enumerate(_ELEMENT.finditer(header)):
        if count == most:
            return
        if text := found[0].strip(" \t"):
            yield text


def directives(header: str) -> frozenset[str]:
    """The names of all directives in a `Cache-Control` header (RFC 9111 §5.2), in lower case.

    None may be overlooked, so their number is bounded by the header's length alone.
    """
    return frozenset(
        element.partition("=")[0].strip(" \t").lower() for element in elements(header, len(header))
    )


def parameters(element: str) -> tuple[str, dict[str, str]]:
    """An element's value and parameters, in lower case; of a repeated parameter the first counts.

    Quotes around a value are dropped.
    """
    pieces = [piece.strip(" \t") for piece in _PARAMETER.findall(element)]
    value = pieces[0].lower() if pieces else ""
    found: dict[str, str] = {}
    for piece in pieces[1:]:
        name, _, given = piece.partition("=")
        found.setdefault(name.strip(" \t").lower(), given.strip(" \t").strip('"').lower())
    return value, found


def _weight(given: dict[str, str]) -> float:
    """The `q` of an element: 1 without one; 0 if the text is no weight, so that the element is not
    acceptable.
    """
    text = given.get("q")
    if text is None:
        return 1.0
    return float(text) if _WEIGHT.fullmatch(text) else 0.0


def negotiate(header: str | None, offered: tuple[str, ...]) -> str | None:
    """The offered media type that an `Accept` header prefers; None if none is acceptable.

    The most specific range that matches a type gives it its weight (RFC 9110 §12.5.1), so
    `text/event-stream;q=0, */*` refuses event streams. Of equal weights the more specific range
    wins, then the one that is named first, then the type that is offered first. Without a header
    everything is acceptable.
    """
    if header is None or not header.strip():
        return offered[0]
    if len(header) > MAX_REMEMBERED:
        return _negotiated(header, offered)
    return _remembered(header, offered)


def _negotiated(header: str, offered: tuple[str, ...]) -> str | None:
    # By offered type: how specific the best matching range is, its weight and its place.
    matched: dict[str, tuple[int, float, int]] = {}
    for place, element in enumerate(elements(header)):
        range_, given = parameters(element)
        weight = _weight(given)
        # `charset` and the like name no other representation here; what stands after `q` neither.
        for name in offered:
            specificity = _specificity(range_, name)
            if specificity and (name not in matched or specificity > matched[name][0]):
                matched[name] = (specificity, weight, place)
    best = None
    for name in offered:
        if name not in matched or not matched[name][1]:
            continue
        if best is None or _rank(matched[name]) > _rank(matched[best]):
            best = name
    return best


# Clients send a few texts, again and again.
_remembered = lru_cache(maxsize=256)(_negotiated)


def _specificity(range_: str, name: str) -> int:
    if range_ == name:
        return 3
    if range_.endswith("/*") and range_ != "*/*":
        return 2 if name.startswith(range_[:-1]) else 0
    # COMPAT: `*` alone is what Java's URLConnection sends.
    return 1 if range_ in ("*/*", "*") else 0


def _rank(match: tuple[int, float, int]) -> tuple[float, int, int]:
    specificity, weight, place = match
    return weight, specificity, -place


def accepts_gzip(header: str | None) -> bool:
    """Whether an `Accept-Encoding` header takes gzip (RFC 9110 §12.5.3), by name or by `*`.

    Without the header the result is no: a client that can unpack says so.
    """
    return "gzip" in accepted_codings(header or "", ("gzip",))


def accepted_codings(header: str, offered: Sequence[str]) -> tuple[str, ...]:
    """The offered codings that an `Accept-Encoding` header takes, in the order of the offer."""
    named: dict[str, float] = {}
    for element in elements(header):
        coding, given = parameters(element)
        named.setdefault("gzip" if coding in _GZIP else coding, _weight(given))
    rest = named.get("*", 0.0)
    return tuple(coding for coding in offered if named.get(coding, rest))
