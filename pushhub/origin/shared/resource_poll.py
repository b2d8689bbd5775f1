"""A wait for a resource to change: a poll of the resource's channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.log.cursor import Cursor, Start
from pushhub.log.read import Gap, Read
from pushhub.origin.shared.condition import Modified
from pushhub.origin.shared.representation import Representation
from pushhub.polls.base import NO_HINT, ChannelRead, Hint, Positions

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.http.problem import Problem
    from pushhub.http.response import Response
    from pushhub.origin.shared.condition import WaitCondition

# Clients of one resource mostly send the same: the newest tag, and the wait of their library.
MAX_POLLS = 16
# An event carries a whole representation: of several events, the last one counts.
_LIMIT = 10


class PolledResource(Protocol):
    """The part of a resource that its polls use."""

    @property
    def channel(self) -> str:
        """The channel on which nodes publish its representations."""

    @property
    def public_channel(self) -> str | None:
        """A channel of the route whose events say that the resource changed."""

    @property
    def passes_through(self) -> bool:
        """Whether its requests pass through at the moment, because it cannot be shared."""

    @property
    def missed_events(self) -> bool:
        """Whether events of its channel may be missing in memory."""

    def notified(self, claim: str = "") -> None:
        """The resource may have changed. `claim` names the notification."""

    def end_of_wait(self, condition: WaitCondition, wait: int | None, hint: Hint) -> Response:
        """The response at the end of a wait without a change."""


class ResourcePoll:
    """A poll of the next representation, for a client that has what `condition` says.

    On a route with a `channel` the poll reads that channel, too: an event there causes a fetch, and
    is no response.
    """

    __slots__ = ("condition", "reads", "resource", "variant", "wait")

    kind = "resource"

    def __init__(self, resource: PolledResource, condition: WaitCondition, wait: int) -> None:
        self.resource = resource
        self.condition = condition
        self.wait: int | None = wait
        self.variant: Hashable = (condition, wait)
        self.reads: tuple[ChannelRead, ...] = (ChannelRead(resource.channel, Start.NOW, _LIMIT),)
        if resource.public_channel is not None:
            self.reads += (ChannelRead(resource.public_channel, Start.NOW, _LIMIT),)

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Response | None:
        resource = self.resource
        public = resource.public_channel
        if public is not None and (read := reads.get(public)) and _has_news(read):
            resource.notified(f"{public}:{self.position(public, read)}")
        read = reads.get(resource.channel)
        if isinstance(read, Gap):
            # Events are missing; a fetch finds the current state.
            resource.notified()
        elif read is not None and read.events:
            representation = Representation.of(read.events[-1].data)
            # A date has whole seconds: an event during the wait is new even with the same date.
            if self.condition.is_new(representation) or isinstance(self.condition, Modified):
                return representation.response(self.wait, hint, events=1)
        return None

    def position(self, channel: str, read: Read) -> Cursor:
        if isinstance(read, Gap):
            return read.latest
        return read.events[-1].cursor if read.events else read.cursor

    def empty(self, at: Positions, hint: Hint) -> Response:
        return self.resource.end_of_wait(self.condition, self.wait, hint)

    def error(self, problem: Problem) -> Response | None:
        if problem.slug != "deleted":
            return problem.response()
        # The channel, and not the resource: an operator deleted the channel of the route, or
        # another node deleted the channel of the resource.
        resource = self.resource
        if resource.passes_through:
            return resource.end_of_wait(self.condition, self.wait, NO_HINT)
        if resource.missed_events:
            # A fetch shows whether another node found that the resource cannot be shared.
            resource.notified()
        return None


def _has_news(read: Read) -> bool:
    return isinstance(read, Gap) or bool(read.events)


class ResourcePolls:
    """The last polls of a resource: requests with the same condition and wait share one."""

    __slots__ = ("_polls", "_resource")

    def __init__(self, resource: PolledResource) -> None:
        self._resource = resource
        self._polls: dict[tuple[WaitCondition, int], ResourcePoll] = {}

    def get(self, condition: WaitCondition, wait: int) -> ResourcePoll:
        """The poll of a condition and a wait."""
        poll = self._polls.get((condition, wait))
        if poll is None:
            if len(self._polls) >= MAX_POLLS:
                self._polls.pop(next(iter(self._polls)))
            poll = self._polls[condition, wait] = ResourcePoll(self._resource, condition, wait)
        return poll

    def __repr__(self) -> str:
        return f"<ResourcePolls {len(self._polls)}>"
