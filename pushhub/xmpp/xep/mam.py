"""The message archive (XEP-0313): reads of the account's archive channel, page by page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pushhub.log.cursor import Cursor, CursorError, Start, parse_cursor
from pushhub.log.event import rfc3339
from pushhub.log.read import Gap, Page
from pushhub.xml import Element, quote
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.routing.extension import ACCOUNT, Extension, IqRequest, IqTarget
from pushhub.xmpp.storage.archive import archive_channel, archived_message
from pushhub.xmpp.storage.stamps import Stamps
from pushhub.xmpp.xep import form
from pushhub.xmpp.xep.rsm import page_set, requested_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.log.event import Event
    from pushhub.store.base import Store
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.xep.rsm import PageRequest

    Stamped = tuple[Event, int]  # a message and its stamp

# The events of one read of the store in a search.
WINDOW = 100

# Messages that one search looks through, in about 20 ms; a search for one peer may find none of
# them. The client goes on with the id of the last one.
MAX_LOOKED = 2000

# A page has at most so many bytes, or one message: a quarter of what may wait for a client.
MAX_PAGE_BYTES = 256 * 1024

FIELDS = ("with", "start", "end", "before-id", "after-id", "ids")


@dataclass(slots=True)
class ArchiveSpan:
    """The offsets after `low`, up to and with `high`."""

    low: int
    high: int


@dataclass(slots=True)
class ArchiveFilter:
    """The messages that a client searches for."""

    peer: Jid | None = None
    start: int | None = None
    end: int | None = None
    after: str | None = None
    before: str | None = None
    ids: list[str] = field(default_factory=list)

    def matches(self, event: Event) -> bool:
        """Whether a message is with the requested peer."""
        peer = self.peer
        if peer is None:
            return True
        message = archived_message(event)
        if message.peer != peer.bare:
            return False
        if not peer.resource:
            return True
        return quote(peer.text).encode() in message.stanza[: message.stanza.index(b">")]


class Archive:
    """Reads an account's archive."""

    def __init__(self, store: Store, bare: str) -> None:
        self._store = store
        self._name = archive_channel(bare)
        self.stamps = Stamps(store, self._name)

    async def span(self) -> ArchiveSpan:
        """The stored part of the archive."""
        latest = await self._store.read(self._name, Start.LAST, 1)
        first = await self._store.read(self._name, Start.EARLIEST, 1)
        assert isinstance(latest, Page)
        assert isinstance(first, Page)
        low = first.events[0].offset - 1 if first.events else first.cursor.offset
        return ArchiveSpan(low, latest.cursor.offset)

    async def read(self, after: int, count: int) -> tuple[Event, ...]:
        """At most `count` messages after an offset."""
        read = await self._store.read(self._name, Cursor(self._store.epoch, after), count)
        if isinstance(read, Gap):
            return ()
        return read.events

    async def get(self, id: str) -> Event:
        """The message with an id.

        Raises:
            StanzaError: item-not-found (XEP-0313 §4.3.1, §4.4).
        """
        try:
            offset = parse_cursor(id).offset
        except CursorError:
            offset = 0
        events = await self.read(offset - 1, 1) if offset else ()
        if not events or events[0].id != id:
            raise StanzaError("item-not-found", "There is no such message in the archive.")
        return events[0]

    async def first_since(self, span: ArchiveSpan, time: int) -> int:
        """The offset before the first message whose stamp is not before `time`, in milliseconds.
        Stamps grow with offsets, so this is a binary search."""
        low, high = span.low, span.high
        while low < high:
            middle = (low + high) // 2
            events = await self.read(middle, 1)
            # A stamp is never before the event's own time, which needs no further read.
            if events and events[0].time < time and await self.stamps.of(events[0]) < time:
                low = middle + 1
            else:
                high = middle
        return low

    async def forward(self, span: ArchiveSpan) -> AsyncIterator[Stamped]:
        """The messages of a span, oldest first."""
        at = span.low
        while at < span.high:
            events = await self.read(at, min(WINDOW, span.high - at))
            if not events:
                return
            for event in events:
                yield event, await self.stamps.of(event)
            at = events[-1].offset

    async def backward(self, span: ArchiveSpan) -> AsyncIterator[Stamped]:
        """The messages of a span, newest first."""
        high = span.high
        while high > span.low:
            low = max(span.low, high - WINDOW)
            found: list[Stamped] = []
            at = low
            # A read may end early, at about a megabyte.
            while at < high and (events := await self.read(at, high - at)):
                found += [(event, await self.stamps.of(event)) for event in events]
                at = events[-1].offset
            for stamped in reversed(found):
                yield stamped
            high = low


async def search(request: IqRequest) -> Element:
    """Send a page of messages, then its description (XEP-0313 §4)."""
    bare, page = request.session.jid.bare, requested_page(request.payload)
    filter = _filter(request.payload)
    archive = Archive(request.context.hub.store, bare)
    if filter.ids:
        named = [await archive.get(id) for id in filter.ids]
        events = [(event, await archive.stamps.of(event)) for event in named]
        complete, count = True, len(events)
        first, last = (events[0][0].id, events[-1][0].id) if events else (None, None)
        if sum(event.size for event in named) > MAX_PAGE_BYTES and len(named) > 1:
            raise StanzaError("resource-constraint", "Request fewer of these messages at a time.")
    else:
        span = await _narrow(archive, filter, page)
        events, complete, first, last = await _page(archive, span, filter, page)
        count = None
        if filter.peer is None and page.after is None and not page.before:
            count = max(0, span.high - span.low)
    id = request.payload.get("queryid")
    for event, stamp in events:
        request.session.write(_result(request, id, event, stamp))
    attributes = {"complete": "true"} if complete else {}
    return Element("fin", ns.MAM, attributes, (page_set(first, last, count),))


async def _narrow(archive: Archive, filter: ArchiveFilter, page: PageRequest) -> ArchiveSpan:
    span = await archive.span()
    if filter.start is not None:
        span.low = await archive.first_since(span, filter.start)
    if filter.end is not None:
        span.high = await archive.first_since(span, filter.end + 1)
    for after in (filter.after, page.after):
        if after:
            span.low = max(span.low, (await archive.get(after)).offset)
    for before in (filter.before, page.before):
        if before:
            span.high = min(span.high, (await archive.get(before)).offset - 1)
    return span


async def _page(
    archive: Archive, span: ArchiveSpan, filter: ArchiveFilter, page: PageRequest
) -> tuple[list[Stamped], bool, str | None, str | None]:
    """The messages of a page, oldest first, whether there are no more beyond it, and the first and
    the last id from which other pages go on."""
    backward = page.before is not None
    found: list[Stamped] = []
    complete, looked, size = True, 0, 0
    last_looked: str | None = None
    async for event, stamp in archive.backward(span) if backward else archive.forward(span):
        if looked == MAX_LOOKED:
            complete = False
            break
        if filter.matches(event):
            size += event.size
            if len(found) == page.limit or (found and size > MAX_PAGE_BYTES):
                complete, last_looked = False, None
                break
            found.append((event, stamp))
        looked, last_looked = looked + 1, event.id
    if backward:
        found.reverse()
    ends = [event.id for event, _ in found]
    if not complete and last_looked is not None:
        # The page ends where the search did.
        ends = [last_looked, *ends] if backward else [*ends, last_looked]
    return found, complete, (ends[0] if ends else None), (ends[-1] if ends else None)


def _result(request: IqRequest, id: str | None, event: Event, stamp: int) -> bytes:
    session = request.session
    query_id = f" queryid='{quote(id)}'" if id else ""
    head = (
        f"<message xmlns='{ns.CLIENT}' from='{quote(session.jid.bare)}'"
        f" to='{quote(session.jid.text)}'><result xmlns='{ns.MAM}'{query_id} id='{event.id}'>"
        f"<forwarded xmlns='{ns.FORWARD}'>"
        f"<delay xmlns='{ns.DELAY}' stamp='{rfc3339(stamp)}'/>"
    )
    return head.encode() + event.data + b"</forwarded></result></message>"


def _filter(payload: Element) -> ArchiveFilter:
    """The filter in a query.

    Raises:
        StanzaError: a field is unknown, or a value invalid.
    """
    values = form.fields_of(payload.find("x", ns.DATA))
    filter = ArchiveFilter()
    for name, given in values.items():
        if name == form.FORM_TYPE:
            continue
        if name not in FIELDS:
            # XEP-0313 §4.1.5: an unknown field must not be ignored, since it would change the
            # result.
            raise StanzaError("feature-not-implemented", f"There is no field {name[:50]!r}.")
        if name == "ids":
            filter.ids = given[:WINDOW]
            continue
        value = given[0] if given else ""
        match name:
            case "with":
                try:
                    filter.peer = parse_jid(value)
                except JidError as error:
                    raise StanzaError("jid-malformed", str(error)) from None
            case "start":
                filter.start = _time(value)
            case "end":
                filter.end = _time(value)
            case "after-id":
                filter.after = value
            case "before-id":
                filter.before = value
    return filter


def _time(text: str) -> int:
    """A time of XEP-0082 in milliseconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StanzaError("bad-request", "A time is like 2026-01-02T03:04:05Z.") from None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def fields(request: IqRequest) -> Element:
    """The supported filter fields (XEP-0313 §4.1.6)."""
    listed = [
        form.field("with", "jid-single"),
        *(form.field(name, "text-single") for name in ("start", "end", "before-id", "after-id")),
        form.field("ids", "list-multi"),
    ]
    return Element("query", ns.MAM, {}, (form.form("form", ns.MAM, *listed),))


async def metadata(request: IqRequest) -> Element:
    """The first and last message of the archive (XEP-0313 §5)."""
    archive = Archive(request.context.hub.store, request.session.jid.bare)
    span = await archive.span()
    ends = []
    for name, at in (("start", span.low), ("end", span.high - 1)):
        events = await archive.read(at, 1) if span.high > span.low else ()
        if events:
            stamp = rfc3339(await archive.stamps.of(events[0]))
            attributes = {"id": events[0].id, "timestamp": stamp}
            ends.append(Element(name, ns.MAM, attributes))
    return Element("metadata", ns.MAM, {}, tuple(ends))


def refuse_other(request: IqRequest) -> None:
    """Refuse a query for another account's archive (XEP-0313 §9.1). To a guest an account that
    blocks it, one that does not, and an unknown one are the same."""
    if request.session.user.anonymous:
        raise StanzaError("service-unavailable")
    raise StanzaError("forbidden", "This archive belongs to another account.")


EXTENSION = Extension(
    {
        (ACCOUNT, "set", ns.MAM, "query"): search,
        (ACCOUNT, "get", ns.MAM, "query"): fields,
        (ACCOUNT, "get", ns.MAM, "metadata"): metadata,
        ((IqTarget.OTHER,), "set", ns.MAM, "query"): refuse_other,
    },
    domain_features=(ns.MAM,),
    account_features=(ns.MAM, ns.MAM_EXTENDED, ns.STANZA_ID),
)
