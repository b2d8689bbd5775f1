"""Time stamps of the messages in an archive (XEP-0203, XEP-0313), strictly increasing.

Many messages may arrive within one millisecond, for example in one BOSH body. Clients sort by the
stamp, and JavaScript clients read milliseconds. So each stamp is at least one millisecond later
than the one before it. A stamp is computed from the log alone, and is therefore the same in each
response, on each node; where needed, earlier messages are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.cursor import Cursor
from pushhub.log.read import Gap

if TYPE_CHECKING:
    from pushhub.log.event import Event
    from pushhub.store.base import Store

# After so many milliseconds without a message, stamps equal the clock's time again: a burst of more
# than one message per millisecond is at most so long.
PAUSE = 1000
# How many messages back such a pause is searched: first few, which one read of a store returns
# cheaply.
STEPS = (20, PAUSE)


class Stamps:
    """The stamps of an archive's messages, in milliseconds since 1970. Consecutive messages need no
    further reads."""

    __slots__ = ("_last", "_name", "_store")

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        # The offset and the stamp of the last requested message.
        self._last = (0, 0)

    async def of(self, event: Event) -> int:
        """The stamp of a message.

        Raises:
            StoreError: the store cannot be read.
        """
        offset, stamp = self._last
        if offset != event.offset - 1:
            stamp = await self._before(event)
        stamp = max(event.time, stamp + 1)
        self._last = (event.offset, stamp)
        return stamp

    async def _before(self, event: Event) -> int:
        """The stamp of the previous message; 0 if that cannot affect this one."""
        stamp = 0
        for count in STEPS:
            times = await self._times(max(0, event.offset - 1 - count), event.offset)
            if not times or event.time - times[-1] >= PAUSE:
                return 0
            stamp = 0
            found = len(times) < count
            for index, time in enumerate(times):
                found = found or (index > 0 and time - times[index - 1] >= PAUSE)
                stamp = max(time, stamp + 1)
            if found:
                break
        return stamp

    async def _times(self, after: int, before: int) -> list[int]:
        """The times of the messages between two offsets, without expired ones."""
        times: list[int] = []
        at = Cursor(self._store.epoch, after)
        while at.offset < before - 1:
            read = await self._store.read(self._name, at, before - 1 - at.offset)
            if isinstance(read, Gap):
                if read.oldest.offset <= at.offset:
                    break
                at = Cursor(self._store.epoch, read.oldest.offset)
                continue
            if not read.events:
                break
            times += [each.time for each in read.events if each.offset < before]
            at = Cursor(self._store.epoch, read.events[-1].offset)
        return times
