"""What a fault may cost its clients."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """The responses that clients may see while a fault lasts, beside those of every day."""

    name: str
    what: str
    away: bool = False
    """pushhub's own 503 with `Retry-After`."""
    breaks: bool = False
    """Requests that are not repeatable may break or end with 502 or 504; GETs succeed when
    their client repeats them once."""


STEADY = Rule("steady", "no status ≥ 500, no broken request")
STORE = Rule("store", "only pushhub's own 503 with `Retry-After`", away=True)
KILLED = Rule("killed", "no GET is lost to a client that repeats it once", away=True, breaks=True)
RULES = {rule.name: rule for rule in (STEADY, STORE, KILLED)}
