"""The holds of polls: each is registered on its channels, and waits for an event there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.hub.hold import Hold
from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from pushhub.http.response import Part, Response
    from pushhub.hub.hold import Driver
    from pushhub.hub.observer import HubObserver
    from pushhub.hub.stream import EventStream
    from pushhub.polls.base import Poll, Positions


class HoldOwner(Protocol):
    """The part of the hub that a hold calls."""

    observer: HubObserver | None

    def leave(self, hold: ChannelHold) -> None:
        """Take a hold off its channels and off the wheel."""

    def hurry(self, hold: ChannelHold) -> None:
        """Complete a parked hold with what there is, because its client sends another request."""

    def expire(self, hold: ChannelHold) -> None:
        """End the wait of a hold."""


class ChannelHold(Hold):
    """A poll that waits on its channels. `at` has its positions; None until its first read."""

    __slots__ = ("at", "hub", "parked", "poll", "tick")

    counted = True
    """Whether it counts towards the limit of parked requests."""
    tallied = True
    """Whether the statistics include its end and its events."""

    def __init__(self, hub: HoldOwner, poll: Poll) -> None:
        self.done = False
        self.driver = None
        self.reply = None
        self.caller = None
        self.hub = hub
        self.poll = poll
        self.at: Positions | None = None
        self.tick = OFF
        self.parked = 0.0

    def attach(self, driver: Driver) -> None:
        observer = self.hub.observer
        if observer is not None:
            observer.attached(self, driver)
        # As `Hold.attach`, without one more call for each poll.
        if self.reply is not None:
            reply, self.reply = self.reply, None
            driver.deliver(reply)
        elif not self.done:
            self.driver = driver

    def unregister(self, reply: Response | Part | EventStream | None) -> None:
        hub = self.hub
        observer = hub.observer
        if observer is not None:
            if reply is None:
                observer.dropped(self)
            else:
                observer.replied(self, reply)
        hub.leave(self)

    def hurry(self) -> bool:
        if self.at is None:
            # The first read is under way, so there is nothing to reply yet.
            return False
        self.hub.hurry(self)
        return True

    def expire(self) -> None:
        self.hub.expire(self)

    @property
    def waits(self) -> bool:
        return self.poll.wait is not None

    @property
    def is_parked(self) -> bool:
        return self.at is not None

    @property
    def channel_count(self) -> int:
        return len(self.poll.reads)

    def __repr__(self) -> str:
        state = "done" if self.done else "parked" if self.at else "reading"
        return f"<ChannelHold {state} on {', '.join(each.channel for each in self.poll.reads[:3])}>"


class InternalHold(ChannelHold):
    """A hold of the server itself, which is no client's request."""

    __slots__ = ()

    counted = False


class ConsoleHold(ChannelHold):
    """A read by the operator's console. The statistics leave it out, or the console would measure
    itself.
    """

    __slots__ = ()

    counted = False
    tallied = False
