"""What the hub does when silence proves nothing.

A store that is shared with other processes tells of events through a feed, and a feed can break.
While it is broken the hub is deaf: no tail is an authority, waiting requests stay parked, and their
empty answers do not claim to be up to date. When it is whole again, every channel with waiters is
read anew. And because a message can also get lost alone, a wait never ends with "nothing new"
before the log was asked once during it, for all who wait on the channel.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pushhub.log.read import Gap
from pushhub.polls.base import AT_ONCE, Hint, resume
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from pushhub.hub.channel import Channel
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.hub import Hub
    from pushhub.log.cursor import Cursor
    from pushhub.log.read import Read
    from pushhub.polls.base import ChannelRead

# How long a tail may stand still behind a receipt before a message counts as lost. A working feed
# is milliseconds late; a feed that stands still is cut after 4 s.
OVERDUE_SECONDS = 1.0

UNSURE = Hint(sure=False)


class FeedMonitor:
    """Whether the hub hears what happens, and how it makes sure."""

    __slots__ = ("_hub", "deaf")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.deaf = False

    def lost(self) -> None:
        """Events may go untold from now on: what the tails hold may not be the end."""
        self.deaf = True
        for channel in self._hub.shelf:
            self._forget(channel)

    def _forget(self, channel: Channel) -> None:
        """Drop what memory holds of a channel, and take no read that began before now as its tail.
        Each later tail has what receipts told so far.
        """
        self._hub.shelf.drop_tail(channel)
        channel.early = channel.due = channel.overdue = None

    def restored(self) -> None:
        """Events are told again: read what happened meanwhile."""
        self.deaf = False
        for channel in self._hub.shelf:
            self.reread(channel)

    def reread(self, channel: Channel) -> None:
        """Read the log for everybody who waits on the channel."""
        self._hub.shelf.drop_tail(channel)
        for hold in list(channel.holds):
            if hold.at is not None and not hold.done:
                self._hub.reread(hold)

    def receipt(self, name: str, cursor: Cursor | None) -> None:
        """The log has an event of this process at `cursor`, or lacks the channel (None). Until the
        feed brings it, new requests are answered from the log.
        """
        channel = self._hub.shelf.get(name)
        if channel is None:
            return
        if cursor is not None:
            channel.expect(cursor)
        else:
            self._forget(channel)

    def overdue(self, channel: Channel) -> None:
        """A request meets a tail behind a receipt: the feed is a moment late; or it lost a message,
        which shows by the tail's standing still. Then read the log for all who wait.

        Events of another epoch than the receipt's bring the tail no nearer to it: they count as
        standing still.
        """
        tail, due = channel.tail, channel.due
        if tail is None or due is None:
            return
        end, now = tail.cursor, self._hub.now()
        if channel.overdue is None or (channel.overdue[0] != end and end.epoch == due.epoch):
            channel.overdue = (end, now)
        elif now - channel.overdue[1] > OVERDUE_SECONDS:
            channel.due = channel.overdue = None
            self._hub.stats.repaired += 1
            self.reread(channel)

    def expire(self, hold: ChannelHold) -> None:
        """A wait has ended: say so, once it is sure that nothing was missed."""
        if self._hub.store.certain and self._is_read(hold):
            self._end(hold, AT_ONCE)
        elif self.deaf:
            self._end(hold, UNSURE)
        else:
            Check(self._hub, hold).start()

    def _is_read(self, hold: ChannelHold) -> bool:
        """Whether the log was read for all of its channels: not for one that was parked because a
        read failed.
        """
        shelf = self._hub.shelf
        for want in hold.poll.wants:
            channel = shelf.get(want.channel)
            if channel is None or channel.tail is None:
                return False
        return True

    def _end(self, hold: ChannelHold, hint: Hint) -> None:
        self._hub.end(hold, hint)


class Check:
    """Asks the log whether a hold that is about to end has missed anything.

    One answer is good for every hold that was parked before it was asked for.
    """

    __slots__ = ("_asked", "_failed", "_hold", "_hub", "_missing", "_moved")

    def __init__(self, hub: Hub, hold: ChannelHold) -> None:
        self._hub = hub
        self._hold = hold
        self._asked = hub.now()
        self._missing = 1
        self._failed = False
        self._moved: list[str] = []

    def start(self) -> None:
        """Ask about the channels that nobody has asked about during this wait."""
        hold, shelf = self._hold, self._hub.shelf
        at = hold.at
        assert at is not None
        for want in hold.poll.wants:
            channel = shelf.get(want.channel)
            if channel is not None and channel.checked >= hold.parked:
                continue
            self._missing += 1
            wanted = resume(want, at[want.channel])
            self._hub.ask_events(wanted, partial(self._took, wanted))
        self._arrived()

    def _took(self, want: ChannelRead, result: Read | StoreError) -> None:
        channel = self._hub.shelf.get(want.channel)
        if isinstance(result, StoreError):
            self._failed = True
        elif channel is not None:
            if self._nothing_in(want, result):
                channel.checked = max(channel.checked, self._asked)
            else:
                self._moved.append(want.channel)
        self._arrived()

    def _nothing_in(self, want: ChannelRead, result: Read) -> bool:
        at = self._hold.at
        if isinstance(result, Gap):
            return False
        if at is None or not result.events:
            return True
        return result.events[-1].cursor == at[want.channel]

    def _arrived(self) -> None:
        self._missing -= 1
        hub, hold = self._hub, self._hold
        if self._missing or hold.done or hold.at is None:
            return
        if self._moved:
            hub.stats.repaired += 1
            for name in self._moved:
                channel = hub.shelf.get(name)
                if channel is not None:
                    hub.doubt.reread(channel)
        else:
            hub.end(hold, UNSURE if self._failed else AT_ONCE)
