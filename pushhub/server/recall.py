"""Polls remembered by the exact bytes that asked for them.

In a broadcast every client asks again with the same bytes, for they all have the same cursor. What
was parsed, checked and allowed once is the same the next time, until the token expires.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.protocol.poll import Poll
    from pushhub.server.extra import Extra

# Two generations of so many requests of at most so many bytes: 16 MiB at the worst.
GENERATION = 4096
MAX_REQUEST_BYTES = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Recalled:
    """What a request's bytes meant."""

    poll: Poll
    extra: Extra
    expires: float | None
    """When the grant behind it ends, in seconds since 1970; None never."""


class Recall:
    """A memory of two generations: what was not asked for during a whole one is forgotten."""

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: dict[bytes, Recalled] = {}
        self._old: dict[bytes, Recalled] = {}

    def get(self, data: bytes) -> Recalled | None:
        """What these bytes mean, if they are remembered."""
        found = self._young.get(data)
        if found is None and data in self._old:
            found = self._old.pop(data)
            self.put(data, found)
        return found

    def put(self, data: bytes, meaning: Recalled) -> None:
        """Remember what these bytes mean."""
        if len(data) > MAX_REQUEST_BYTES:
            return
        if len(self._young) >= GENERATION:
            self._old, self._young = self._young, {}
        self._young[data] = meaning

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
