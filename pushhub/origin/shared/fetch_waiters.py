"""Requests that wait for one fetch of their resource."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pushhub.http.response import Response
from pushhub.hub.wheel import OFF

if TYPE_CHECKING:
    from pushhub.http.problem import Problem
    from pushhub.http.response import Part
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.shared.representation import Representation


class WaiterDecision(Enum):
    """The result of a fetch for a request that gets no response from it."""

    PARK = "park"
    """The client has the newest representation, and waits for the next change."""
    PASS = "pass"
    """The response cannot be shared: the request passes through."""
    TIMEOUT = "timeout"
    """The wait has ended before the origin responded."""


@dataclass(frozen=True, slots=True)
class Unwaitable:
    """What the origin has responded while the log is unavailable: no request can wait, so this one
    receives the response, or that it is unchanged, immediately.
    """

    representation: Representation


if TYPE_CHECKING:
    FetchOutcome = Representation | Unwaitable | Problem | Response | WaiterDecision
    """A representation to respond with, an error, the response that the request's hold was
    completed with, or a decision.
    """


class FetchWaiter:
    """A request that waits for a fetch of at least the number `fetch`.

    Without a `condition` any representation is new to it. A waiter drives the request's hold
    meanwhile. If the request waits for a bounded time, the waiter is an entry of the hub's wheel.
    """

    __slots__ = ("_hub", "condition", "fetch", "outcome", "reply", "tick", "traceparent")

    def __init__(
        self, hub: Hub, condition: WaitCondition | None, fetch: int, traceparent: str = ""
    ) -> None:
        self._hub = hub
        self.traceparent = traceparent
        self.condition = condition
        self.fetch = fetch
        self.reply: Response | None = None
        """The response that its hold was completed with."""
        self.tick = OFF
        self.outcome: asyncio.Future[FetchOutcome] = asyncio.get_running_loop().create_future()

    def resolve(self, outcome: FetchOutcome) -> None:
        """Set the outcome; the first one counts."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)

    def expire(self) -> None:
        """The wait has ended, and the origin has not responded."""
        self.resolve(WaiterDecision.TIMEOUT)

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """The hold was completed. An error says that the origin has not responded yet. The hub
        ends holds early by a random part of the wait, and the origin may still respond in it.
        """
        assert isinstance(reply, Response), "a wait on a resource has one response"
        self.reply = reply
        if reply.status < 500 or not self.tick or self._hub.draining:
            self.resolve(reply)


class FetchWaiters:
    """The waiters of one resource."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: dict[FetchWaiter, None] = {}

    def add(self, waiter: FetchWaiter) -> None:
        """Include a waiter in the next outcome."""
        self._waiters[waiter] = None

    def remove(self, waiter: FetchWaiter) -> None:
        """Drop a waiter: it has its outcome, or its client has disconnected."""
        self._waiters.pop(waiter, None)

    def fetched(
        self, number: int, representation: Representation, *, may_wait: bool = True
    ) -> None:
        """Resolve the waiters for which the fetch of this number is recent enough. `may_wait` says
        whether the log works, so that requests can wait.
        """
        outcome: FetchOutcome
        for waiter in list(self._waiters):
            if waiter.condition is not None and not waiter.condition.is_new(representation):
                # Whether the fetch began before or after the request: the client has this
                # representation, and its hold receives the next one.
                outcome = WaiterDecision.PARK if may_wait else Unwaitable(representation)
            elif number >= waiter.fetch:
                outcome = representation if may_wait else Unwaitable(representation)
            else:
                continue
            self.remove(waiter)
            waiter.resolve(outcome)

    def resolve_all(self, outcome: FetchOutcome) -> None:
        """Give every waiter the same outcome."""
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter.resolve(outcome)

    def trace_contexts(self) -> list[str]:
        """The trace contexts of the waiters, as far as they have any."""
        return [waiter.traceparent for waiter in self._waiters if waiter.traceparent]

    def is_overdue(self, number: int) -> bool:
        """Whether a fetch of this number should have resolved one that still waits."""
        return any(waiter.fetch <= number for waiter in self._waiters)

    def __len__(self) -> int:
        return len(self._waiters)
