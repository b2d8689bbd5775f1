"""The interface of an object that watches a hub: a trace, or metrics that are no plain counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.response import Part, Response
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.hold import Driver
    from pushhub.hub.stream import EventStream
    from pushhub.log.event import Event
    from pushhub.store.base import Append, Outcome


class HubObserver(Protocol):
    """The methods that a hub calls on its `observer`, synchronously and in the order of events.
    `observe` sets it; several observers are one `HubObservers`.

    A hub without an observer compares one attribute with None at each of these places.
    """

    def polled(self, hold: ChannelHold) -> None:
        """A poll begins; nothing was read for its hold."""

    def attached(self, hold: ChannelHold, driver: Driver) -> None:
        """A driver takes over a hold: `driver` knows the client."""

    def parked(self, hold: ChannelHold) -> None:
        """A hold waits, at the positions `hold.at`."""

    def replied(self, hold: ChannelHold, reply: Response | Part | EventStream) -> bool:
        """A hold has its reply. For a poll that never waited the result counts: True makes the hub
        return the completed hold in place of the reply, so that `attached` follows with its driver.
        """

    def dropped(self, hold: ChannelHold) -> None:
        """The client of a hold disconnected before the reply."""

    def published(
        self, appends: list[Append], done: Callable[[list[Outcome]], None]
    ) -> tuple[list[Append], Callable[[list[Outcome]], None]]:
        """A publish begins. The store gets the resulting appends, which may differ from the given
        ones in their trace context only, and calls the result in place of `done`; it must call
        `done`.
        """

    def woken(self, event: Event, holds: int) -> Callable[[int], None] | None:
        """An event is in the log; `holds` wait on its channel. If there are any, the result is
        called at the end of the fan-out, with the number of holds that it completed.
        """
