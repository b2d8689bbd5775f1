"""The channel of a resource: one node publishes a change there, and all nodes receive it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.origin.shared.representation import Representation
from pushhub.store.base import NO_VALUE, REGISTER, Append, Appended, Expect, Mismatch

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub
    from pushhub.log.cursor import Cursor
    from pushhub.store.base import Outcome, StoreError


class ResourceChannel:
    """What this node has received on a resource's channel.

    `position` is the end of the log up to which events were received; None while the node does not
    receive. The last event may belong to an older epoch than `position`, or be deleted: a channel
    that was forgotten keeps its offset and has no event. So a publish is conditional on the
    event, and never on the position.
    """

    __slots__ = ("_hub", "_last", "name", "position", "published")

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub = hub
        self.name = name
        self.position: Cursor | None = None
        # The last event's own cursor; None where the channel has no event.
        self._last: Cursor | None = None
        self.published = False
        """Whether this node has published there."""

    @property
    def expected(self) -> Expect | None:
        """The condition of a publish: no other node has published since. None while the node does
        not receive, and knows nothing.
        """
        if self.position is None:
            return None
        return NO_VALUE if self._last is None else Expect(frozenset({self._last}))

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
        # An event from before the node began to receive may be old.
        if before is None or not tail.events:
            return True
        return Representation.of(tail.events[-1].data)

    async def wait_until_loaded(self) -> None:
        """Wait until the end of the channel is known. From there on every change is received, and a
        fetch that begins now sees all changes that were published before.
        """
        hub = self._hub
        channel = hub.channels.get(self.name)
        if channel is not None and channel.tail is None and not hub.feed_monitor.disconnected:
            loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def done(error: StoreError | None) -> None:
                if not loaded.done():
                    loaded.set_result(None)

            hub.store_reads.load_tail(channel, done)
            await loaded

    async def publish(self, representation: Representation, expected: Expect | None) -> Outcome:
        """Publish to all requests that wait, on all nodes, if `expected` still holds."""
        change = Append(self.name, representation.draft(), REGISTER, expected)
        (outcome,) = await self._hub.recorded(change)
        if isinstance(outcome, Appended):
            self.position = self._last = outcome.cursor
            self.published = True
        elif isinstance(outcome, Mismatch):
            self._last = outcome.last
        return outcome

    def __repr__(self) -> str:
        return f"<ResourceChannel {self.name} up to {self.position}>"
