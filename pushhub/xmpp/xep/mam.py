"""The message archive (XEP-0313): a read of the account's archive channel, page by page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pushhub.log.cursor import Cursor, CursorError, Start, parse_cursor
from pushhub.log.event import rfc3339
from pushhub.log.read import Gap, Page
from pushhub.xml import Element, quote
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.extension import ACCOUNT, Extension, IqTarget, Query
from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.model.stanza import StanzaError
from pushhub.xmpp.storage.archive import archive_name, kept
from pushhub.xmpp.storage.stamps import Stamps
from pushhub.xmpp.xep import form
from pushhub.xmpp.xep.rsm import page_set, wanted_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.log.event import Event
    from pushhub.store.base import Store
    from pushhub.xmpp.model.jid import Jid
    from pushhub.xmpp.xep.rsm import Wanted

    Stamped = tuple[Event, int]  # a message and its stamp

# What one read of the store brings while looking for messages that match.
WINDOW = 100

FIELDS = ("with", "start", "end", "before-id", "after-id", "ids")


@dataclass(slots=True)
class ArchiveSpan:
    """The offsets after `low`, up to and with `high`."""

    low: int
    high: int


@dataclass(slots=True)
class Filter:
    """What a client looks for."""

    peer: Jid | None = None
    start: int | None = None
    end: int | None = None
    after: str | None = None
    before: str | None = None
    ids: list[str] = field(default_factory=list)

    def matches(self, event: Event) -> bool:
        """Whether a message is with whom it shall be."""
        peer = self.peer
        if peer is None:
            return True
        message = kept(event)
        if message.peer != peer.bare:
            return False
        if not peer.resource:
            return True
        return quote(peer.text).encode() in message.stanza[: message.stanza.index(b">")]


class Archive:
    """Reads an account's archive."""

    def __init__(self, store: Store, bare: str) -> None:
        self._store = store
        self._name = archive_name(bare)
        self.stamps = Stamps(store, self._name)

    async def span(self) -> ArchiveSpan:
        """What is kept."""
        latest = await self._store.read(self._name, Start.LAST, 1)
        first = await self._store.read(self._name, Start.EARLIEST, 1)
        assert isinstance(latest, Page)
        assert isinstance(first, Page)
        low = first.events[0].offset - 1 if first.events else first.cursor.offset
        return ArchiveSpan(low, latest.cursor.offset)

    async def read(self, after: int, count: int) -> tuple[Event, ...]:
        """At most so many messages after an offset."""
        read = await self._store.read(self._name, Cursor(self._store.epoch, after), count)
        if isinstance(read, Gap):
            return ()
        return read.events

    async def one(self, id: str) -> Event:
        """The message of an id.

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
        Stamps grow with offsets, so halves are looked at."""
        low, high = span.low, span.high
        while low < high:
            middle = (low + high) // 2
            events = await self.read(middle, 1)
            # A stamp is never before the event's own time, which needs no more reading.
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


async def search(query: Query) -> Element:
    """Send a page of messages, then say what it was (XEP-0313 §4)."""
    bare, page = query.session.jid.bare, wanted_page(query.payload)
    wanted = _filter(query.payload)
    archive = Archive(query.server.hub.store, bare)
    if wanted.ids:
        named = [await archive.one(id) for id in wanted.ids]
        events = [(event, await archive.stamps.of(event)) for event in named]
        complete, count = True, len(events)
    else:
        span = await _narrowed(archive, wanted, page)
        events, complete = await _page(archive, span, wanted, page)
        count = None
        if wanted.peer is None and page.after is None and not page.before:
            count = max(0, span.high - span.low)
    id = query.payload.get("queryid")
    for event, stamp in events:
        query.session.write(_result(query, id, event, stamp))
    first, last = (events[0][0].id, events[-1][0].id) if events else (None, None)
    attributes = {"complete": "true"} if complete else {}
    return Element("fin", ns.MAM, attributes, (page_set(first, last, count),))


async def _narrowed(archive: Archive, wanted: Filter, page: Wanted) -> ArchiveSpan:
    span = await archive.span()
    if wanted.start is not None:
        span.low = await archive.first_since(span, wanted.start)
    if wanted.end is not None:
        span.high = await archive.first_since(span, wanted.end + 1)
    for after in (wanted.after, page.after):
        if after:
            span.low = max(span.low, (await archive.one(after)).offset)
    for before in (wanted.before, page.before):
        if before:
            span.high = min(span.high, (await archive.one(before)).offset - 1)
    return span


async def _page(
    archive: Archive, span: ArchiveSpan, wanted: Filter, page: Wanted
) -> tuple[list[Stamped], bool]:
    """The messages of a page, oldest first, and whether there are no more beyond it."""
    backward = page.before is not None
    found: list[Stamped] = []
    complete = True
    async for event, stamp in archive.backward(span) if backward else archive.forward(span):
        if wanted.matches(event):
            if len(found) == page.most:
                complete = False
                break
            found.append((event, stamp))
    if backward:
        found.reverse()
    return found, complete


def _result(query: Query, id: str | None, event: Event, stamp: int) -> bytes:
    session = query.session
    asked = f" queryid='{quote(id)}'" if id else ""
    head = (
        f"<message xmlns='{ns.CLIENT}' from='{quote(session.jid.bare)}'"
        f" to='{quote(session.jid.text)}'><result xmlns='{ns.MAM}'{asked} id='{event.id}'>"
        f"<forwarded xmlns='{ns.FORWARD}'>"
        f"<delay xmlns='{ns.DELAY}' stamp='{rfc3339(stamp)}'/>"
    )
    return head.encode() + event.data + b"</forwarded></result></message>"


def _filter(payload: Element) -> Filter:
    """What a query looks for.

    Raises:
        StanzaError: an unknown field, or a value that cannot be read.
    """
    values = form.fields_of(payload.find("x", ns.DATA))
    wanted = Filter()
    for name, given in values.items():
        if name == form.FORM_TYPE:
            continue
        if name not in FIELDS:
            # XEP-0313 §4.1.5: not to be ignored, since it would change what is found.
            raise StanzaError("feature-not-implemented", f"There is no field {name[:50]!r}.")
        if name == "ids":
            wanted.ids = given[:WINDOW]
            continue
        value = given[0] if given else ""
        match name:
            case "with":
                try:
                    wanted.peer = parse_jid(value)
                except JidError as error:
                    raise StanzaError("jid-malformed", str(error)) from None
            case "start":
                wanted.start = _time(value)
            case "end":
                wanted.end = _time(value)
            case "after-id":
                wanted.after = value
            case "before-id":
                wanted.before = value
    return wanted


def _time(text: str) -> int:
    """A time of XEP-0082 in milliseconds since 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise StanzaError("bad-request", "A time is like 2026-01-02T03:04:05Z.") from None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def fields(query: Query) -> Element:
    """What can be looked for (XEP-0313 §4.1.6)."""
    listed = [
        form.field("with", "jid-single"),
        *(form.field(name, "text-single") for name in ("start", "end", "before-id", "after-id")),
        form.field("ids", "list-multi"),
    ]
    return Element("query", ns.MAM, {}, (form.form("form", ns.MAM, *listed),))


async def metadata(query: Query) -> Element:
    """When and with what the archive begins and ends (XEP-0313 §5)."""
    archive = Archive(query.server.hub.store, query.session.jid.bare)
    span = await archive.span()
    ends = []
    for name, at in (("start", span.low), ("end", span.high - 1)):
        events = await archive.read(at, 1) if span.high > span.low else ()
        if events:
            stamp = rfc3339(await archive.stamps.of(events[0]))
            attributes = {"id": events[0].id, "timestamp": stamp}
            ends.append(Element(name, ns.MAM, attributes))
    return Element("metadata", ns.MAM, {}, tuple(ends))


def others(query: Query) -> None:
    """Nobody reads somebody else's archive (XEP-0313 §9.1)."""
    raise StanzaError("forbidden", "This archive belongs to another account.")


EXTENSION = Extension(
    {
        (ACCOUNT, "set", ns.MAM, "query"): search,
        (ACCOUNT, "get", ns.MAM, "query"): fields,
        (ACCOUNT, "get", ns.MAM, "metadata"): metadata,
        ((IqTarget.OTHER,), "set", ns.MAM, "query"): others,
    },
    domain_features=(ns.MAM,),
    account_features=(ns.MAM, ns.MAM_EXTENDED, ns.STANZA_ID),
)
