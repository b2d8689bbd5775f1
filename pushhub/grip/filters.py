"""GRIP's filters: a subscription drops items with them, or changes their content.

`skip-self`, `skip-users` and `require-sub` compare the meta of the item and of the connection, and
drop the item; `build-id` and `var-subst` change its content. An item may name the content filters
that a subscription must have for it (`content-filters`): subscriptions with others do not receive
it, silently, because the item is meant for other readers. (Pushpin 1.36 returns 502 for those.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.log.event import MAX_EVENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FEATURES = (
    "status",
    "link:next",
    "link:gone",
    "filter:skip-self",
    "filter:skip-users",
    "filter:require-sub",
    "filter:build-id",
    "filter:var-subst",
)

CONTENT_FILTERS = ("build-id", "var-subst")

_DIRECTIVE = re.compile(rb"%(?:\(((?:[^()\\]|\\.)*)\))?(.)?", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class _Dropped(Exception):
    """The content has a placeholder that this subscription cannot fill in."""


@dataclass(frozen=True, slots=True)
class FilterInput:
    """The data that filters compare: the meta of the connection and of the item, and the last item
    id of each of the connection's channels.
    """

    connection: Mapping[str, str]
    item: Mapping[str, str]
    prev_ids: Mapping[str, str | None]


def apply_filters(
    filters: tuple[str, ...], required: tuple[str, ...] | None, data: FilterInput, content: bytes
) -> bytes | None:
    """The content for this subscription; None if the item is dropped.

    Args:
        filters: the subscription's.
        required: the item's `content-filters`, if it names them.
    """
    if required is not None and required != tuple(
        name for name in filters if name in CONTENT_FILTERS
    ):
        return None
    for name in filters:
        test = _TESTS.get(name)
        if test is not None and test(data):
            return None
    try:
        for name in filters:
            if name == "var-subst":
                content = _substitute(content, data)
            elif name == "build-id":
                content = _build_id(content, data)
    except _Dropped:
        return None
    return content


def _is_self(data: FilterInput) -> bool:
    user = data.connection.get("user")
    return bool(user) and user == data.item.get("sender")


def _is_skipped(data: FilterInput) -> bool:
    user = data.connection.get("user")
    skipped = [name.strip() for name in data.item.get("skip_users", "").split(",")]
    return user is not None and user != "" and user in skipped


def _lacks_sub(data: FilterInput) -> bool:
    required = data.item.get("require_sub")
    return bool(required) and required not in data.prev_ids


_TESTS: dict[str, Callable[[FilterInput], bool]] = {
    "skip-self": _is_self,
    "skip-users": _is_skipped,
    "require-sub": _lacks_sub,
}


def _substitute(content: bytes, data: FilterInput) -> bytes:
    """`%(name)s` becomes the connection's meta `name`; `%%` a percent sign."""

    def value(argument: bytes | None, kind: bytes) -> bytes:
        meta = data.connection.get((argument or b"").decode("utf-8", "replace"))
        if kind != b"s" or meta is None:
            raise _Dropped
        return meta.encode()

    return _fill(content, value)


def _build_id(content: bytes, data: FilterInput) -> bytes:
    """`%I` becomes an id made of the last item id of each channel, by the meta `id_format`;
    `%(text)I` becomes the text itself. With the meta `id_encoding` = `hex` both are written in
    hexadecimal.
    """
    pattern, encoding = data.connection.get("id_format"), data.connection.get("id_encoding")
    if pattern is None or encoding not in (None, "hex"):
        raise _Dropped

    def position(argument: bytes | None, kind: bytes) -> bytes:
        name = (argument or b"").decode("utf-8", "replace")
        if kind != b"s" or name not in data.prev_ids:
            raise _Dropped
        return (data.prev_ids[name] or "").encode()

    def value(argument: bytes | None, kind: bytes) -> bytes:
        if kind != b"I":
            raise _Dropped
        text = _fill(pattern.encode(), position) if argument is None else argument
        return text.hex().encode() if encoding else text

    return _fill(content, value)


def _fill(text: bytes, value: Callable[[bytes | None, bytes], bytes]) -> bytes:
    """Replace every `%x` and `%(argument)x` of the text."""
    size = len(text)

    def replace(found: re.Match[bytes]) -> bytes:
        nonlocal size
        argument, kind = found[1], found[2] or b""
        if kind == b"%" and argument is None:
            return b"%"
        if argument is not None:
            argument = _ESCAPED.sub(rb"\1", argument)
        filled = value(argument, kind)
        size += len(filled)
        if size > MAX_EVENT_BYTES:
            # A few bytes of content must not become megabytes for every reader.
            raise _Dropped
        return filled

    return _DIRECTIVE.sub(replace, text)
