"""An account's archive: a log of its messages, in both directions, in an internal channel.

An event's data is the stanza as it goes over the wire, its id the archive's id of the message
(XEP-0359). Its type holds what is needed to find and deliver the message without parsing the XML:
direction, whether a stranger sent it, whether it is copied, the message's type, the peer's bare
address, the resource on this side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pushhub.log.cursor import Cursor, CursorError, parse_cursor
from pushhub.log.event import MAX_LABEL_BYTES, Draft, rfc3339
from pushhub.log.read import Page
from pushhub.xml import parse, quote
from pushhub.xmpp.model.jid import parse_jid
from pushhub.xmpp.model.namespaces import CARBONS, CLIENT, DELAY, FORWARD, STANZA_ID
from pushhub.xmpp.storage.key_value import internal_name
from pushhub.xmpp.storage.stamps import Stamps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.log.event import Event
    from pushhub.store.base import Store
    from pushhub.xml import Element

XML = "application/xml"

_END = b"</message>"


@lru_cache(maxsize=16_384)
def _archive_channel(bare: str) -> str:
    return internal_name("archive", bare)


def archive_channel(bare: str) -> str:
    """The channel of an account's archive."""
    return _archive_channel(bare)


def marker_key(bare: str) -> str:
    """The key of an account's delivery marker."""
    return internal_name("read", bare)


@dataclass(slots=True)
class ArchivedMessage:
    """A message of the archive, or one that takes the same way without being archived.

    `resource` is on this account's side: the one that the message is for, or that sent it.
    """

    stanza: bytes
    outgoing: bool
    copied: bool
    kind: str
    peer: str
    resource: str
    id: str = ""
    stranger: bool = False
    """Whether the account did not know the sender when the message arrived."""

    def payload(self, bare: str, *, delayed: int | None = None) -> bytes:
        """The message as its account receives it: with its id, and if it is late with its time
        stamp, in milliseconds."""
        if not self.id:
            return self.stanza
        more = f"<stanza-id xmlns='{STANZA_ID}' id='{self.id}' by='{quote(bare)}'/></message>"
        if delayed is not None:
            domain = quote(bare.rpartition("@")[2])
            stamp = rfc3339(delayed)
            more = f"<delay xmlns='{DELAY}' from='{domain}' stamp='{stamp}'/>{more}"
        return self.stanza[: -len(_END)] + more.encode()

    def carbon(self, direction: str, payload: bytes, bare: str, to: str) -> bytes:
        """A carbon copy for another session of the account (XEP-0280 §7)."""
        head = (
            f"<message xmlns='{CLIENT}' from='{quote(bare)}' to='{quote(to)}' type='{self.kind}'>"
            f"<{direction} xmlns='{CARBONS}'><forwarded xmlns='{FORWARD}'>"
        )
        return head.encode() + payload + f"</forwarded></{direction}></message>".encode()

    def draft(self) -> Draft:
        """The message as an event. Raises `DraftError` if it is larger than an event may be."""
        direction = "out" if self.outgoing else "in"
        marks = f"{'~' if self.stranger else ''}{'' if self.copied else '-'}"
        label = f"{direction}{marks} {self.kind}"
        longer = f"{label} {self.peer} {self.resource}"
        fits = longer.isprintable() and len(longer.encode()) <= MAX_LABEL_BYTES
        return Draft(self.stanza, XML, longer if fits else label)


class DelayedMessages:
    """Messages of one archive that are delivered late, one after the other."""

    __slots__ = ("_bare", "_stamps")

    def __init__(self, store: Store, bare: str) -> None:
        self._bare = bare
        self._stamps = Stamps(store, archive_channel(bare))

    async def payload(self, event: Event) -> bytes:
        """The message with its time stamp.

        Raises:
            StoreError: the store cannot be read.
        """
        message = archived_message(event)
        return message.payload(self._bare, delayed=await self._stamps.of(event))


async def events_at(store: Store, bare: str, offsets: Iterable[int]) -> list[Event]:
    """The messages of an archive at offsets, except expired ones.

    Raises:
        StoreError: the store cannot be read.
    """
    events = []
    for offset in offsets:
        read = await store.read(archive_channel(bare), Cursor(store.epoch, offset - 1), 1)
        if isinstance(read, Page) and read.events and read.events[0].offset == offset:
            events.append(read.events[0])
    return events


def archived_message(event: Event) -> ArchivedMessage:
    """The message in an event of an archive."""
    direction, kind, *others = event.type.split(" ", 3)
    outgoing = direction.startswith("out")
    if others:
        peer, resource = others
    else:
        stanza = parse(event.data, own=True)
        theirs, ours = ("to", "from") if outgoing else ("from", "to")
        peer = parse_jid(stanza.attributes[theirs]).bare
        resource = parse_jid(stanza.attributes[ours]).resource
    stranger = is_of_stranger(event)
    return ArchivedMessage(
        event.data, outgoing, direction[-1] != "-", kind, peer, resource, event.id, stranger
    )


def is_of_stranger(event: Event) -> bool:
    """Whether a message came from a sender that the account did not know."""
    return event.type.startswith("in~")


def archive_position(stanza: Element, by: str) -> Cursor | None:
    """The position of a sent message in an account's archive; None if it is not archived."""
    for child in stanza.every("stanza-id", STANZA_ID):
        if child.get("by") == by:
            try:
                return parse_cursor(child.get("id") or "")
            except CursorError:
                return None
    return None


def archive_cursors(stanzas: Iterable[Element], by: str) -> list[Cursor]:
    """The archive ids of those stanzas that are archived messages to the account, or carbon copies
    of them."""
    found = (archive_position(_received(stanza), by) for stanza in stanzas)
    return [cursor for cursor in found if cursor is not None]


def archive_offsets(stanzas: Iterable[Element], by: str) -> list[int]:
    """The offsets of the same stanzas."""
    return [cursor.offset for cursor in archive_cursors(stanzas, by)]


def _received(stanza: Element) -> Element:
    """The message in a carbon copy that the account has received; any other stanza itself."""
    copy = stanza.find("received", CARBONS)
    forwarded = copy.find("forwarded", FORWARD) if copy is not None else None
    inside = forwarded.find("message", CLIENT) if forwarded is not None else None
    return stanza if inside is None else inside
