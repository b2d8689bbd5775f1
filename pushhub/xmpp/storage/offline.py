"""Which messages of an archive an account receives that was not connected."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pushhub.log.cursor import Cursor
from pushhub.log.read import Gap
from pushhub.xmpp.storage.archive import (
    DelayedMessages,
    archive_channel,
    archived_message,
    is_of_stranger,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Container

    from pushhub.log.event import Event
    from pushhub.store.base import Store
    from pushhub.xmpp.model.policy import XmppPolicy

PAGE_EVENTS = 100


async def offline_starts(
    store: Store, policy: XmppPolicy, bare: str, since: int, latest: Cursor
) -> tuple[int, int]:
    """The offsets after which messages are sent: only the last `xmpp_offline`, and older ones stay
    in the archive. Strangers get their share, or the room that others leave: the second offset.

    Raises:
        StoreError: the store cannot be read.
    """
    limit, share = policy.xmpp_offline, policy.xmpp_stranger_share
    if share >= 1:
        return (max(since, latest.offset - limit),) * 2
    # An archive has no more messages of strangers than their share of it.
    span = limit + int(share * policy.xmpp_archive_events)
    at = Cursor(latest.epoch, max(since, latest.offset - span))
    start = at.offset
    known: deque[int] = deque([start], limit + 1)
    strangers: deque[int] = deque([start], limit + 1)
    while at.offset < latest.offset:
        read = await store.read(archive_channel(bare), at, PAGE_EVENTS)
        if isinstance(read, Gap):
            if read.oldest.offset <= at.offset or read.oldest.offset > latest.offset:
                break
            at = read.oldest
            continue
        if not read.events:
            break
        for event in read.events:
            (strangers if is_of_stranger(event) else known).append(event.offset)
        at = read.cursor
    # The first entry is not one of the last `limit`, but what is before them.
    allowed = max(int(share * limit), limit - (len(known) - 1))
    return known[0], strangers[max(0, len(strangers) - 1 - allowed)]


async def messages_between(
    store: Store, whom: tuple[str, str], since: int, upto: int, exclude: Container[int]
) -> AsyncIterator[bytes]:
    """The messages of an archive for one session, an account's bare address and a resource, after
    the offset `since`, up to `upto`, except those of `exclude`.

    Raises:
        StoreError: the store cannot be read.
    """
    bare, resource = whom
    delayed = DelayedMessages(store, bare)
    async for event in _events_between(store, bare, since, upto):
        message = archived_message(event)
        is_recipient = message.resource in ("", resource)
        if event.offset not in exclude and is_recipient and not message.outgoing:
            yield await delayed.payload(event)


async def copies_between(
    store: Store, whom: tuple[str, str], since: int, upto: int, only: Container[int] | None
) -> AsyncIterator[bytes]:
    """The carbon copies (XEP-0280) for one session of the messages in that part of an archive: of
    those that other sessions have sent, and of those for other sessions, `only` these if given.

    Raises:
        StoreError: the store cannot be read.
    """
    bare, resource = whom
    delayed = DelayedMessages(store, bare)
    async for event in _events_between(store, bare, since, upto):
        message = archived_message(event)
        if not message.copied or message.resource in ("", resource):
            continue
        if message.outgoing or only is None or event.offset in only:
            direction = "sent" if message.outgoing else "received"
            payload = await delayed.payload(event)
            yield message.carbon(direction, payload, bare, f"{bare}/{resource}")


async def _events_between(store: Store, bare: str, since: int, upto: int) -> AsyncIterator[Event]:
    while since < upto:
        read = await store.read(archive_channel(bare), Cursor(store.epoch, since), PAGE_EVENTS)
        if isinstance(read, Gap) or not read.events:
            return
        for event in read.events:
            if event.offset <= upto:
                yield event
        since = read.cursor.offset
