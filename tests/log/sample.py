"""Events, reads and requests as the tests of the core need them."""

from pushhub.http.request import Request
from pushhub.log.cursor import Cursor
from pushhub.log.event import JSON, Event
from pushhub.log.read import Gap, Page, Reason

EPOCH = "e1"


def at(offset: int, epoch: str = EPOCH) -> Cursor:
    return Cursor(epoch, offset)


def event(
    offset: int = 1,
    data: bytes = b"{}",
    content_type: str = JSON,
    *,
    channel: str = "news",
    type: str = "",
    id: str = "",
    time: int = 0,
    epoch: str = EPOCH,
) -> Event:
    return Event(channel, epoch, offset, data, content_type, type, id, time)


def page(*events: Event, cursor: Cursor | None = None, up_to_date: bool = True) -> Page:
    if cursor is None:
        cursor = at(events[-1].offset if events else 0)
    return Page(events, cursor, up_to_date)


def run_of(channel: str, first: int, count: int, data: bytes = b"{}", time: int = 0) -> Page:
    """`count` events of a channel from the offset `first` on."""
    offsets = range(first, first + count)
    return page(*(event(n, data, channel=channel, time=time) for n in offsets))


GAP = Gap(Reason.TRIMMED, at(3), at(9))


def get(query: str = "", **headers: str) -> Request:
    return Request("GET", "/", query, {name.replace("_", "-"): v for name, v in headers.items()})
