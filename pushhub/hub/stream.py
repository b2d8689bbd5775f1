"""A stream is a loop of holds: an opening response, then parts, each from its own poll."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from pushhub.http.response import Part, Response
from pushhub.hub.jitter import JITTER, RETRY_MS
from pushhub.log.grant import EVERYTHING
from pushhub.polls.base import Hint, Poll, grant_ended, no_longer_public

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.problem import Problem
    from pushhub.http.response import Reply
    from pushhub.hub.closed_channels import ClosedChannels
    from pushhub.hub.hold import Hold
    from pushhub.hub.jitter import Jitter
    from pushhub.log.grant import Grant


class StreamPoll(Poll, Protocol):
    """A poll of a stream: it has a next one."""

    def error(self, problem: Problem) -> Part:
        """The last part of the stream, if the channel was deleted or the grant has ended."""

    def turn(self, part: Part) -> StreamPoll:
        """The poll from the reader's position after `part`."""


class PollReader(Protocol):
    """The part of the hub that a stream calls."""

    clock: Callable[[], float]
    closed: ClosedChannels
    jitter: Jitter
    now: Callable[[], float]

    def hold(self, poll: Poll, *, grant: Grant) -> Reply | Hold:
        """Reply to a poll now, or return the hold that the reply will complete."""


class EventStream:
    """A response in parts: a driver writes `opening`, and then calls `next` for each step.

    The driver calls it when the last part has left its buffer. So a slow reader slows its own
    reads, and no parts pile up.

    Args:
        seconds: the age at which the stream ends between two events, up to 20 % earlier at random;
            its client comes back with its position. So no stream of a proxy that was reloaded is
            old enough to be cut.
    """

    __slots__ = ("begun", "grant", "hub", "opening", "poll", "until")

    def __init__(
        self,
        hub: PollReader,
        opening: Response,
        poll: StreamPoll,
        grant: Grant = EVERYTHING,
        seconds: float = math.inf,
    ) -> None:
        self.hub = hub
        share = hub.jitter.draw((round(1000 * (1 - JITTER)), 1000)) / 1000
        self.until = hub.now() + share * seconds
        # Each turn has its own hold; this is the time of the first.
        self.begun = hub.now()
        self.opening = opening
        self.poll = poll
        self.grant = grant

    def leave(self) -> None:
        """The client has disconnected between two steps, because it was slow to read. (During a
        step its hold is dropped.)
        """

    def next(self, written: Part | None) -> Part | Hold | None:
        """The step after `written`: a part to write, a hold that will be completed with one, or
        None at the end.
        """
        if written is not None:
            if written.last:
                return None
            self.poll = self.poll.turn(written)
        grant, hub = self.grant, self.hub
        if written is not None and hub.now() >= self.until:
            end = self.poll.empty({}, Hint(hub.jitter.draw(RETRY_MS)))
            assert isinstance(end, Part)
            return end
        if grant.can_end and grant.has_ended(hub.clock()):
            return self.poll.error(grant_ended(self.grant))
        closed = hub.closed
        if closed and closed.refuse(self.poll, self.begun, grant, hub.clock()):
            return self.poll.error(no_longer_public())
        step = hub.hold(self.poll, grant=grant)
        assert not isinstance(step, Response), "the reply to a poll of a stream is a part"
        return step
