"""An archive that has lost its end, as in a failover: the offsets of its lost messages name other
messages later, which no client has received."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.cursor import Cursor
from pushhub.log.read import Gap
from pushhub.xmpp.storage.archive import archive_channel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pushhub.store.base import Store
    from pushhub.xmpp.routing.delivery_state import DeliveryState


async def forget_lost_end(
    store: Store, bare: str, state: DeliveryState, late: Iterable[dict[int, None]]
) -> None:
    """Forget what the delivery state of an older epoch of the store says about offsets that have
    other messages in the present epoch, or none. `late` has the offsets that each session received
    late.

    Raises:
        StoreError: the store cannot be read.
    """
    position, epoch = state.position, store.epoch
    if position is None or position.epoch == epoch:
        return
    upto = state.last_recorded
    first = await _first_of(epoch, store, bare, upto)
    if first > upto:
        state.keep(epoch)
        return
    state.forget_from(Cursor(epoch, first))
    for offsets in late:
        for offset in [offset for offset in offsets if offset >= first]:
            del offsets[offset]


async def _first_of(epoch: str, store: Store, bare: str, upto: int) -> int:
    """The offset of the first message of an epoch in an archive, if it is at most `upto`; else the
    offset after `upto`, or after the archive's end. The epochs of an archive follow each other, so
    a binary search finds it; one read suffices where nothing was lost.
    """
    low, high, probe = 1, upto + 1, upto
    while low < high:
        read = await store.read(archive_channel(bare), Cursor(store.epoch, probe - 1), 1)
        if isinstance(read, Gap):
            # A message that has expired, which is older than all others, or one after the end.
            is_later = probe > read.latest.offset
        else:
            is_later = not read.events or read.events[0].epoch == epoch
        low, high = (low, probe) if is_later else (probe + 1, high)
        probe = (low + high) // 2
    return low
