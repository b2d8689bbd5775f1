"""What pushhub itself listens to: channels of its own that no reader asks for, such as the wishes
of an operator's console.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.protocol.event import Event
    from pushhub.store.base import Store


class Ears:
    """Who hears which channel. The store's subscriptions outlive its connection, so nobody has to
    ask again after an outage; what is told meanwhile is lost, and whoever tells says it again.
    """

    __slots__ = ("_hears", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hears: dict[str, Callable[[Event], None]] = {}

    async def listen(self, channel: str, hear: Callable[[Event], None]) -> None:
        """From now on `hear` gets every event of `channel`, which no poll reads.

        Raises:
            StoreUnavailable: the store cannot say yet what happens there.
        """
        self._hears[channel] = hear
        await self._store.tail(channel, 1)

    def wake(self, event: Event) -> None:
        """Pass on an event of a channel that nobody reads."""
        hear = self._hears.get(event.channel)
        if hear is not None:
            hear(event)

    def __repr__(self) -> str:
        return f"<Ears for {', '.join(self._hears) or 'nothing'}>"
