"""A parked request. It completes exactly once, whoever comes first, or is dropped when its client
goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pushhub.http.response import Part, Response
    from pushhub.hub.stream import EventStream


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
        self.release(reply)
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
            self.release(None)

    def release(self, reply: Response | Part | EventStream | None) -> None:
        """Let go of whatever would have completed it. `reply` is None when the client has
        disconnected.
        """

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

    def release(self, reply: Response | Part | EventStream | None) -> None:
        leader, self._leader = self._leader, None
        if leader is not None:
            leader.drop()
