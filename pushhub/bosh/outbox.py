"""What waits for a session's client, and how much of it goes into one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.bosh.body import EMPTY, lines, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# One answer carries so many bytes, or one payload: what it takes is kept for a repeat, too.
MAX_ANSWER_BYTES = 256 * 1024
# What waits for a client that does not come: as much as pushhub answers a poll at most.
MAX_QUEUED_BYTES = 1024 * 1024
MAX_QUEUED = 1000


class Outbox:
    """Elements as they stand in a body, in the order in which they go out, and attributes."""

    __slots__ = ("_size", "greeting", "payloads", "report")

    def __init__(self, payloads: Iterable[bytes] = (), greeting: bytes | None = None) -> None:
        self.greeting = greeting
        """The attributes of the first answer [D2], None when that is written."""
        self.report = b""
        """The attributes that tell of an answer that was lost [F5]."""
        self.payloads = list(payloads)
        self._size = sum(map(len, self.payloads))

    def put(self, data: bytes) -> None:
        """One more, after the others."""
        self.payloads.append(data)
        self._size += len(data)

    def take(self) -> list[bytes]:
        """Take out what goes into one answer."""
        payloads = self.payloads
        if self._size <= MAX_ANSWER_BYTES:
            self.payloads, self._size = [], 0
            return payloads
        count, size = 0, 0
        for data in payloads:
            if count and size + len(data) > MAX_ANSWER_BYTES:
                break
            count += 1
            size += len(data)
        taken, self.payloads = payloads[:count], payloads[count:]
        self._size -= size
        return taken

    def write(self, ack: int | None) -> bytes:
        """The next answer, with as much as goes into one. `ack` is the highest rid that was
        received, None if the client knows that [F2]."""
        attributes, self.report = self.report, b""
        if self.greeting is not None:
            attributes, self.greeting = self.greeting, None
        elif ack is not None:
            attributes += lines((("ack", ack),))
        taken = self.take()
        return write(taken, attributes) if taken or attributes else EMPTY  # [E6]

    def clear(self) -> None:
        """Throw away what there is."""
        self.payloads, self._size = [], 0

    @property
    def overflows(self) -> bool:
        """Whether there is more than waits for anybody: nobody has come for it for long."""
        return len(self.payloads) > MAX_QUEUED or self._size > MAX_QUEUED_BYTES

    def dump(self) -> dict[str, Any]:
        """All of it, as JSON takes it."""
        return {
            "queue": [data.decode() for data in self.payloads],
            "greeting": None if self.greeting is None else self.greeting.decode(),
        }

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Outbox:
        """The one that was dumped."""
        greeting = data["greeting"]
        return cls(
            (text.encode() for text in data["queue"]),
            None if greeting is None else greeting.encode(),
        )

    def __repr__(self) -> str:
        return f"<Outbox {len(self.payloads)} payloads, {self._size} bytes>"
