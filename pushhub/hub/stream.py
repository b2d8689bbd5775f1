"""A stream is a loop of holds: an opening answer, then part after part, each from a poll of its
own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.http.response import Part, Response
from pushhub.polls.base import Poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.response import Reply
    from pushhub.hub.hold import Hold


class StreamPoll(Poll, Protocol):
    """A poll of which there is a next one."""

    def turn(self, part: Part) -> StreamPoll:
        """The poll that goes on where `part` left the reader."""


class PollReader(Protocol):
    """The part of the hub that a stream calls."""

    clock: Callable[[], float]
    now: Callable[[], float]

    def hold(self, poll: Poll) -> Reply | Hold:
        """Answer a poll now, or return the hold that the reply will complete."""


class EventStream:
    """What a driver needs to stream: write `opening`, then ask for one step after the other.

    The driver asks when the last part has left its buffer, so a slow reader is read for slowly and
    nothing piles up.
    """

    __slots__ = ("begun", "expires", "hub", "opening", "poll")

    def __init__(
        self, hub: PollReader, opening: Response, poll: StreamPoll, expires: float | None = None
    ) -> None:
        self.hub = hub
        # Each turn is a hold of its own; the reader has been here since then.
        self.begun = hub.now()
        self.opening = opening
        self.poll = poll
        self.expires = expires

    def leave(self) -> None:
        """The reader has gone while nothing was awaited: it was slow to read. (Else the hold that
        is awaited is dropped.)
        """

    def next(self, written: Part | None) -> Part | Hold | None:
        """The step after `written`: a part to write, a hold that will be completed with one, or
        None at the end.
        """
        if written is not None:
            if written.last:
                return None
            self.poll = self.poll.turn(written)
        if self.expires is not None and self.hub.clock() >= self.expires:
            # The token that opened the stream is no longer good; the reader comes back with a new
            # one.
            return None
        step = self.hub.hold(self.poll)
        assert not isinstance(step, Response), "a poll of a stream is answered with parts"
        return step
