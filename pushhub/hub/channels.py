"""The channels in memory: those with holds, and some that were read recently."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.hub.channel import Channel
from pushhub.polls.base import At

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.log.event import Event
    from pushhub.log.read import Page, Read
    from pushhub.polls.base import Poll, Positions

# Channels without holds. Their tails save a read of the store at the next poll, which a reader
# sends as soon as it has its response.
MAX_IDLE_CHANNELS = 10_000

# Bytes of events in all tails together. Beyond it the table evicts idle channels, and busy ones
# keep their last event only.
MAX_TAILS_BYTES = 64 * 1024 * 1024

# How long a channel stays in memory after its last hold has left. A client has no hold between two
# polls; without this time each delivery would cost a new subscription.
LINGER_SECONDS = 60.0


class ChannelTable:
    """Channels by name. A channel with holds stays; of too many others the oldest are evicted."""

    __slots__ = ("_channels", "_evicted", "_idle", "_now", "tail_bytes")

    def __init__(self, evicted: Callable[[str], None], now: Callable[[], float]) -> None:
        """`evicted` gets the name of each evicted channel; `now` gives seconds."""
        self._evicted = evicted
        self._now = now
        self._channels: dict[str, Channel] = {}
        # Name → when it was left, oldest first.
        self._idle: dict[str, float] = {}
        self.tail_bytes = 0

    def get(self, name: str) -> Channel | None:
        """The channel, if it is in memory."""
        return self._channels.get(name)

    def __getitem__(self, name: str) -> Channel:
        """A channel that has holds."""
        return self._channels[name]

    def __contains__(self, channel: Channel) -> bool:
        """Whether this object is still the one of its name."""
        return self._channels.get(channel.name) is channel

    def keep(self, name: str) -> Channel:
        """Have the channel in memory for a while without a hold: its first hold comes soon."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(name)
            self.mark_idle(channel)
        return channel

    def register(self, hold: ChannelHold, name: str) -> Channel:
        """Put a hold on a channel: from now on it misses no event there."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(name)
        elif not channel.holds:
            self._idle.pop(name, None)
        channel.holds[hold] = None
        return channel

    def register_all(self, hold: ChannelHold) -> None:
        """Put a hold on every channel of its poll."""
        for read in hold.poll.reads:
            self.register(hold, read.channel)

    def positions(self, poll: Poll, reads: Mapping[str, Read]) -> Positions:
        """Where a poll stands after reads that gave it nothing."""
        if len(reads) == 1:
            ((name, read),) = reads.items()
            cursor = poll.position(name, read)
            shared = self._channels[name].at
            # Holds that stand at the end of a channel share one object for it: eight bytes each.
            return shared if shared is not None and shared.cursor == cursor else At(cursor)
        return {name: poll.position(name, read) for name, read in reads.items()}

    def leave(self, hold: ChannelHold, name: str) -> None:
        """Take a hold off a channel. Safe to call again."""
        channel = self._channels.get(name)
        if channel is not None:
            channel.holds.pop(hold, None)
            if not channel.holds:
                self.mark_idle(channel)

    def mark_idle(self, channel: Channel) -> None:
        """The channel has no holds now: it becomes the last one to be evicted."""
        idle = self._idle
        if channel.name not in idle:
            idle[channel.name] = self._now()
            if len(idle) > MAX_IDLE_CHANNELS:
                self._evict(next(iter(idle)))

    def load(self, channel: Channel, page: Page) -> bool:
        """Take a read as the channel's tail; False if it must be read again."""
        loaded = channel.load(page)
        if channel.tail is not None and channel in self:
            self.tail_bytes += channel.tail.size
            self._bound(channel)
        return loaded

    def push(self, channel: Channel, event: Event) -> None:
        """Add a new event to the channel, and keep memory bounded."""
        before = channel.tail.size if channel.tail else 0
        channel.push(event)
        self.tail_bytes += (channel.tail.size if channel.tail else 0) - before
        self._bound(channel)

    def _bound(self, channel: Channel) -> None:
        """Keep all tails together small, now that `channel` has grown."""
        while self.tail_bytes > MAX_TAILS_BYTES and self._idle:
            self._evict(next(iter(self._idle)))
        if self.tail_bytes > MAX_TAILS_BYTES and channel.tail is not None:
            self.tail_bytes -= channel.tail.size
            channel.tail.shrink(1, 0)
            self.tail_bytes += channel.tail.size

    def drop_tail(self, channel: Channel) -> None:
        """Drop the channel's tail; the next poll reads the store."""
        if channel.tail is not None:
            self.tail_bytes -= channel.tail.size
            channel.tail = None

    def sweep(self) -> None:
        """Evict channels that have been idle for long."""
        before = self._now() - LINGER_SECONDS
        idle = self._idle
        while idle and (oldest := next(iter(idle.items())))[1] < before:
            self._evict(oldest[0])

    def next(self) -> float | None:
        """When the next idle channel may be evicted; None if there is none."""
        oldest = next(iter(self._idle.values()), None)
        return None if oldest is None else oldest + LINGER_SECONDS

    def __iter__(self) -> Iterator[Channel]:
        return iter(list(self._channels.values()))

    def _evict(self, name: str) -> None:
        del self._idle[name]
        self.drop_tail(self._channels.pop(name))
        self._evicted(name)

    def __len__(self) -> int:
        return len(self._channels)

    def __repr__(self) -> str:
        return (
            f"<ChannelTable {len(self)} channels, {len(self._idle)} idle, {self.tail_bytes} bytes>"
        )
