"""A request whose reply comes later. A hold completes exactly once, or is dropped when its client
disconnects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pushhub.http.response import Part, Response
    from pushhub.hub.stream import EventStream


class Driver(Protocol):
    """Writes the reply of a hold."""

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """Write the reply. The hold calls this once, on the loop's thread; it must not raise."""


class HoldCaller(Protocol):
    """The client of a request, as limits count it; see `auth/caller.py`."""

    def release(self, hold: Hold) -> None:
        """The request waits no more."""


class Hold:
    """A request that waits for the log, a deadline, a commit of the store, an access check or a
    drain.
    """

    __slots__ = ("caller", "done", "driver", "reply")

    def __init__(self) -> None:
        self.done = False
        self.driver: Driver | None = None
        self.reply: Response | Part | EventStream | None = None
        # Set while a limit counts the hold.
        self.caller: HoldCaller | None = None

    def attach(self, driver: Driver) -> None:
        """Set the driver. A reply that is there already is written immediately."""
        if self.reply is not None:
            reply, self.reply = self.reply, None
            driver.deliver(reply)
        elif not self.done:
            self.driver = driver

    def complete(self, reply: Response | Part | EventStream) -> bool:
        """Reply to the request; False if it had a reply already, or its client disconnected."""
        if self.done:
            return False
        self.done = True
        if self.caller is not None:
            self._release(self.caller)
        self.unregister(reply)
        driver = self.driver
        if driver is None:
            self.reply = reply
        else:
            self.driver = None
            driver.deliver(reply)
        return True

    def hurry(self) -> bool | None:
        """Complete with what there is, because the connection has sent a newer request. False if
        that is not known yet, None if this waits for an operation that must end first.
        """
        return None

    def drop(self) -> None:
        """The client has disconnected: discard a later reply."""
        if not self.done:
            self.done = True
            self.driver = None
            if self.caller is not None:
                self._release(self.caller)
            self.unregister(None)

    def unregister(self, reply: Response | Part | EventStream | None) -> None:
        """Free what would have completed the hold. `reply` is None when the client has
        disconnected.
        """

    def _release(self, caller: HoldCaller) -> None:
        self.caller = None
        caller.release(self)

    @property
    def retries(self) -> bool:
        """Whether its client gives up at any 4xx, and sends the same request again after a 5xx."""
        return False

    @property
    def waits(self) -> bool:
        """Whether it waits for an event: a client that half-closes meanwhile has disconnected."""
        return False

    @property
    def is_parked(self) -> bool:
        """Whether there is nothing for it yet, so that only an event or its deadline ends it."""
        return self.waits

    @property
    def channel_count(self) -> int:
        """The number of channels that it waits on."""
        return 1


class ChainedHold(Hold):
    """A hold that waits for an access check, and then for the outcome of the endpoint."""

    __slots__ = ("_leader",)

    def __init__(self) -> None:
        super().__init__()
        self._leader: Hold | None = None

    def follow(self, outcome: Response | Hold | EventStream) -> None:
        """Complete with the outcome of an endpoint, now or when it has one."""
        if isinstance(outcome, Hold):
            self._leader = outcome
            outcome.attach(self)
        else:
            self.complete(outcome)

    def hurry(self) -> bool | None:
        return None if self._leader is None else self._leader.hurry()

    @property
    def waits(self) -> bool:
        return self._leader is not None and self._leader.waits

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """The endpoint's own hold has its reply."""
        self._leader = None
        self.complete(reply)

    def unregister(self, reply: Response | Part | EventStream | None) -> None:
        leader, self._leader = self._leader, None
        if leader is not None:
            leader.drop()
