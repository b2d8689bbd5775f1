"""A parked request. It completes exactly once, whoever comes first, or is dropped when its client
goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import Stream
    from pushhub.protocol.answer import Answer, Part
    from pushhub.protocol.cursor import Cursor
    from pushhub.protocol.poll import Poll


class Driver(Protocol):
    """Who writes what a hold is completed with."""

    def deliver(self, reply: Answer | Part | Stream) -> None:
        """Write it. Called once for each hold, on the loop's thread; it must not raise."""


class Hold:
    """A request whose answer comes later: from the log, a deadline, a store commit, an auth check
    or a drain.
    """

    __slots__ = ("done", "driver", "reply")

    def __init__(self) -> None:
        self.done = False
        self.driver: Driver | None = None
        self.reply: Answer | Part | Stream | None = None

    def attach(self, driver: Driver) -> None:
        """Name who writes the answer. If it is there already, it is written at once."""
        if self.reply is not None:
            reply, self.reply = self.reply, None
            driver.deliver(reply)
        elif not self.done:
            self.driver = driver

    def complete(self, reply: Answer | Part | Stream) -> bool:
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

    def drop(self) -> None:
        """The client has gone. Whatever comes now is for nobody."""
        if not self.done:
            self.done = True
            self.driver = None
            self.release()

    def release(self) -> None:
        """Let go of whatever would have completed it."""

    def follow(self, outcome: Answer | Hold | Stream) -> None:
        """Take over what a face returned: be completed with it, now or when it is."""
        if isinstance(outcome, Hold):
            outcome.attach(self)
        else:
            self.complete(outcome)

    # A hold can stand in for a driver, which is how one hold follows another.
    def deliver(self, reply: Answer | Part | Stream) -> None:
        self.complete(reply)


class Parked(Hold):
    """A poll that waits on its channels. `at` is where it stands in each; None until it has been
    read for.
    """

    __slots__ = ("at", "hub", "parked", "poll", "tick")

    def __init__(self, hub: Hub, poll: Poll) -> None:
        self.done = False
        self.driver = None
        self.reply = None
        self.hub = hub
        self.poll = poll
        self.at: Mapping[str, Cursor] | None = None
        self.tick = OFF
        self.parked = 0.0

    def release(self) -> None:
        self.hub.leave(self)

    def expire(self) -> None:
        self.hub.expire(self)

    def __repr__(self) -> str:
        state = "done" if self.done else "parked" if self.at else "reading"
        return f"<Parked {state} on {', '.join(want.channel for want in self.poll.wants[:3])}>"
