"""The state of a resource on one node: the newest representation, and whether it is current."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.http.problem import Problem, retry_after
from pushhub.origin.shared.condition import Modified, Tags, modified_at
from pushhub.origin.shared.fetch_waiters import Unwaitable
from pushhub.origin.shared.fetcher import FetchFailed
from pushhub.origin.shared.poll_interval import PollInterval
from pushhub.origin.shared.representation import Representation
from pushhub.origin.shared.resource_channel import ResourceChannel
from pushhub.store.base import Mismatch, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.raw_response import RawResponse
    from pushhub.hub.hub import Hub
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.shared.wait_request import WaitRequest
    from pushhub.polls.base import Hint
    from pushhub.settings.route import Route
    from pushhub.store.base import Expect

# A client with one of so many former tags is given the newest representation. A former state has up
# to two tags.
MAX_PAST = 16


class StateOwner(Protocol):
    """The table of resources, as the state of one uses it."""

    hub: Hub
    uniform: Callable[[float, float], float]
    size: int


class ResourceState:
    """The newest representation, and how current it is.

    `newest` was fetched, or published by another node; None before the first. `verified` is when
    the origin, or a node that fetched from it, last said that it is current, on the hub's clock;
    minus infinity if that is not known. `unpublished` is a change that this node has fetched since
    and the log does not have: its publish is under way, or another node has published first.
    `events` is the channel of its changes, `interval` the pause between fetches, and `received`
    counts the bytes of all bodies that this node fetched.
    """

    __slots__ = (
        "_hub",
        "_owner",
        "_past",
        "events",
        "interval",
        "newest",
        "received",
        "unpublished",
        "verified",
    )

    def __init__(self, owner: StateOwner, route: Route, channel: str) -> None:
        self._owner = owner
        self._hub = owner.hub
        self.newest: Representation | None = None
        self.unpublished: Representation | None = None
        # Tags of former representations, the latest last.
        self._past: tuple[str, ...] = ()
        self.verified = float("-inf")
        self.received = 0
        self.events = ResourceChannel(owner.hub, channel)
        self.interval = PollInterval(route, owner.uniform)

    def receive(self) -> None:
        """Take over what other nodes have published."""
        received = self.events.receive()
        if isinstance(received, Representation):
            self._add(received)
            # This node reads the channel when a request comes, so the event may be old by then.
            self.verified = self._hub.now() - self.events.age
        elif not received:
            self.verified = float("-inf")

    async def update(
        self,
        representation: Representation,
        expected: Expect | None,
        begun: float,
        *,
        scheduled: bool,
    ) -> Mismatch | StoreError | None:
        """Make a fetched representation the newest, and publish it if it is a change. A mismatch
        says that another node has published since the fetch began.
        """
        newest = self.newest
        self.received += len(representation.body)
        changed = newest is not None and representation.tag != newest.tag
        if changed:
            representation.always_new = self.interval.is_always_new(int(scheduled))
            self._keep(newest, representation)
            outcome = await self.events.publish(representation, expected)
            if isinstance(outcome, Mismatch | StoreError):
                # Clients receive the change, and must not get the state before from memory.
                self.verified = float("-inf")
                if isinstance(outcome, StoreError):
                    problem = store_problem(outcome.public)
                    self.interval.failed(FetchFailed(problem))
                return outcome
        self._add(representation)
        self.verified = begun
        self.interval.succeeded(changed=changed, scheduled=scheduled)
        return None

    def confirm(self, begun: float, *, scheduled: bool) -> None:
        """A fetch that began at `begun` has found that the newest representation is current."""
        self._keep(self.newest, None)
        self.verified = begun
        self.interval.succeeded(changed=False, scheduled=scheduled)

    def _add(self, representation: Representation) -> None:
        before = self.newest
        if before is not None:
            left = {before.tag, before.own_tag} - {representation.tag, representation.own_tag, ""}
            self._past = (*self._past, *sorted(left))[-MAX_PAST:]
        self._keep(representation, None)

    def _keep(self, newest: Representation | None, unpublished: Representation | None) -> None:
        self._owner.size -= self.size
        self.newest, self.unpublished = newest, unpublished
        self._owner.size += self.size

    def is_fresh(self, step: str, now: float, stretched: float = 0.0) -> bool:
        """Whether the newest representation counts as current without a fetch. `stretched` is the
        shortest interval of the origin at present.
        """
        if self.interval.is_retrying or self.events.position is None:
            return False
        if step == "notify":
            return self.verified > float("-inf")
        return now - self.verified <= self.interval.freshness(stretched)

    def end_of_wait(
        self, condition: WaitCondition, wait: int | None, hint: Hint, nothing: str
    ) -> RawResponse | None:
        """The response at the end of a wait; None if this node cannot say what is current.
        `nothing` is the route's setting for a wait without a change.
        """
        # Another node may have published since the last fetch of this one.
        self.receive()
        latest = self.latest
        if latest is None:
            return None
        if condition.is_new(latest):
            if not self._replaced(condition):
                return None
            return latest.response(wait if can_revalidate(condition, latest) else None, hint)
        match nothing:
            case "same" if wait is not None:
                return latest.repeated(wait, hint)
            case "204":
                return latest.unchanged(wait, hint, 204)
        return latest.unchanged(wait, hint)

    def _replaced(self, condition: WaitCondition) -> bool:
        """Whether a client's representation is older than the latest. A tag that this node has
        never seen may belong to a newer one.
        """
        if not isinstance(condition, Tags) or not condition.tags.isdisjoint(self._past):
            return True
        return self.newest is not None and not condition.is_new(self.newest)

    @property
    def latest(self) -> Representation | None:
        """What the origin, or a node that fetched from it, said last, also if the log does not have
        it.
        """
        return self.newest if self.unpublished is None else self.unpublished

    @property
    def size(self) -> int:
        """Bytes of the bodies that are kept."""
        kept = (self.newest, self.unpublished)
        return sum(len(representation.body) for representation in kept if representation)

    def __repr__(self) -> str:
        return f"<ResourceState {self.newest!r}>"


def fetched_response(
    fetched: Representation | Unwaitable, wait_request: WaitRequest
) -> RawResponse:
    """The response to a request that waited for a fetch with this result."""
    wait, condition = wait_request.wait, wait_request.condition
    if isinstance(fetched, Unwaitable):
        representation, wait = fetched.representation, None
    else:
        representation = fetched
    if wait is None and condition is not None and not condition.is_new(representation):
        return representation.unchanged()
    failed = representation.status == 429 or representation.status >= 500
    waits = not failed and can_revalidate(condition, representation)
    return representation.response(wait if waits else None)


def can_revalidate(condition: WaitCondition | None, representation: Representation) -> bool:
    """Whether a client that has this representation can say so by the same kind of condition. A
    representation without `Last-Modified` cannot be named by a date.
    """
    return not isinstance(condition, Modified) or modified_at(representation) is not None


def store_problem(detail: str) -> Problem:
    """The problem of a change that the store did not take."""
    return Problem("store-unavailable", detail, headers=(retry_after(1),))
