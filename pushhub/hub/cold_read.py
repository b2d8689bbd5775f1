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

    __slots__ = ("_at", "_hold", "_missing", "_parent", "_reads", "_wants")

    def __init__(self, parent: ColdReads, hold: ChannelHold, at: Positions | None) -> None:
        self._parent = parent
        self._hold = hold
        self._reads: dict[str, Read] = {}
        self._missing = 0
        self._at = at
        self._wants: tuple[ChannelRead, ...] = hold.poll.reads
        if at is not None:
            self._wants = tuple(resume(want, at[want.channel]) for want in self._wants)

    def start(self) -> None:
        """Ask the store where the tails do not suffice; decide immediately where they do."""
        parent = self._parent
        self._missing = 1
        for want in self._wants:
            # The hold is registered already, but memory pressure during a fan-out may have evicted
            # a channel.
            channel = parent.channels.register(self._hold, want.channel)
            if channel.tail is None and parent.feed_monitor.disconnected:
                # A tail would not stay one; but the log can be read as it is now.
                self._ask(want)
            elif channel.tail is None:
                self._missing += 1
                parent.store_reads.load_tail(channel, partial(self._loaded, want))
            else:
                self._read(want)
        self._arrived()

    def _loaded(self, want: ChannelRead, error: StoreError | None) -> None:
        if error is not None:
            self._fail()
        elif not self._hold.done:
            self._read(want)
            self._arrived()

    def _read(self, want: ChannelRead) -> None:
        channel = self._parent.channels.register(self._hold, want.channel)
        read = channel.read(want)
        if read is not None:
            self._reads[want.channel] = read
        else:
            self._ask(want)

    def _ask(self, want: ChannelRead) -> None:
        self._missing += 1
        self._parent.store_reads.events(want, partial(self._took, want))

    def _took(self, want: ChannelRead, result: Read | StoreError) -> None:
        if isinstance(result, StoreError):
            self._fail()
        else:
            self._reads[want.channel] = result
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
        for want in [resume(want, at[want.channel]) for want in self._hold.poll.reads]:
            channel = channels.register(self._hold, want.channel)
            if channel.is_behind(at[want.channel]):
                # Another process appends too, and its event has not arrived here yet.
                channels.drop_tail(channel)
            elif channel.is_of_another_life(want.since):
                # The log was lost, and another process noticed first. Every hold must notice too.
                self._parent.outdated(channel)
            read = channel.remembered(want)
            if read is None:
                return None
            recent[want.channel] = read
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
        for want in self._wants:
            stands = want.stands
            if stands is None:
                return None
            at[want.channel] = stands
        return at
