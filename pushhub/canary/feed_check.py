"""The check of the store's feed: events of all processes arrive without a read of the log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.canary.listener import CHANNEL
from pushhub.canary.sequence import EventSequence
from pushhub.hub.subscription import Subscription, UncountedHold
from pushhub.log.cursor import Cursor
from pushhub.log.read import MAX_RESPONSE_EVENTS, Page

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub
    from pushhub.log.event import Event


class FeedCheck:
    """One subscription of the hub waits between the rounds, and costs nothing there. Each round
    compares it with the log: an event in the log that has not arrived means that the feed has lost
    it, although a later event would make the hub read it.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._arrived = asyncio.Event()
        self._begun = False
        self.sequence = EventSequence()
        self._subscription = Subscription(
            hub, CHANNEL, self._take, lost=self._lost, kind=UncountedHold
        )

    async def run(self) -> None:
        """Compare the events that arrived with the log.

        Raises:
            StoreError: the log cannot be read.
        """
        subscription = self._subscription
        if not self._begun:
            await subscription.begin()
            self._begun = True
            if isinstance(subscription.since, Cursor):
                self.sequence.begin(subscription.since)
        since = subscription.since
        assert isinstance(since, Cursor)
        read = await self._hub.store.read(CHANNEL, since, MAX_RESPONSE_EVENTS)
        # Of a gap the subscription is told, too.
        if isinstance(read, Page):
            await self._reach(read.cursor)

    async def _reach(self, cursor: Cursor) -> None:
        """Wait until the events up to `cursor` have arrived."""
        while not self._has(cursor):
            self._arrived.clear()
            await self._arrived.wait()

    def _has(self, cursor: Cursor) -> bool:
        since = self._subscription.since
        assert isinstance(since, Cursor)
        return since.epoch != cursor.epoch or since.offset >= cursor.offset

    def _take(self, event: Event) -> None:
        self.sequence.take(event.cursor)
        self._arrived.set()

    def _lost(self) -> None:
        self.sequence.gap()
        self._arrived.set()

    def close(self) -> None:
        """Stop to follow the channel."""
        self._subscription.stop()
