"""Waiting for a resource of the origin to change: a poll of the resource's channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from pushhub.origin.shared.resource import Resource

# A representation is the whole of it: of several, the last counts.
_LIMIT = 10


class ResourcePoll:
    """A poll of what comes next on a resource's channel, for who has what `condition` says.

    On a route with a `channel` of its own it hears that, too: an event there is no answer, but a
    reason to ask the origin.
    """

    __slots__ = ("condition", "reads", "resource", "variant", "wait")

    kind = "resource"

    def __init__(self, resource: Resource, condition: WaitCondition, wait: int) -> None:
        self.resource = resource
        self.condition = condition
        self.wait: int | None = wait
        self.variant: Hashable = (condition, wait)
        self.reads: tuple[ChannelRead, ...] = (ChannelRead(resource.channel, Start.NOW, _LIMIT),)
        if resource.told_by is not None:
            self.reads += (ChannelRead(resource.told_by, Start.NOW, _LIMIT),)

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Response | None:
        resource = self.resource
        if resource.told_by is not None and (read := reads.get(resource.told_by)) and _moved(read):
            resource.notified(f"{resource.told_by}:{self.position(resource.told_by, read)}")
        read = reads.get(resource.channel)
        if isinstance(read, Gap):
            # Whatever was missed, the origin knows what is true now.
            resource.notified()
        elif read is not None and read.events:
            representation = Representation.of(read.events[-1].data)
            # A date has whole seconds: what is published during the wait is new all the same.
            if self.condition.is_new(representation) or isinstance(self.condition, Modified):
                return representation.answer(self.wait, hint, events=1)
        return None

    def position(self, channel: str, read: Read) -> Cursor:
        if isinstance(read, Gap):
            return read.latest
        return read.events[-1].cursor if read.events else read.cursor

    def empty(self, at: Positions, hint: Hint) -> Response:
        return self.resource.nothing(self.condition, self.wait, hint)

    def error(self, problem: Problem) -> Response:
        if problem.slug == "deleted":
            # The channel, not the resource: whoever published there thought that nobody waits.
            return self.resource.nothing(self.condition, self.wait, NO_HINT)
        return problem.response()


def _moved(read: Read) -> bool:
    return isinstance(read, Gap) or bool(read.events)
