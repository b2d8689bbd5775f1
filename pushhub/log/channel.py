"""Channel names, their namespaces, and the patterns that grants are written in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

# Long enough for a UUID path of a few levels, short enough to be a Redis key, a file name and a
# word of a log line.
MAX_NAME_BYTES = 255

# Names with this first character are pushhub's own (registers, archives); no request can address
# them.
PRIVATE_MARK = "$"

# C0, DEL, C1 and lone surrogates: they break log lines, SSE fields and UTF-8 itself (CWE-117).
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class ChannelNameError(ValueError):
    """An invalid channel name; the message is a sentence for its sender."""


def check_name(name: str) -> str:
    """Return `name` if it is a valid channel name, public or pushhub's own.

    Raises:
        ChannelNameError: empty, more than 255 bytes of UTF-8, or a control character.
    """
    if not name:
        raise ChannelNameError("A channel name has at least one character.")
    if _FORBIDDEN.search(name):
        raise ChannelNameError("A channel name has no control characters and is valid UTF-8.")
    if len(name) > MAX_NAME_BYTES or len(name.encode()) > MAX_NAME_BYTES:
        raise ChannelNameError(f"A channel name has at most {MAX_NAME_BYTES} bytes of UTF-8.")
    return name


def public_name(name: str) -> str:
    """Return `name` if a client may address it: `check_name`, and not one of pushhub's own."""
    if name.startswith(PRIVATE_MARK):
        raise ChannelNameError(
            "Channel names that start with '$' are pushhub's own; choose another."
        )
    return check_name(name)


def decode_segment(segment: str) -> str:
    """Read a public channel name from one percent-encoded path segment (RFC 3986 §2.1)."""
    if "%" in segment or not segment.isascii():
        try:
            segment = unquote_to_bytes(segment).decode()
        except UnicodeError:  # decoding; or encoding, where a driver left lone surrogates
            raise ChannelNameError(
                "A channel name in a path is UTF-8, percent-encoded; this one does not decode."
            ) from None
    return public_name(segment)


def encode_segment(name: str) -> str:
    """Write a channel name as one path segment; `/` becomes `%2F`."""
    return quote(name, safe="")


def namespace(name: str) -> str:
    """The part before the first `:`, which settings are keyed by; empty without one."""
    head, colon, _ = name.partition(":")
    return head if colon else ""


# A tuple of so many names is searched as fast as a set.
FEW = 8


class Patterns:
    """A set of patterns, each an exact name or a prefix and a final `*`.

    Raises:
        ChannelNameError: a pattern has a `*` before its end, or can match no public name.
    """

    __slots__ = ("_exact", "_prefixes", "texts")

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self.texts = tuple(texts)
        exact, prefixes = [], []
        for text in self.texts:
            stem = text.removesuffix("*")
            if "*" in stem:
                raise ChannelNameError(
                    f"The pattern {text!r} has a '*' before its end; only a final one is allowed."
                )
            if stem or text != "*":
                public_name(stem)
            if text.endswith("*"):
                prefixes.append(stem)
            else:
                exact.append(text)
        # A set is faster only when it is large, and large always.
        self._exact = tuple(exact) if len(exact) <= FEW else frozenset(exact)
        self._prefixes = tuple(prefixes)

    def match(self, name: str) -> bool:
        """Whether a pattern covers `name`. None covers pushhub's own channels, not even `*`."""
        if name.startswith(PRIVATE_MARK):
            return False
        return name in self._exact or name.startswith(self._prefixes)

    def within(self, prefix: str, after: str = "") -> list[str]:
        """The patterns for the covered names that begin with `prefix` and come after `after`: in
        the order of the names, and none within another.
        """
        ordered = sorted(
            {text for text in self.texts if text.startswith(prefix)}
            | {prefix + "*" for stem in self._prefixes if prefix.startswith(stem)}
        )
        found: list[str] = []
        # A prefix comes before the names and the prefixes that it covers, except for `*` itself.
        for text in sorted(ordered, key=lambda text: (text.removesuffix("*"), text[-1:] != "*")):
            stem = text.removesuffix("*")
            if found and found[-1].endswith("*") and stem.startswith(found[-1][:-1]):
                continue
            if stem > after or (text.endswith("*") and after.startswith(stem)):
                found.append(text)
        return found

    def __bool__(self) -> bool:
        return bool(self.texts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Patterns) and set(self.texts) == set(other.texts)

    def __hash__(self) -> int:
        return hash(frozenset(self.texts))

    def __repr__(self) -> str:
        return f"Patterns({list(self.texts)!r})"
