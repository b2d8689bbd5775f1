"""Several observers of endpoints as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.api.endpoints import Decision, EndpointObserver, Endpoints
    from pushhub.http.request import Request


class EndpointObservers:
    """The observers of endpoints that have more than one, in the order in which they came."""

    __slots__ = ("members",)

    def __init__(self, members: tuple[EndpointObserver, ...]) -> None:
        self.members = members

    def received(self, request: Request) -> None:
        for member in self.members:
            member.received(request)

    def decided(self, request: Request, decision: Decision) -> None:
        for member in self.members:
            member.decided(request, decision)


def observe(endpoints: Endpoints, observer: EndpointObserver) -> None:
    """Let endpoints call one more observer. A second call has no effect."""
    members = _members(endpoints)
    if observer not in members:
        _set(endpoints, (*members, observer))


def unobserve(endpoints: Endpoints, observer: EndpointObserver) -> None:
    """Let endpoints call an observer no more."""
    _set(endpoints, tuple(each for each in _members(endpoints) if each is not observer))


def _members(endpoints: Endpoints) -> tuple[EndpointObserver, ...]:
    observer = endpoints.observer
    if isinstance(observer, EndpointObservers):
        return observer.members
    return () if observer is None else (observer,)


def _set(endpoints: Endpoints, members: tuple[EndpointObserver, ...]) -> None:
    if len(members) > 1:
        endpoints.observer = EndpointObservers(members)
    else:
        endpoints.observer = members[0] if members else None
