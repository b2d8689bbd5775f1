"""Versions in a response: a field or a header that changes exactly when the resource does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pushhub.advice.json_noise import words
from pushhub.log.json_body import JsonError, load
from pushhub.origin.shared.change_rule import ChangeRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.advice.observation import Observation

# Members that are read to find a version: it is at the top of a body, or one level below.
MAX_MEMBERS = 200
# Candidates that are compared with the rest; each costs a digest of every body.
MAX_CANDIDATES = 8
_NAMES = frozenset(
    {
        "version",
        "rev",
        "revision",
        "serial",
        "sequence",
        "seq",
        "generation",
        "index",
        "etag",
        "digest",
        "checksum",
    }
)
_TIMES = frozenset({"modified", "updated", "changed"})
# The version of an API or of a product, which changes with a release.
_RELEASE = re.compile(r"(?i)api|server|app|schema|format|product|build|software")
_RELEASE_VALUE = re.compile(r"v?\d+(?:\.\d+)+.*")
_HEADER = re.compile(r"x-[a-z0-9-]*(?:index|serial|revision|sequence|version|generation)")
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class VersionCandidate:
    """A selector and its last value; how often it changed together with the rest, alone, and not
    although the rest did.
    """

    selector: str
    value: Any
    together: int
    alone: int
    missed: int


def version_candidates(
    observations: list[Observation], ignored: tuple[str, ...]
) -> list[VersionCandidate]:
    """The candidates that all responses have, and what the rest without `ignored` did."""
    columns = [dict(_values(one)) for one in observations]
    found = []
    for selector in list(columns[0])[:MAX_CANDIDATES] if columns else ():
        values = [column.get(selector) for column in columns]
        if any(value is None for value in values):
            continue
        rule = ChangeRule((*ignored, selector))
        rest = [one.tag(rule) for one in observations]
        moves = [
            (one != other, before != after)
            for (one, other), (before, after) in zip(pairwise(values), pairwise(rest), strict=True)
        ]
        found.append(
            VersionCandidate(
                selector, values[-1], moves.count((True, True)), moves.count((True, False)),
                moves.count((False, True)),
            )
        )  # fmt: skip
    return found


def _values(observation: Observation) -> Iterator[tuple[str, Any]]:
    for name, value in observation.headers:
        text = name.decode("latin-1").lower()
        if _HEADER.fullmatch(text) and not _RELEASE.search(text):
            yield f"header:{text}", value.decode("latin-1")
    try:
        root = load(observation.decoded)
    except JsonError:
        return
    count = 0
    for name, value in root.items() if isinstance(root, dict) else ():
        inner = value.items() if isinstance(value, dict) else ()
        for path, leaf in ((name, value), *((f"{name}.{one}", other) for one, other in inner)):
            count += 1
            if count > MAX_MEMBERS:
                return
            if isinstance(leaf, str | int) and not isinstance(leaf, bool) and _is_named(path, leaf):
                yield path, leaf


def _is_named(path: str, value: str | int) -> bool:
    if not all(_NAME.fullmatch(part) for part in path.split(".")):
        return False
    if isinstance(value, str) and (len(value) > 128 or _RELEASE_VALUE.fullmatch(value)):
        return False
    named = set(words(path))
    return not _RELEASE.search(path) and bool(named & _NAMES or named & _TIMES)
