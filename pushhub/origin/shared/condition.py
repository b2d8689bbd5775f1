"""The conditions of a waiting request: which representations are new to its client.

A condition is a validator, a cursor or a version, as the polled API uses it. A request without one
cannot wait, because no representation is known to be new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from pushhub.http.date import parse_date
from pushhub.http.etag import ANY
from pushhub.log.json_body import JsonError, load

if TYPE_CHECKING:
    from pushhub.origin.shared.representation import Representation


class WaitCondition(Protocol):
    """What a client has. For equal conditions the same representations are new."""

    def is_new(self, representation: Representation) -> bool:
        """Whether the client does not have this representation."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Tags:
    """`If-None-Match`: the entity tags as `parse_tags` reads them."""

    tags: frozenset[str]

    def is_new(self, representation: Representation) -> bool:
        # `*` matches any representation of the resource; an error is none (RFC 9110 §13.1.2).
        if representation.succeeded and ANY in self.tags:
            return False
        # A client with a response to a plain request has the origin's own tag.
        return representation.tag not in self.tags and representation.own_tag not in self.tags


@dataclass(frozen=True, slots=True)
class Modified:
    """`If-Modified-Since`: seconds since 1970. A representation without `Last-Modified` is always
    new, as it is at the origin itself.
    """

    since: float

    def is_new(self, representation: Representation) -> bool:
        if not representation.succeeded:
            return True
        modified = modified_at(representation)
        return modified is None or modified > self.since


def modified_at(representation: Representation) -> float | None:
    """The `Last-Modified` of a representation, in seconds since 1970; None without a date."""
    value = representation.header(b"last-modified")
    return None if value is None else parse_date(value.decode("latin-1"))


@dataclass(frozen=True, slots=True)
class Since:
    """`?since=CURSOR`: nothing is new while the body's list is empty, or its next cursor is the
    same. `items` and `next` are the paths of both in the body, such as `meta.next`.
    """

    cursor: str
    items: str | None
    next: str | None

    def is_new(self, representation: Representation) -> bool:
        if representation.status in (204, 304):
            return False
        if representation.status != 200:
            return True
        body = _parsed(representation.body)
        if self.items is not None:
            items = _at(body, self.items)
            return not isinstance(items, list) or bool(items)
        if self.next is not None:
            return _text(_at(body, self.next)) != self.cursor
        return bool(body)


@dataclass(frozen=True, slots=True)
class Version:
    """A version that the client names in its query. `field` is its path in the body."""

    version: str
    field: str

    def is_new(self, representation: Representation) -> bool:
        if representation.status in (204, 304):
            return False
        if representation.status != 200:
            return True
        return _text(_at(_parsed(representation.body), self.field)) != self.version


def _parsed(body: bytes) -> Any:
    try:
        return load(body)
    except JsonError:
        return None


def _at(body: Any, path: str) -> Any:
    """The member at a dotted path; None if it is missing."""
    for name in path.split("."):
        if not isinstance(body, dict):
            return None
        body = body.get(name)
    return body


def _text(value: Any) -> str:
    """A cursor as it stands in a query: a string as it is, any other value as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
