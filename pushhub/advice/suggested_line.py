"""A line of a suggested route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SuggestedLine:
    """An option of the route, its value and the reason. Without `active` the line is a comment:
    only the owner of the API can decide about it.
    """

    option: str
    value: Any
    reason: str
    active: bool = True
