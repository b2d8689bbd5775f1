"""One thing that was looked at, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much it matters."""

    OK = "ok"
    WARN = "warn"
    """It works; somebody should decide whether it is meant so."""
    BAD = "bad"
    """pushhub does not start with it, or does not keep what it promises."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is stable, for programs; the sentences are for a person, and say what to do."""

    check: str
    level: Severity
    sentence: str


def ok(check: str, sentence: str) -> Finding:
    return Finding(check, Severity.OK, sentence)


def warn(check: str, sentence: str) -> Finding:
    return Finding(check, Severity.WARN, sentence)


def bad(check: str, sentence: str) -> Finding:
    return Finding(check, Severity.BAD, sentence)
