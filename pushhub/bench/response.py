"""What generators make of a server's bytes: whole responses, and the numbered events in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.bench.dialect import Dialect

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_EVENT = re.compile(rb'"n":(\d+),"t":(\d+)')

# Statuses without a body, whatever their head says (RFC 9112 §6.3).
_BODILESS = (204, 304)


def payload(number: int, now: int, size: int) -> bytes:
    """An event's data: its position in its channel, and when it was published."""
    start = b'{"n":%d,"t":%d,"x":"' % (number, now)
    return start + b"." * (size - len(start) - 2) + b'"}'


@dataclass(frozen=True, slots=True)
class BenchResponse:
    """A complete response."""

    status: int
    head: bytes
    body: bytes


def read_response(data: bytes) -> BenchResponse | None:
    """The response that `data` is, or None if more must come. One is asked for at a time."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    head = data[:end]
    status = int(data[9:12])
    if status in _BODILESS:
        return BenchResponse(status, head, b"")
    found = _LENGTH.search(head)
    if found is not None:
        return BenchResponse(status, head, data[end:]) if len(data) >= end + int(found[1]) else None
    if _CHUNKED.search(head) and not data.endswith(b"0\r\n\r\n"):
        return None
    return BenchResponse(status, head, data[end:])


@dataclass(frozen=True, slots=True)
class News:
    """What a poll's answer told: the events, each as its number and when it was published, and the
    cursor to go on with.
    """

    status: int
    events: tuple[tuple[int, int], ...]
    cursor: bytes


def read_news(data: bytes, dialect: Dialect) -> News | None:
    """What the answer of a poll says, or None if more of it must come."""
    response = read_response(data)
    if response is None:
        return None
    events = tuple((int(hit[1]), int(hit[2])) for hit in _EVENT.finditer(response.body))
    return News(response.status, events, dialect.cursor(response.head, response.body))
