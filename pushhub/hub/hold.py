"""A parked request. It completes exactly once, whoever comes first, or is dropped when its client
goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from pushhub.http.response import Part, Response
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream
    from pushhub.polls.base import Poll, Positions


class Driver(Protocol):
    """Who writes what a hold is completed with."""

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """Write it. Called once for each hold, on the loop's thread; it must not raise."""


class Hold:
    """A request whose answer comes later: from the log, a deadline, a store commit, an auth check
    or a drain.
    """

    __slots__ = ("done", "driver", "reply")

    def __init__(self) -> None:
        self.done = False
        self.driver: Driver | None = None
        self.reply: Response | Part | EventStream | None = None

    def attach(self, driver: Driver) -> None:
        """Name who writes the answer. If it is there already, it is written at once."""
        if self.reply is not None:
            reply, self.reply = self.reply, None
            driver.deliver(reply)
        elif not self.done:
            self.driver = driver

    def complete(self, reply: Response | Part | EventStream) -> bool:
        """Answer the request; False if that was done before, or the client is gone."""
        if self.done:
            return False
        self.done = True
        self.release()
        driver = self.driver
        if driver is None:
            self.reply = reply
        else:
            self.driver = None
            driver.deliver(reply)
        return True

    def hurry(self) -> bool | None:
        """Its connection has sent a newer request: be answered with what there is. False if that
        cannot be said yet, None if this waits for something that must be awaited.
        """
        return None

    def drop(self) -> None:
        """The client has gone. Whatever comes now is for nobody."""
        if not self.done:
            self.done = True
            self.driver = None
            self.release()

    def release(self) -> None:
        """Let go of whatever would have completed it."""

    @property
    def waits(self) -> bool:
        """Whether it waits for news: a client that stops sending in the middle of it has gone."""
        return False


class ChainedHold(Hold):
    """A hold that first waits for leave to run a face, and then for what the face returns."""

    __slots__ = ("_leader",)

    def __init__(self) -> None:
        super().__init__()
        self._leader: Hold | None = None

    def follow(self, outcome: Response | Hold | EventStream) -> None:
        """Be completed with what a face returned: now, or when that is."""
        if isinstance(outcome, Hold):
            self._leader = outcome
            outcome.attach(self)
        else:
            self.complete(outcome)

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """The face's own hold has its answer: a follower is a driver too."""
        self._leader = None
        self.complete(reply)

    def release(self) -> None:
        leader, self._leader = self._leader, None
        if leader is not None:
            leader.drop()


class ChannelHold(Hold):
    """A poll that waits on its channels. `at` is where it stands in each; None until it has been
    read for.
    """

    __slots__ = ("at", "hub", "parked", "poll", "tick")

    counted = True
    """Whether it is a request, and so one of those of which there may be so many."""
    tallied = True
    """Whether its end and its events are part of the statistics."""

    def __init__(self, hub: Hub, poll: Poll) -> None:
        self.done = False
        self.driver = None
        self.reply = None
        self.hub = hub
        self.poll = poll
        self.at: Positions | None = None
        self.tick = OFF
        self.parked = 0.0

    def release(self) -> None:
        self.hub.leave(self)

    def hurry(self) -> bool:
        if self.at is None:
            # Its first read is not back yet, so there is nothing to release it with.
            return False
        self.hub.release(self)
        return True

    def expire(self) -> None:
        self.hub.expire(self)

    @property
    def waits(self) -> bool:
        return self.poll.wait is not None

    def __repr__(self) -> str:
        state = "done" if self.done else "parked" if self.at else "reading"
        return f"<Parked {state} on {', '.join(want.channel for want in self.poll.wants[:3])}>"


class InternalHold(ChannelHold):
    """A hold of pushhub's own, which is nobody's request."""

    __slots__ = ()

    counted = False


class ConsoleHold(ChannelHold):
    """A read by the operator's console. The statistics leave it out: the console would measure
    itself.
    """

    __slots__ = ()

    counted = False
    tallied = False
