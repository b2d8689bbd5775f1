"""The difference of two bodies in words: the JSON values that differ, or the place in a text."""

from __future__ import annotations

from typing import Any

from pushhub.log.json_body import JsonError, load

# Differing values that are named, and values that are compared to find them: a log line, and 10 ms.
MAX_NAMED = 5
MAX_COMPARED = 20_000
# Characters of a text on both sides of the first difference.
CONTEXT = 12


def differing(before: bytes, after: bytes) -> str:
    """What differs, as the end of a sentence. The bodies are decoded and not equal."""
    paths = _paths(_loaded(before), _loaded(after))
    if paths:
        more = ", …" if len(paths) > MAX_NAMED else ""
        return ", ".join(paths[:MAX_NAMED]) + more
    at = next(
        (
            place
            for place, (one, other) in enumerate(zip(before, after, strict=False))
            if one != other
        ),
        min(len(before), len(after)),
    )
    shown = after[max(0, at - CONTEXT) : at + CONTEXT].decode("utf-8", "replace")
    return f"the text from byte {at} on, in {shown!r}"


def _loaded(body: bytes) -> Any:
    try:
        return load(body)
    except JsonError:
        return None


def _paths(before: Any, after: Any) -> list[str]:
    """The paths of differing values, as a route's `ignore` takes them, in the order of the body;
    none if one of the two is no JSON container. Elements of lists have one path, with `[*]`.
    """
    found: dict[str, None] = {}
    pairs = [("$", before, after)]
    for _ in range(MAX_COMPARED):
        if not pairs or len(found) > MAX_NAMED:
            break
        path, one, other = pairs.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            pairs += [(_member(path, name), one.get(name), other.get(name)) for name in names[::-1]]
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            pairs += [
                (f"{path}[*]", mine, its)
                for mine, its in zip(reversed(one), reversed(other), strict=True)
                if mine != its
            ]
        elif path != "$":
            found[path] = None
    return list(found)


def _member(path: str, name: str) -> str:
    if name.isidentifier() and name.isascii():
        return f"{path}.{name}"
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{quoted}']"
