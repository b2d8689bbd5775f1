"""Wakes: an application says that a channel's endpoints may have another response, without data.

Each wake is an event of one channel of the hub's own, so it reaches all nodes, as notifications of
an origin's resources do (`origin/shared/notifications.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.api.publish import refusal
from pushhub.embedding.publisher import checked_channel
from pushhub.hub.subscription import Subscription
from pushhub.log.event import TEXT, Draft
from pushhub.store.base import Append, Appended, Retention

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.hub import Hub
    from pushhub.log.event import Event

CHANNEL = "$embedding:wakes"
# A node that was disconnected for longer runs every endpoint that waits again.
RETENTION = Retention(events=1000, age=300)


class Wakes:
    """The requests that wait on each channel of this node, and the wakes of all nodes."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._waiting: dict[str, dict[Callable[[], None], None]] = {}
        self._subscription = Subscription(hub, CHANNEL, self._receive, lost=self._wake_all)

    def open(self) -> None:
        """Begin to receive wakes."""
        self._subscription.start()

    def close(self) -> None:
        """Stop receiving wakes."""
        self._subscription.stop()

    def add(self, channel: str, wake: Callable[[], None]) -> None:
        """Call `wake` for each wake of a channel, until it is removed."""
        self._waiting.setdefault(channel, {})[wake] = None

    def remove(self, channel: str, wake: Callable[[], None]) -> None:
        """Call `wake` no more."""
        waiting = self._waiting.get(channel)
        if waiting is not None:
            waiting.pop(wake, None)
            if not waiting:
                del self._waiting[channel]

    async def notify(self, channel: str) -> None:
        """Wake the endpoints that wait on a channel, on all nodes.

        Raises:
            Problem: `bad-channel` or `store-unavailable`.
        """
        draft = Draft(checked_channel(channel).encode(), TEXT)
        (outcome,) = await self._hub.recorded(Append(CHANNEL, draft, RETENTION))
        if not isinstance(outcome, Appended):
            raise refusal(channel, outcome)

    def _receive(self, event: Event) -> None:
        for wake in list(self._waiting.get(event.data.decode(), ())):
            wake()

    def _wake_all(self) -> None:
        for waiting in list(self._waiting.values()):
            for wake in list(waiting):
                wake()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def __repr__(self) -> str:
        return f"<Wakes of {len(self._waiting)} channels>"
