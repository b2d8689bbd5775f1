"""The channel of a resource: one node publishes a change there, and all nodes receive it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.origin.shared.representation import Representation
from pushhub.store.base import (
    NO_VALUE,
    Append,
    Appended,
    Expect,
    Mismatch,
    Retention,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub
    from pushhub.log.cursor import Cursor
    from pushhub.store.base import Outcome

# How long a change stays in the log, in seconds. A node must not delete a channel on which requests
# of other nodes wait, and it may be killed; so age removes the change. The time is ten times the
# longest fetch by default (`origin_seconds`), during which the change of another node must be seen.
AGE_SECONDS = 600.0
RETENTION = Retention(events=1, age=AGE_SECONDS)
# How long a fetch waits for the log: half of the shortest wait, so that the origin has the other
# half. A log that works responds within milliseconds; one that hangs is noticed after seconds.
LOAD_SECONDS = 0.5
LATE = "The store does not respond in time."


class ResourceChannel:
    """The events that this node has received on a resource's channel.

    `position` is the end of the log up to which events were received; None while the node does not
    receive. The last event may belong to an older epoch than `position`, be deleted or aged: a
    channel without events keeps its offset. So a publish is conditional on the event, and never on
    the position.
    """

    __slots__ = ("_appended", "_hub", "_is_late", "_last", "name", "position", "published")

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub = hub
        self.name = name
        self.position: Cursor | None = None
        # The last event's own cursor; None where the channel has no event.
        self._last: Cursor | None = None
        # When it was appended, on the wall clock.
        self._appended = 0.0
        # Whether the log did not say in time where its end is.
        self._is_late = False
        self.published = False
        """Whether this node has published there, and so deletes the channel at the end."""

    @property
    def expected(self) -> Expect | None:
        """The condition of a publish: no other node has published since. None while the node does
        not receive, and knows nothing.
        """
        if self.position is None:
            return None
        if self._last is None or self._hub.clock() - self._appended > AGE_SECONDS:
            return NO_VALUE
        return Expect(frozenset({self._last}))

    def receive(self) -> Representation | bool:
        """The newest representation that another node has published; True if there is none. False
        if the node no longer receives events, so that its knowledge may be out of date.
        """
        channel = self._hub.channels.get(self.name)
        if channel is None or channel.tail is None:
            received, self.position = self.position is not None, None
            return not received
        before, tail = self.position, channel.tail
        end = tail.cursor
        if before is not None and end.epoch == before.epoch and end.offset <= before.offset:
            # An event of this node itself comes back a moment later.
            return True
        self.position = end
        self._last = tail.events[-1].cursor if tail.events else None
        self._appended = tail.events[-1].time / 1000 if tail.events else 0.0
        # An event from before the node began to receive may be old.
        if before is None or not tail.events:
            return True
        return Representation.of(tail.events[-1].data)

    @property
    def age(self) -> float:
        """The seconds since the last event was appended, by the wall clock."""
        return max(0.0, self._hub.clock() - self._appended)

    @property
    def is_lost(self) -> bool:
        """Whether the node received events, and memory has dropped the channel's tail since."""
        channel = self._hub.channels.get(self.name)
        return self.position is not None and (channel is None or channel.tail is None)

    async def wait_until_loaded(self) -> bool:
        """Wait until the end of the channel is known. From there on every change is received, and a
        fetch that begins now sees all changes that were published before. False if the log does not
        respond in time: requests wait for the origin, and not for the log.
        """
        hub = self._hub
        channel = hub.channels.get(self.name)
        self._is_late = False
        if channel is not None and channel.tail is None and not hub.feed_monitor.disconnected:
            try:
                async with asyncio.timeout(LOAD_SECONDS):
                    await hub.store_reads.loaded(channel)
            except TimeoutError:
                self._is_late = True
        return not self._is_late

    async def publish(self, representation: Representation, expected: Expect | None) -> Outcome:
        """Publish to all requests that wait, on all nodes, if `expected` still holds. A log that
        did not say its end in time gets nothing: the change of another node may be there.
        """
        if self._is_late:
            return StoreUnavailable(LATE)
        change = Append(self.name, representation.draft(), RETENTION, expected)
        (outcome,) = await self._hub.recorded(change)
        if isinstance(outcome, Appended):
            self.position = self._last = outcome.cursor
            self._appended = self._hub.clock()
            self.published = True
        elif isinstance(outcome, Mismatch):
            self._last, self._appended = outcome.last, self._hub.clock()
        return outcome

    def __repr__(self) -> str:
        return f"<ResourceChannel {self.name} up to {self.position}>"
