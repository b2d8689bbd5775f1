"""The elements that wait for a session's client, and how many of them go into one response."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# One response carries at most so many bytes, or one payload: it is also kept for a repeat.
MAX_RESPONSE_BYTES = 256 * 1024
# The limits of the elements that wait for a silent client: as much as the largest poll response.
MAX_QUEUED_BYTES = 1024 * 1024
MAX_QUEUED = 1000


class Outbox:
    """Elements in wire form, in the order in which they are sent."""

    __slots__ = ("_size", "payloads")

    def __init__(self, payloads: Iterable[bytes] = ()) -> None:
        self.payloads = list(payloads)
        self._size = sum(map(len, self.payloads))

    def put(self, data: bytes) -> None:
        """Add an element after the others."""
        self.payloads.append(data)
        self._size += len(data)

    def take(self) -> list[bytes]:
        """Take the elements of one response."""
        payloads = self.payloads
        if self._size <= MAX_RESPONSE_BYTES:
            self.payloads, self._size = [], 0
            return payloads
        count, size = 0, 0
        for data in payloads:
            if count and size + len(data) > MAX_RESPONSE_BYTES:
                break
            count += 1
            size += len(data)
        taken, self.payloads = payloads[:count], payloads[count:]
        self._size -= size
        return taken

    def clear(self) -> None:
        """Drop all elements."""
        self.payloads, self._size = [], 0

    @property
    def overflows(self) -> bool:
        """Whether the limits are exceeded: the client has been silent for long."""
        return len(self.payloads) > MAX_QUEUED or self._size > MAX_QUEUED_BYTES

    def __repr__(self) -> str:
        return f"<Outbox {len(self.payloads)} payloads, {self._size} bytes>"
