"""Several observers as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.response import Part, Response
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.hold import Driver
    from pushhub.hub.observer import HubObserver
    from pushhub.hub.stream import EventStream
    from pushhub.log.event import Event
    from pushhub.store.base import Append, Outcome


class HubObservers:
    """The observers of a hub that has more than one, in the order in which they came."""

    __slots__ = ("members",)

    def __init__(self, members: tuple[HubObserver, ...]) -> None:
        self.members = members

    def polled(self, hold: ChannelHold) -> None:
        for member in self.members:
            member.polled(hold)

    def attached(self, hold: ChannelHold, driver: Driver) -> None:
        for member in self.members:
            member.attached(hold, driver)

    def parked(self, hold: ChannelHold) -> None:
        for member in self.members:
            member.parked(hold)

    def replied(self, hold: ChannelHold, reply: Response | Part | EventStream) -> bool:
        # Each member is called, whatever the others request.
        replies = [member.replied(hold, reply) for member in self.members]
        return any(replies)

    def dropped(self, hold: ChannelHold) -> None:
        for member in self.members:
            member.dropped(hold)

    def published(
        self, appends: list[Append], done: Callable[[list[Outcome]], None]
    ) -> tuple[list[Append], Callable[[list[Outcome]], None]]:
        for member in self.members:
            appends, done = member.published(appends, done)
        return appends, done

    def woken(self, event: Event, holds: int) -> Callable[[int], None] | None:
        ends = [end for member in self.members if (end := member.woken(event, holds)) is not None]
        if not ends:
            return None

        def ended(completed: int) -> None:
            for end in ends:
                end(completed)

        return ended


class Observed(Protocol):
    """The hub, as far as it is observed."""

    observer: HubObserver | None


def observe(hub: Observed, observer: HubObserver) -> None:
    """Let a hub call one more observer. A second call has no effect."""
    members = _members(hub)
    if observer not in members:
        _set(hub, (*members, observer))


def unobserve(hub: Observed, observer: HubObserver) -> None:
    """Let a hub call an observer no more."""
    _set(hub, tuple(each for each in _members(hub) if each is not observer))


def _members(hub: Observed) -> tuple[HubObserver, ...]:
    observer = hub.observer
    if isinstance(observer, HubObservers):
        return observer.members
    return () if observer is None else (observer,)


def _set(hub: Observed, members: tuple[HubObserver, ...]) -> None:
    if len(members) > 1:
        hub.observer = HubObservers(members)
    else:
        hub.observer = members[0] if members else None
