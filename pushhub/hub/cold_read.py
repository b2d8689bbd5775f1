"""The reads of a poll whose channels are not all in memory: from tails, and from the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from pushhub.polls.base import ChannelRead, Positions, resume, unreadable
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.http.response import Reply
    from pushhub.hub.channel import Channel
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.channels import ChannelTable
    from pushhub.hub.feed_monitor import FeedMonitor
    from pushhub.hub.store_reads import StoreReads
    from pushhub.log.cursor import Cursor
    from pushhub.log.read import Read


@dataclass(frozen=True, slots=True)
class ColdResult:
    """What the hub does with a hold after a cold read.

    A `reply` completes the hold. Without one, current `reads` decide on it; with `at` it waits
    there for the feed, because nothing is known about the log.
    """

    reply: Reply | None = None
    reads: Mapping[str, Read] = field(default_factory=dict)
    at: Positions | None = None


class ColdReads:
    """Starts cold reads.

    Args:
        decided: receives a hold and the result of its cold read.
        outdated: reads the log for all holds of a channel whose tail missed events.
    """

    __slots__ = ("channels", "decided", "feed_monitor", "outdated", "store_reads")

    def __init__(
        self,
        channels: ChannelTable,
        feed_monitor: FeedMonitor,
        store_reads: StoreReads,
        decided: Callable[[ChannelHold, ColdResult], None],
        outdated: Callable[[Channel], None],
    ) -> None:
        self.channels = channels
        self.feed_monitor = feed_monitor
        self.store_reads = store_reads
        self.decided = decided
        self.outdated = outdated

    def start(self, hold: ChannelHold, at: Positions | None = None) -> None:
        """Read for a hold, from the positions `at` if it has waited already."""
        ColdRead(self, hold, at).start()


class ColdRead:
    """The reads of one hold.

    The hold stays registered on its channels meanwhile, so no event passes by. When all reads have
    arrived and the poll still waits, the reads may be old. So each channel is read again from where
    they ended, and the hold parks only when the tails agree.
    """

    __slots__ = ("_at", "_channel_reads", "_hold", "_missing", "_parent", "_reads")

    def __init__(self, parent: ColdReads, hold: ChannelHold, at: Positions | None) -> None:
        self._parent = parent
        self._hold = hold
        self._reads: dict[str, Read] = {}
        self._missing = 0
        self._at = at
        self._channel_reads: tuple[ChannelRead, ...] = hold.poll.reads
        if at is not None:
            self._channel_reads = tuple(
                resume(each, at[each.channel]) for each in self._channel_reads
            )

    def start(self) -> None:
        """Read the store where the tails do not suffice; decide immediately where they do."""
        parent = self._parent
        self._missing = 1
        for channel_read in self._channel_reads:
            # The hold is registered already, but memory pressure during a fan-out may have evicted
            # a channel.
            channel = parent.channels.register(self._hold, channel_read.channel)
            if channel.tail is None and parent.feed_monitor.disconnected:
                # A tail would not stay one; but the log can be read as it is now.
                self._read_store(channel_read)
            elif channel.tail is None:
                self._missing += 1
                parent.store_reads.load_tail(channel, partial(self._loaded, channel_read))
            else:
                self._read(channel_read)
        self._arrived()

    def _loaded(self, channel_read: ChannelRead, error: StoreError | None) -> None:
        if error is not None:
            self._fail()
        elif not self._hold.done:
            self._read(channel_read)
            self._arrived()

    def _read(self, channel_read: ChannelRead) -> None:
        channel = self._parent.channels.register(self._hold, channel_read.channel)
        read = channel.read(channel_read)
        if read is not None:
            self._reads[channel_read.channel] = read
        else:
            self._read_store(channel_read)

    def _read_store(self, channel_read: ChannelRead) -> None:
        self._missing += 1
        self._parent.store_reads.events(channel_read, partial(self._received, channel_read))

    def _received(self, channel_read: ChannelRead, result: Read | StoreError) -> None:
        if isinstance(result, StoreError):
            self._fail()
        else:
            self._reads[channel_read.channel] = result
            self._arrived()

    def _arrived(self) -> None:
        self._missing -= 1
        if self._missing == 0 and not self._hold.done:
            self._decide()

    def _decide(self) -> None:
        hold, parent, reads = self._hold, self._parent, self._reads
        reply = parent.store_reads.reply(hold.poll, reads)
        if reply is not None:
            parent.decided(hold, ColdResult(reply, reads))
            return
        at = {name: hold.poll.position(name, read) for name, read in reads.items()}
        if parent.feed_monitor.disconnected:
            parent.decided(hold, ColdResult(at=at))
            return
        # The tails have the events that came during the reads.
        recent = self._recent(at)
        if recent is None:
            parent.start(hold, at)
        else:
            parent.decided(hold, ColdResult(reads=recent))

    def _recent(self, at: Mapping[str, Cursor]) -> dict[str, Read] | None:
        """The reads from the positions `at`, as the tails give them; None if one does not."""
        channels = self._parent.channels
        recent: dict[str, Read] = {}
        for each in self._hold.poll.reads:
            channel_read = resume(each, at[each.channel])
            channel = channels.register(self._hold, channel_read.channel)
            if channel.is_behind(at[channel_read.channel]):
                # Another process appends too, and its event has not arrived here yet.
                channels.drop_tail(channel)
            elif channel.has_other_epoch(channel_read.since):
                # The log was lost, and another process noticed first. Every hold must notice too.
                self._parent.outdated(channel)
            read = channel.remembered(channel_read)
            if read is None:
                return None
            recent[channel_read.channel] = read
        return recent

    def _fail(self) -> None:
        hold = self._hold
        if hold.done or hold.at is not None:
            return
        at = self._known_positions()
        if at is not None and hold.poll.wait:
            self._parent.decided(hold, ColdResult(at=at))
            return
        reply = hold.poll.error(unreadable())
        assert reply is not None, "a poll may wait on after a delete only"
        self._parent.decided(hold, ColdResult(reply))

    def _known_positions(self) -> Positions | None:
        """Where the reader stands, if that is known without the log."""
        if self._at is not None:
            return self._at
        at: dict[str, Cursor] = {}
        for channel_read in self._channel_reads:
            known_position = channel_read.known_position
            if known_position is None:
                return None
            at[channel_read.channel] = known_position
        return at
