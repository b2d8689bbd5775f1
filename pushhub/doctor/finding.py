"""The finding of one check, with its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARN = "warn"
    """pushhub works; the operator should decide whether this is intended."""
    BAD = "bad"
    """pushhub does not start, or cannot keep its promises."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is stable, for programs; `sentence` is for people, and has the remedy."""

    check: str
    level: Severity
    sentence: str


def ok(check: str, sentence: str) -> Finding:
    return Finding(check, Severity.OK, sentence)


def warn(check: str, sentence: str) -> Finding:
    return Finding(check, Severity.WARN, sentence)


def bad(check: str, sentence: str) -> Finding:
    return Finding(check, Severity.BAD, sentence)
