"""What counts as a change of a resource: the parts of a response that its tag covers.

Without a rule the tag is the origin's own `ETag`, or a digest of the status, of the headers that
describe the body, and of the decoded body: an origin may compress the same body in another way
each time. A route's `ignore` leaves parts out, such as a time or a count of requests; its `compare`
says which parts count alone, such as a version. The client always receives the whole response.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pushhub.http.content_coding import decoded
from pushhub.http.problem import Problem
from pushhub.http.selector import (
    HeaderSelector,
    JsonSelector,
    TextSelector,
    parse_selector,
)
from pushhub.log.json_body import JsonError, dump_exact, load_exact

if TYPE_CHECKING:
    from pushhub.http.response import Headers
    from pushhub.settings.route import Route

# Headers that say what a body is, or where the resource is (RFC 9110 §8.3, §8.5, §10.2.2). Others,
# such as `Date`, describe the response.
DESCRIBING = frozenset({b"content-type", b"content-language", b"location"})
# A representation has at most 240 KiB as sent; a body that needs more than this when decoded counts
# as it was sent.
MAX_DECODED_BYTES = 4 * 1024 * 1024
# Half of the 256 bits of a collision-free hash: two responses of one resource get two tags.
_DIGEST_BYTES = 16
# The codings that are decoded.
DECODABLE = ("deflate", "gzip")
# The prefix of entity tags that pushhub generates. The origin does not receive them back.
GENERATED = "ph-"
# Rules of routes that are compiled: as many as routes are accepted.
_RULES = 1000


class ChangeRule:
    """The rule of a route. An empty one has neither `ignore` nor `compare`."""

    __slots__ = ("_headers", "_json", "_only", "_text")

    def __init__(self, ignore: tuple[str, ...] = (), compare: tuple[str, ...] = ()) -> None:
        self._only = bool(compare)
        selectors = [parse_selector(text) for text in compare or ignore]
        self._headers = frozenset(
            selector.name for selector in selectors if isinstance(selector, HeaderSelector)
        )
        self._json = [selector for selector in selectors if isinstance(selector, JsonSelector)]
        self._text = [selector for selector in selectors if isinstance(selector, TextSelector)]

    def __bool__(self) -> bool:
        return bool(self._headers or self._json or self._text)

    @property
    def ignores_tag(self) -> bool:
        """Whether the origin's `ETag` says nothing: it differs each time, or stays the same over a
        change (such as a time in whole seconds). So a fetch must not be conditional.
        """
        return not self._only and b"etag" in self._headers

    def codings(self, codings: str) -> str:
        """The codings that a fetch offers to the origin: with a rule, only those that can be
        decoded.
        """
        if not self:
            return codings
        return ", ".join(coding for coding in codings.split(", ") if coding in DECODABLE)

    def tag(self, status: int, headers: Headers, body: bytes) -> str:
        """The generated tag: equal for two responses that are no change of each other."""
        parts = self._compared(headers, body) if self._only else None
        if parts is None:
            parts = self._kept(headers, body)
        digest = blake2b(b"%d" % status, digest_size=_DIGEST_BYTES)
        for part in parts:
            # With its length, so that no two lists of parts give the same bytes.
            digest.update(b"\0%d:" % len(part))
            digest.update(part)
        return GENERATED + digest.hexdigest()

    def _compared(self, headers: Headers, body: bytes) -> list[bytes] | None:
        """The parts that count alone; None if the response has none of them, as an error page."""
        found = [
            b"%b:%b" % (name.lower(), value)
            for name, value in headers
            if name.lower() in self._headers
        ]
        values: list[Any] = []
        if self._json or self._text:
            body = decoded_body(headers, body)
        if self._json and (root := _json(body)) is not None:
            values += [selector.take(root) for selector in self._json]
        if self._text:
            text = body.decode("utf-8", "replace")
            values += [selector.take(text) for selector in self._text]
        if not found and not any(values):
            return None
        return [*found, dump_exact(values, sort=True)]

    def _kept(self, headers: Headers, body: bytes) -> list[bytes]:
        """The parts that count: all, without those that the route ignores."""
        ignored = frozenset() if self._only else self._headers
        parts = [
            b"%b:%b" % (name.lower(), value)
            for name, value in headers
            if name.lower() in DESCRIBING and name.lower() not in ignored
        ]
        body = decoded_body(headers, body)
        if not self._only:
            body = self._without_ignored(body)
        return [*parts, body]

    def _without_ignored(self, body: bytes) -> bytes:
        if self._text:
            text = body.decode("utf-8", "replace")
            for selector in self._text:
                # A pattern that takes too long ignores nothing.
                text = found if (found := selector.remove(text)) is not None else text
            body = text.encode("utf-8", "replace")
        if self._json and (root := _json(body)) is not None:
            for path in self._json:
                path.remove(root)
            body = dump_exact(root, sort=True)
        return body

    def __repr__(self) -> str:
        kind = "compare" if self._only else "ignore"
        count = len(self._headers) + len(self._json) + len(self._text)
        return f"<ChangeRule {kind} {count}>" if self else "<ChangeRule>"


WHOLE = ChangeRule()


def change_rule(route: Route) -> ChangeRule:
    """The rule of a route, compiled once."""
    return _rule(route.ignore, route.compare) if route.ignore or route.compare else WHOLE


@lru_cache(_RULES)
def _rule(ignore: tuple[str, ...], compare: tuple[str, ...]) -> ChangeRule:
    return ChangeRule(ignore, compare)


def decoded_body(headers: Headers, body: bytes) -> bytes:
    """The decoded body; as sent if it cannot be decoded."""
    codings = [value for name, value in headers if name.lower() == b"content-encoding"]
    if len(codings) != 1:
        return body
    try:
        return decoded(body, codings[0].decode("latin-1"), MAX_DECODED_BYTES)
    except Problem:
        return body


def _json(body: bytes) -> Any:
    """The parsed body; None if it is no JSON object or list."""
    try:
        root = load_exact(body)
    except JsonError:
        return None
    return root if isinstance(root, dict | list) else None
