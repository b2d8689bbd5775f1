"""The holds of polls: each is registered on its channels, and waits for an event there."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from pushhub.http.response import Part
from pushhub.hub.hold import Hold
from pushhub.hub.jitter import RETRY_MS
from pushhub.hub.wheel import OFF
from pushhub.polls.base import Hint, grant_ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.response import Response
    from pushhub.hub.hold import Driver
    from pushhub.hub.jitter import Jitter
    from pushhub.hub.observer import HubObserver
    from pushhub.hub.stats import Stats
    from pushhub.hub.stream import EventStream
    from pushhub.log.grant import Grant
    from pushhub.polls.base import Poll, Positions


# So long before its grant expires a wait ends: the wheel is up to a tick (0.1 s) late, as is its
# timer.
EARLY_SECONDS = 0.2


def last_reply(poll: Poll, at: Positions, jitter: Jitter) -> Response | Part:
    """The reply that ends a wait without an event, and a stream; the client continues from its
    cursor.
    """
    reply = poll.empty(at, Hint(jitter.draw(RETRY_MS)))
    return replace(reply, last=True) if isinstance(reply, Part) else reply


class HoldOwner(Protocol):
    """The part of the hub that a hold calls."""

    clock: Callable[[], float]
    jitter: Jitter
    now: Callable[[], float]
    observer: HubObserver | None
    stats: Stats

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
    latest = math.inf
    """The latest deadline, on the hub's clock."""
    outlives_drain = False
    """Whether it waits on while the hub drains, until the hub closes."""

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


class GrantedHold(ChannelHold):
    """A hold that rests on a grant that can end. The wait ends shortly before the grant expires,
    and no event is delivered after the end, however late the hold completes.
    """

    __slots__ = ("grant", "latest")

    def __init__(self, hub: HoldOwner, poll: Poll, grant: Grant) -> None:
        super().__init__(hub, poll)
        self.grant = grant
        if grant.expires is None:
            self.latest = math.inf
        else:
            self.latest = hub.now() + (grant.expires - hub.clock()) - EARLY_SECONDS

    def complete(self, reply: Response | Part | EventStream) -> bool:
        if self.done or not self.grant.has_ended(self.hub.clock()):
            return Hold.complete(self, reply)
        if Hold.complete(self, self._last_reply()):
            self.hub.stats.completed_by_rights += self.tallied
        return False  # The reply was not written.

    def expire(self) -> None:
        if self.grant.has_ended(self.hub.clock()):
            self.complete(self._last_reply())
        else:
            self.hub.expire(self)

    def _last_reply(self) -> Response | Part:
        """The reply after the grant has ended. After a reload it is an empty one: the client may
        still read, and its next request is authorised by the new settings.
        """
        grant, at = self.grant, self.at
        if at is not None and grant.has_only_lost_key(self.hub.clock()):
            return last_reply(self.poll, at, self.hub.jitter)
        refusal = self.poll.error(grant_ended(grant))
        assert refusal is not None, "a poll may wait on after a delete only"
        return refusal


class InternalHold(ChannelHold):
    """A hold of the server itself, which is no client's request."""

    __slots__ = ()

    counted = False


class ConsoleHold(GrantedHold):
    """A read by the operator's console. The statistics leave it out, or the console would measure
    itself.
    """

    __slots__ = ()

    counted = False
    tallied = False
