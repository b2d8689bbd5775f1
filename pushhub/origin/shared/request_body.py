"""The body of a shared request that is not a GET, as a part of its resource's key.

Two JSON bodies with the same members are the same request, whatever their spaces and the order of
their members. Any other body counts byte for byte. No I/O, no clock, no randomness.
"""

from __future__ import annotations

import json
from typing import Any


class _Number(str):
    """A number of JSON as it was written: 1.0 and 1, or two long ones, may differ to an origin."""

    __slots__ = ()


def key_of(body: bytes, content_type: str) -> bytes:
    """The part of a key that stands for a body; equal parts mean equal requests."""
    media_type = content_type.partition(";")[0].strip().lower()
    # A charset or another parameter may change the meaning of the bytes; so may the case of one,
    # such as the boundary of multipart.
    head = content_type.strip().encode("latin-1")
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            text = body.decode("utf-8")
            parsed = json.loads(
                text,
                object_pairs_hook=_members,
                parse_int=_Number,
                parse_float=_Number,
                parse_constant=_refuse,
            )
            return b"json\0" + head + b"\0" + _canonical(parsed).encode("utf-8", "surrogatepass")
        except (ValueError, RecursionError):
            pass  # No JSON that all origins read alike.
    return b"bytes\0" + head + b"\0" + body


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        # Origins differ in which of two members with one name they read (RFC 8259 §4).
        raise ValueError("a name stands twice in one object")
    return members


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _canonical(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{_canonical(value[name])}" for name in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_canonical, value)) + "]"
    return json.dumps(value)
