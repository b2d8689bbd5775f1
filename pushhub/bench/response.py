"""The parser of responses for generators: whole responses, and their numbered events."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.bench.dialect import Dialect

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_EVENT = re.compile(rb'"n":(\d+),"t":(\d+)')

# Statuses without a body, even if the head has a length (RFC 9112 §6.3).
_BODILESS = (204, 304)


def payload(number: int, now: int, size: int) -> bytes:
    """An event's data: its position in its channel, and the time of its publish."""
    start = b'{"n":%d,"t":%d,"x":"' % (number, now)
    return start + b"." * (size - len(start) - 2) + b'"}'


@dataclass(frozen=True, slots=True)
class BenchResponse:
    """A complete response."""

    status: int
    head: bytes
    body: bytes


def read_response(data: bytes) -> BenchResponse | None:
    """The response in `data`; None if it is incomplete. `data` has at most one response."""
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
class PollResult:
    """The response of a poll: the events, each as its number and the time of its publish, and the
    cursor of the next poll.
    """

    status: int
    events: tuple[tuple[int, int], ...]
    cursor: bytes


def parse_poll(data: bytes, dialect: Dialect) -> PollResult | None:
    """The parsed response of a poll; None if it is incomplete."""
    response = read_response(data)
    if response is None:
        return None
    events = tuple((int(hit[1]), int(hit[2])) for hit in _EVENT.finditer(response.body))
    return PollResult(response.status, events, dialect.cursor(response.head, response.body))
