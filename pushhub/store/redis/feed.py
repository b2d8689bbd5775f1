"""The feed of events from Redis: one pub/sub subscription for each channel that this process
reads, all on one connection.

Pub/sub sends nothing to disconnected clients. So the feed notifies its listener when it was
disconnected, and its messages of a channel count only after Redis has confirmed the subscription.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pushhub.log.event import Event
from pushhub.store.base import StoreUnavailable
from pushhub.store.redis.frame import DELETED, channel_of, topics, unpack_message
from pushhub.store.redis.wire import Reply, Wire

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from pushhub.store.base import Listener

# Names in one SUBSCRIBE: one command a thousand times shorter than a thousand of them.
BATCH = 512
# The interval of PINGs, and the longest wait for a PONG. Half-open connections are found within the
# sum of both.
PING_SECONDS = 2.0
SILENCE_SECONDS = 2.0

DISCONNECTED = "The feed of Redis is disconnected; the log cannot be followed at the moment."


class FeedWire(Wire):
    """A connection in the subscribed state."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, closed: Callable[[], None], feed: Feed
    ) -> None:
        super().__init__(loop, closed)
        self._feed = feed

        # When an unanswered PING was sent; 0 when none is.
        self.pinged = 0.0

    def reply_received(self, reply: Reply) -> None:
        if reply == b"PONG":
            self.pinged = 0.0  # The reply while there is no subscription.
        elif not isinstance(reply, list) or not reply:
            self.abort()
        elif reply[0] == b"message":
            self._feed.message(reply[1], reply[2])
        elif reply[0] == b"subscribe":
            self._feed.confirmed(channel_of(reply[1]))
        elif reply[0] == b"pong":
            self.pinged = 0.0

    def ping(self, now: float) -> None:
        """Send a PING, unless the last one has no reply yet."""
        if not self.pinged:
            self.pinged = now
            self.write((b"PING",))

    def silent_for(self, now: float) -> float:
        return now - max(self.pinged, self.last_received) if self.pinged else 0.0

    def excuse(self, seconds: float) -> None:
        super().excuse(seconds)
        if self.pinged:
            self.pinged = min(self._loop.time(), self.pinged + seconds)


class Feed:
    """The subscriptions. They outlive the connection: a new one takes them all over.

    Args:
        loop: the event loop.
        listener: the receiver of events.
        database: the logical database of the events.
        complete: called when a new connection has confirmed every subscription. It has
            to call `restore` at a time when the log can be read.
        unreadable: gets the name of a channel whose message could not be read.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: Listener,
        database: int,
        complete: Callable[[], None],
        unreadable: Callable[[str], None] = lambda channel: None,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._unreadable = unreadable
        self._topics = topics(database)
        self._complete = complete
        self._wire: FeedWire | None = None
        # Channel → whether Redis has confirmed it on this connection.
        self._wanted: dict[str, bool] = {}
        self._unconfirmed = 0
        # Channel → how many SUBSCRIBEs are on their way. Only the last reply counts: an
        # UNSUBSCRIBE comes before it.
        self._sent: dict[str, int] = {}
        self._followers: dict[str, list[asyncio.Future[None]]] = {}
        self._joining: list[str] = []
        self._leaving: list[str] = []
        self.is_live = False

    def connected(self, wire: FeedWire) -> None:
        """Subscribe to all wanted channels on a new connection."""
        self._wire = wire
        self._unconfirmed = len(self._wanted)
        for name in self._wanted:
            self._wanted[name] = False
        self._subscribe(list(self._wanted))
        self._check_complete()

    @property
    def whole(self) -> bool:
        """Whether Redis has confirmed all wanted channels."""
        return self._wire is not None and not self._unconfirmed

    def restore(self) -> None:
        """Notify the listener that events arrive again."""
        self.is_live = True
        self._listener.restored()

    def lost(self) -> None:
        """The connection is lost: events arrive no more."""
        self._wire = None
        self._joining.clear()
        self._leaving.clear()
        self._sent.clear()
        followers, self._followers = self._followers, {}
        for futures in followers.values():
            for future in futures:
                if not future.done():
                    future.set_exception(StoreUnavailable(DISCONNECTED))
        if self.is_live:
            self.is_live = False
            self._listener.lost()

    async def follow(self, channel: str) -> None:
        """Subscribe to a channel, and wait until Redis has confirmed it.

        Raises:
            StoreUnavailable: there is no connection, or it was lost meanwhile.
        """
        if self._wire is None:
            raise StoreUnavailable(DISCONNECTED)
        if self._wanted.get(channel):
            return
        future = self._loop.create_future()
        self._followers.setdefault(channel, []).append(future)
        if channel not in self._wanted:
            self._wanted[channel] = False
            self._unconfirmed += 1
            if not self._joining:
                self._loop.call_soon(self._flush)
            self._joining.append(channel)
        await future

    def leave(self, channel: str) -> None:
        """Unsubscribe from a channel that has no reader here any more."""
        confirmed = self._wanted.pop(channel, None)
        if confirmed is None or self._wire is None:
            return
        if not confirmed:
            self._unconfirmed -= 1
        if not self._leaving:
            self._loop.call_soon(self._flush)
        self._leaving.append(channel)

    def confirmed(self, channel: str) -> None:
        """Redis has confirmed a subscription."""
        sent = self._sent.pop(channel, 1) - 1
        if sent:
            self._sent[channel] = sent
            return
        if self._wanted.get(channel) is False:
            self._wanted[channel] = True
            self._unconfirmed -= 1
        self._resolve(channel)
        self._check_complete()

    def _resolve(self, channel: str) -> None:
        for future in self._followers.pop(channel, ()):
            if not future.done():
                future.set_result(None)

    def message(self, subject: bytes, payload: bytes) -> None:
        """Pass a message of a channel to the listener: an event, or the deletion."""
        channel = channel_of(subject)
        if payload == DELETED:
            self._listener.forget(channel)
        else:
            try:
                event = unpack_message(channel, payload)
            except (ValueError, struct.error):
                # The sender has another version. An event of no epoch follows no tail, so the hub
                # reads the log.
                self._unreadable(channel)
                event = Event(channel, "", 0, b"")
            self._listener.wake(event)

    def _check_complete(self) -> None:
        if self.whole and not self.is_live:
            self._complete()

    def _flush(self) -> None:
        """Send what one turn of the loop has collected. A channel that left and came back stays."""
        joining, self._joining = self._joining, []
        leaving = [name for name in self._leaving if name not in self._wanted]
        self._leaving = []
        if self._wire is not None:
            for start in range(0, len(leaving), BATCH):
                names = leaving[start : start + BATCH]
                self._wire.write((b"UNSUBSCRIBE", *map(self._topic, names)))
            for name in joining:
                if name not in self._wanted:
                    self._resolve(name)  # It left before its SUBSCRIBE was sent.
            self._subscribe([name for name in dict.fromkeys(joining) if name in self._wanted])
            # The last one that was waited for may have left.
            self._check_complete()

    def _subscribe(self, names: list[str]) -> None:
        assert self._wire is not None
        for name in names:
            self._sent[name] = self._sent.get(name, 0) + 1
        for start in range(0, len(names), BATCH):
            self._wire.write((b"SUBSCRIBE", *map(self._topic, names[start : start + BATCH])))

    def _topic(self, channel: str) -> bytes:
        return self._topics + channel.encode()

    def __len__(self) -> int:
        return len(self._wanted)

    def __repr__(self) -> str:
        return f"<Feed of {len(self)} channels, {'live' if self.is_live else 'disconnected'}>"
