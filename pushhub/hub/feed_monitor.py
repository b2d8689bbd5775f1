"""The state of the store's feed, and the rules for a feed that is silent or disconnected.

A store that other processes share sends events through a feed, and a feed can break. While the feed
is disconnected, no tail is an authority: waiting requests stay parked, and their empty responses do
not claim to be up to date. When the feed is connected again, the hub reads every channel with
holds. A single message can also get lost. So a wait never ends with "nothing new" before the hub
has read the log once during that wait; one read serves all holds of the channel.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pushhub.log.read import Gap
from pushhub.polls.base import NO_HINT, Hint, resume
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.channel import Channel
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.channels import ChannelTable
    from pushhub.log.cursor import Cursor
    from pushhub.log.read import Read
    from pushhub.polls.base import ChannelRead

# How long a tail may stand still behind a receipt before a message counts as lost. A working feed
# is milliseconds late; a feed that stands still is cut after 4 s.
OVERDUE_SECONDS = 1.0

UNSURE = Hint(sure=False)


class FeedMonitor:
    """Whether the feed is connected, and whether it has lost a message."""

    __slots__ = ("_channels", "_now", "disconnected")

    def __init__(self, channels: ChannelTable, now: Callable[[], float]) -> None:
        self._channels = channels
        self._now = now
        self.disconnected = False

    def lost(self) -> None:
        """The feed has disconnected: a tail may end before its log."""
        self.disconnected = True
        for channel in self._channels:
            self._forget(channel)

    def restored(self) -> None:
        """The feed is connected again. The hub reads every channel that has holds."""
        self.disconnected = False

    def _forget(self, channel: Channel) -> None:
        """Drop what memory holds of a channel, and take no read that began before now as its tail.
        Each later tail has everything that receipts said so far.
        """
        self._channels.drop_tail(channel)
        channel.early = channel.due = channel.overdue = None

    def receipt(self, name: str, cursor: Cursor | None) -> None:
        """The log has an event of this process at `cursor`, or lacks the channel (None). Until the
        feed brings the event, the log answers new requests.
        """
        channel = self._channels.get(name)
        if channel is None:
            return
        if cursor is not None:
            channel.expect(cursor)
        else:
            self._forget(channel)

    def is_overdue(self, channel: Channel) -> bool:
        """Whether the feed has lost a message of a channel, whose tail is behind a receipt.

        A late feed moves the tail on; a tail that stands still shows a loss. Events of another
        epoch than the receipt's bring the tail no nearer to it, so they count as standing still.
        """
        tail, due = channel.tail, channel.due
        if tail is None or due is None:
            return False
        end, now = tail.cursor, self._now()
        if channel.overdue is None or (channel.overdue[0] != end and end.epoch == due.epoch):
            channel.overdue = (end, now)
            return False
        if now - channel.overdue[1] <= OVERDUE_SECONDS:
            return False
        channel.due = channel.overdue = None
        return True

    def hint(self, hold: ChannelHold, certain: bool) -> Hint | None:
        """The hint with which a wait ends now; None if the log must be read first. `certain` says
        that the store's feed cannot lose a message.
        """
        if certain and self._is_read(hold):
            return NO_HINT
        return UNSURE if self.disconnected else None

    def _is_read(self, hold: ChannelHold) -> bool:
        """Whether the log was read for all channels of a hold. A hold that was parked because a
        read failed has a channel without a tail.
        """
        for channel_read in hold.poll.reads:
            channel = self._channels.get(channel_read.channel)
            if channel is None or channel.tail is None:
                return False
        return True


class ExpiryCheck:
    """Reads the log for a hold that is about to end, to find out whether it has missed an event.

    One read serves every hold that was parked before the read began.

    Args:
        read_events: reads events from the store, and passes the result on.
        ended: receives the channels that have moved, and the hint to end with if none has.
    """

    __slots__ = (
        "_begun",
        "_channels",
        "_ended",
        "_hint",
        "_hold",
        "_missing",
        "_moved",
        "_read_events",
    )

    def __init__(
        self,
        hold: ChannelHold,
        channels: ChannelTable,
        now: float,
        read_events: Callable[[ChannelRead, Callable[[Read | StoreError], None]], None],
        ended: Callable[[ChannelHold, list[Channel], Hint], None],
    ) -> None:
        self._hold = hold
        self._channels = channels
        self._begun = now
        self._read_events = read_events
        self._ended = ended
        self._missing = 1
        self._hint = NO_HINT
        self._moved: list[Channel] = []

    def start(self) -> None:
        """Read the channels that no other check has read during this wait."""
        hold = self._hold
        at = hold.at
        assert at is not None
        for channel_read in hold.poll.reads:
            channel = self._channels.get(channel_read.channel)
            if channel is not None and channel.checked >= hold.parked:
                continue
            self._missing += 1
            read = resume(channel_read, at[channel_read.channel])
            self._read_events(read, partial(self._received, read))
        self._arrived()

    def _received(self, read: ChannelRead, result: Read | StoreError) -> None:
        channel = self._channels.get(read.channel)
        if isinstance(result, StoreError):
            self._hint = UNSURE
        elif channel is not None:
            if self._is_empty(read, result):
                channel.checked = max(channel.checked, self._begun)
            else:
                self._moved.append(channel)
        self._arrived()

    def _is_empty(self, read: ChannelRead, result: Read) -> bool:
        at = self._hold.at
        if isinstance(result, Gap):
            return False
        if at is None or not result.events:
            return True
        return result.events[-1].cursor == at[read.channel]

    def _arrived(self) -> None:
        self._missing -= 1
        hold = self._hold
        if not self._missing and not hold.done and hold.at is not None:
            self._ended(hold, self._moved, self._hint)
