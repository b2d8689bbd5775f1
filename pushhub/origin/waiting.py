"""Waiting for a resource of the origin to change: a poll of the resource's channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.protocol.condition import Modified
from pushhub.protocol.cursor import Cursor, Start
from pushhub.protocol.page import Gap, Read
from pushhub.protocol.poll import AT_ONCE, Hint, Positions, Want
from pushhub.protocol.representation import Representation

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pushhub.origin.resource import Resource
    from pushhub.protocol.answer import Answer
    from pushhub.protocol.condition import Condition
    from pushhub.protocol.problem import Problem

# A representation is the whole of it: of several, the last counts.
_LIMIT = 10


class Waiting:
    """A poll of what comes next on a resource's channel, for who has what `condition` says.

    On a route with a `channel` of its own it hears that, too: an event there is no answer, but a
    reason to ask the origin.
    """

    __slots__ = ("condition", "resource", "variant", "wait", "wants")

    kind = "resource"

    def __init__(self, resource: Resource, condition: Condition, wait: int) -> None:
        self.resource = resource
        self.condition = condition
        self.wait: int | None = wait
        self.variant: Hashable = (condition, wait)
        self.wants: tuple[Want, ...] = (Want(resource.channel, Start.NOW, _LIMIT),)
        if resource.told_by is not None:
            self.wants += (Want(resource.told_by, Start.NOW, _LIMIT),)

    def answer(self, reads: Mapping[str, Read], hint: Hint = AT_ONCE) -> Answer | None:
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

    def nothing(self, at: Positions, hint: Hint) -> Answer:
        return self.resource.nothing(self.condition, self.wait, hint)

    def refuse(self, problem: Problem) -> Answer | None:
        if problem.slug != "deleted":
            return problem.answer()
        # The channel, not the resource: an operator deleted the route's, or another node its own.
        resource = self.resource
        if resource.log.alone(resource.alone_until):
            return resource.nothing(self.condition, self.wait, AT_ONCE)
        if resource.log.is_lost:
            # One look shows whether another node found that it cannot be shared.
            resource.notified()
        return None


def _moved(read: Read) -> bool:
    return isinstance(read, Gap) or bool(read.events)
