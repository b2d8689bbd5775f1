"""The difference of two bodies in words: the JSON values that differ, or the place in a text."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from pushhub.log.json_body import JsonError, load

if TYPE_CHECKING:
    from collections.abc import Iterator

# Differing values that are named, and values that are compared to find them: a log line, and 10 ms.
MAX_NAMED = 5
MAX_COMPARED = 20_000
# The longest list whose elements have a path each: a time, a value and up to two labels.
MAX_TUPLE = 4
# Characters of a text on both sides of the first difference.
CONTEXT = 12


def differing(before: bytes, after: bytes) -> str:
    """What differs, as the end of a sentence. The bodies are decoded and not equal."""
    paths = list(
        islice(dict.fromkeys(path for path, _, _ in _changed(before, after)), MAX_NAMED + 1)
    )
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


def _changed(before: bytes, after: bytes) -> Iterator[tuple[str, Any, Any]]:
    return changed_values(_loaded(before), _loaded(after))


def changed_values(before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """The path of each differing value, as a route's `ignore` takes it, and the value before and
    after, in the order of the body; none if one of the two is no JSON container.

    Elements of lists have one path, with `[*]`, and those of a tuple, such as a time and a value,
    one each.
    """
    pairs = [("$", before, after)]
    for _ in range(MAX_COMPARED):
        if not pairs:
            return
        path, one, other = pairs.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            pairs += [(_member(path, name), one.get(name), other.get(name)) for name in names[::-1]]
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            indexes = _is_tuple(one) and _is_tuple(other)
            pairs += [
                (f"{path}[{number if indexes else '*'}]", one[number], other[number])
                for number in range(len(one) - 1, -1, -1)
                if one[number] != other[number]
            ]
        elif path != "$":
            yield path, one, other


def _is_tuple(values: list[Any]) -> bool:
    """Whether the elements of a list are different things, to judge by their number."""
    return 1 < len(values) <= MAX_TUPLE and not any(isinstance(v, dict | list) for v in values)


def _member(path: str, name: str) -> str:
    if name.isidentifier() and name.isascii():
        return f"{path}.{name}"
    quoted = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{quoted}']"
