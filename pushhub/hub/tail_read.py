"""Loading the end of a channel's log as its tail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.log.read import Gap
from pushhub.store.base import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.channel import Channel
    from pushhub.hub.channels import ChannelTable
    from pushhub.hub.stats import Stats
    from pushhub.hub.store_reads import StoreReads
    from pushhub.log.read import Read

# How often the end of a log is read again because events or a delete that arrived meanwhile do not
# follow it. Each time needs another one of them, so ten in a row are no coincidence.
MAX_TAIL_READS = 10


class TailRead:
    """One request for a channel's tail; `done` gets the error, or None.

    This is an object and not a closure: a closure that repeats itself is a reference cycle, which
    would keep the pages in memory.
    """

    __slots__ = ("_channel", "_channels", "_done", "_reads", "_stats", "_tries")

    def __init__(
        self,
        reads: StoreReads,
        channels: ChannelTable,
        stats: Stats,
        channel: Channel,
        done: Callable[[StoreError | None], None],
    ) -> None:
        self._reads = reads
        self._channels = channels
        self._stats = stats
        self._channel = channel
        self._done = done
        self._tries = MAX_TAIL_READS

    def start(self) -> None:
        """Read the store, or share a read that is under way."""
        self._reads.tail(self._channel, self._take)

    def _take(self, result: Read | StoreError) -> None:
        channel = self._channel
        if isinstance(result, StoreError):
            channel.early = None
            self._done(result)
        elif channel.tail is not None or self._loads(result):
            self._done(None)
        elif self._tries:
            self._tries -= 1
            self.start()
        else:
            channel.early = None
            self._stats.read_failed += 1
            self._done(StoreUnavailable("The channel's end could not be read; try again."))

    def _loads(self, read: Read) -> bool:
        """Whether the read became the tail. A read that is being repeated did not suffice."""
        assert not isinstance(read, Gap), "the end of a log is never a gap"
        return not self._reads.is_loading(self._channel) and self._channels.load(
            self._channel, read
        )
