"""An account's archive: a log of its messages, both ways, in a channel of our own.

An event's data is the stanza as it goes over the wire, its id the archive's id of the message
(XEP-0359), and its type a note of what is needed to find and deliver it without reading the XML:
direction, whether it is copied, its own type, the other's bare address, the resource on this side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pushhub.protocol.cursor import Cursor, CursorError, parse_cursor
from pushhub.protocol.event import MAX_LABEL_BYTES, Draft, rfc3339
from pushhub.protocol.page import Page
from pushhub.protocol.xml import parse, quote
from pushhub.xmpp.jid import parse_jid
from pushhub.xmpp.names import CARBONS, CLIENT, DELAY, FORWARD, STANZA_ID
from pushhub.xmpp.registers import register_name
from pushhub.xmpp.stamps import Stamps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.protocol.event import Event
    from pushhub.protocol.xml import Element
    from pushhub.store.base import Store

XML = "application/xml"

_END = b"</message>"


def archive_name(bare: str) -> str:
    """The channel of an account's archive."""
    return _name(bare)


def marker_name(bare: str) -> str:
    """The register of up to where an account's messages were delivered."""
    return register_name("read", bare)


@lru_cache(maxsize=16_384)
def _name(bare: str) -> str:
    return register_name("archive", bare)


@dataclass(slots=True)
class Kept:
    """A message of the archive, or one that is delivered as such without being kept.

    `resource` is on this account's side: the one that it is for, or the one that sent it.
    """

    stanza: bytes
    outgoing: bool
    copied: bool
    kind: str
    peer: str
    resource: str
    id: str = ""

    def payload(self, bare: str, *, delayed: int | None = None) -> bytes:
        """The message as its account gets it: with its id, and if it is late with its stamp, in
        milliseconds."""
        if not self.id:
            return self.stanza
        more = f"<stanza-id xmlns='{STANZA_ID}' id='{self.id}' by='{quote(bare)}'/></message>"
        if delayed is not None:
            domain = quote(bare.rpartition("@")[2])
            stamp = rfc3339(delayed)
            more = f"<delay xmlns='{DELAY}' from='{domain}' stamp='{stamp}'/>{more}"
        return self.stanza[: -len(_END)] + more.encode()

    def carbon(self, which: str, payload: bytes, bare: str, to: str) -> bytes:
        """A copy for another session of the account (XEP-0280 §7)."""
        head = (
            f"<message xmlns='{CLIENT}' from='{quote(bare)}' to='{quote(to)}' type='{self.kind}'>"
            f"<{which} xmlns='{CARBONS}'><forwarded xmlns='{FORWARD}'>"
        )
        return head.encode() + payload + f"</forwarded></{which}></message>".encode()

    def draft(self) -> Draft:
        """The message as an event. Raises `DraftError` if it is larger than one."""
        way = "out" if self.outgoing else "in"
        note = f"{way}{'' if self.copied else '-'} {self.kind}"
        longer = f"{note} {self.peer} {self.resource}"
        fits = longer.isprintable() and len(longer.encode()) <= MAX_LABEL_BYTES
        return Draft(self.stanza, XML, longer if fits else note)


class Late:
    """Messages of one archive that its account gets late, one after the other."""

    __slots__ = ("_bare", "_stamps")

    def __init__(self, store: Store, bare: str) -> None:
        self._bare = bare
        self._stamps = Stamps(store, archive_name(bare))

    async def payload(self, event: Event) -> bytes:
        """The message with its stamp.

        Raises:
            StoreError: the store cannot be read now.
        """
        return kept(event).payload(self._bare, delayed=await self._stamps.of(event))


async def events_at(store: Store, bare: str, offsets: Iterable[int]) -> list[Event]:
    """The messages of an archive at offsets, as far as they are kept.

    Raises:
        StoreError: the store cannot be read now.
    """
    events = []
    for offset in offsets:
        read = await store.read(archive_name(bare), Cursor(store.epoch, offset - 1), 1)
        if isinstance(read, Page) and read.events and read.events[0].offset == offset:
            events.append(read.events[0])
    return events


def kept(event: Event) -> Kept:
    """Read an event of an archive."""
    way, kind, *others = event.type.split(" ", 3)
    outgoing = way.startswith("out")
    if others:
        peer, resource = others
    else:
        stanza = parse(event.data)
        theirs, ours = ("to", "from") if outgoing else ("from", "to")
        peer = parse_jid(stanza.attributes[theirs]).bare
        resource = parse_jid(stanza.attributes[ours]).resource
    return Kept(event.data, outgoing, way[-1] != "-", kind, peer, resource, event.id)


def archived_as(stanza: Element, by: str) -> Cursor | None:
    """Where a message that was sent is kept in an account's archive; None if it is not."""
    for child in stanza.every("stanza-id", STANZA_ID):
        if child.get("by") == by:
            try:
                return parse_cursor(child.get("id") or "")
            except CursorError:
                return None
    return None
