"""The channel of a resource: where one node publishes what it found, and all nodes receive it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.protocol.representation import Representation
from pushhub.store.base import NO_VALUE, Append, Appended, Expect, Mismatch, Retention, append

if TYPE_CHECKING:
    from pushhub.hub.hub import Hub
    from pushhub.protocol.cursor import Cursor
    from pushhub.store.base import Outcome, StoreError

# How long a change stays in the log, in seconds. A node must not delete what others wait for, and
# it may be killed: so age does it. Ten times the longest fetch by default (`origin_seconds`), in
# which the change of another node has to be seen.
AGE_SECONDS = 600.0
RETENTION = Retention(events=1, age=AGE_SECONDS)


class ResourceChannel:
    """What this node has received on a resource's channel.

    `position` is the end of the log up to which events were received; None while the node does not
    listen there. The last event may be of an older epoch than `position`, deleted or aged: a
    channel without events keeps its offset. So a publish is conditional on the event, and never on
    the position.
    """

    __slots__ = ("_appended", "_hub", "_last", "name", "position", "published")

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub = hub
        self.name = name
        self.position: Cursor | None = None
        # The last event's own cursor; None where the channel has no event.
        self._last: Cursor | None = None
        # When it was appended, on the wall clock.
        self._appended = 0.0
        self.published = False
        """Whether this node has published there, and so deletes the channel at the end."""

    @property
    def expected(self) -> Expect | None:
        """The condition of a publish: no other node has published since. None while the node does
        not listen, and nothing is known.
        """
        if self.position is None:
            return None
        if self._last is None or self._hub.clock() - self._appended > AGE_SECONDS:
            return NO_VALUE
        return Expect(frozenset({self._last}))

    def receive(self) -> Representation | bool:
        """Take in what other nodes have published: the newest representation; True if there is
        nothing new; False if the node listens no longer, so that nothing that it knows stays true.
        """
        channel = self._hub.shelf.get(self.name)
        if channel is None or channel.tail is None:
            listened, self.position = self.position is not None, None
            return not listened
        before, tail = self.position, channel.tail
        end = tail.cursor
        if before is not None and end.epoch == before.epoch and end.offset <= before.offset:
            # What this node has published itself comes back a moment later.
            return True
        self.position = end
        self._last = tail.events[-1].cursor if tail.events else None
        self._appended = tail.events[-1].time / 1000 if tail.events else 0.0
        # What was there when the node began to listen may be of long ago.
        if before is None or not tail.events:
            return True
        return Representation.of(tail.events[-1].data)

    def alone(self, until: float) -> bool:
        """Whether it is before `until`, up to when the resource is not shared."""
        return until > self._hub.now()

    @property
    def is_lost(self) -> bool:
        """Whether the node listened, and memory has dropped the channel since."""
        channel = self._hub.shelf.get(self.name)
        return self.position is not None and (channel is None or channel.tail is None)

    async def listen(self) -> None:
        """Wait until it is known where the channel ends: from there on every change is received,
        and a look that begins now sees what was published before.
        """
        hub = self._hub
        channel = hub.shelf.get(self.name)
        if channel is not None and channel.tail is None and not hub.doubt.deaf:
            loaded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def done(error: StoreError | None) -> None:
                if not loaded.done():
                    loaded.set_result(None)

            hub.ask_tail(channel, done)
            await loaded

    async def publish(self, representation: Representation, expected: Expect | None) -> Outcome:
        """Tell all who wait, on all nodes, if `expected` still holds."""
        told = Append(self.name, representation.draft(), RETENTION, expected)
        (outcome,) = await append(self._hub.store, told)
        if isinstance(outcome, Appended):
            self.position = self._last = outcome.cursor
            self._appended = self._hub.clock()
            self.published = True
        elif isinstance(outcome, Mismatch):
            self._last, self._appended = outcome.last, self._hub.clock()
        return outcome

    def __repr__(self) -> str:
        return f"<ResourceChannel {self.name} up to {self.position}>"
