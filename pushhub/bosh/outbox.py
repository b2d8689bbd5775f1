"""The elements that wait for a session's client, and how many of them go into one response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.bosh.body import EMPTY, attributes_of, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# One response carries at most so many bytes, or one payload: it is also kept for a repeat.
MAX_RESPONSE_BYTES = 256 * 1024
# The limits of the elements that wait for a silent client: as much as the largest poll response.
MAX_QUEUED_BYTES = 1024 * 1024
MAX_QUEUED = 1000


class Outbox:
    """Elements in wire form, in the order in which they are sent, and attributes."""

    __slots__ = ("_size", "greeting", "payloads", "report")

    def __init__(self, payloads: Iterable[bytes] = (), greeting: bytes | None = None) -> None:
        self.greeting = greeting
        """The attributes of the creation response [D2]; None after that is written."""
        self.report = b""
        """The attributes that report a possibly lost response [F5]."""
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

    def write(self, ack: int | None) -> bytes:
        """The body of the next response, with as many elements as fit. `ack` is the highest
        received rid, None if the client knows it [F2]."""
        attributes, self.report = self.report, b""
        if self.greeting is not None:
            attributes, self.greeting = self.greeting, None
        elif ack is not None:
            attributes += attributes_of((("ack", ack),))
        taken = self.take()
        return write(taken, attributes) if taken or attributes else EMPTY  # [E6]

    def clear(self) -> None:
        """Drop all elements."""
        self.payloads, self._size = [], 0

    @property
    def size(self) -> int:
        """The bytes of all elements."""
        return self._size

    @property
    def overflows(self) -> bool:
        """Whether the limits are exceeded: the client has been silent for long."""
        return len(self.payloads) > MAX_QUEUED or self._size > MAX_QUEUED_BYTES

    def dump(self) -> dict[str, Any]:
        """The elements and the greeting, as JSON."""
        return {
            "queue": [data.decode() for data in self.payloads],
            "greeting": None if self.greeting is None else self.greeting.decode(),
        }

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Outbox:
        """The outbox in a dump."""
        greeting = data["greeting"]
        return cls(
            (text.encode() for text in data["queue"]),
            None if greeting is None else greeting.encode(),
        )

    def __repr__(self) -> str:
        return f"<Outbox {len(self.payloads)} payloads, {self._size} bytes>"
