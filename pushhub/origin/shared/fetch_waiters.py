"""Requests that wait for a look at their resource, before it is known what becomes of them."""

from __future__ import annotations

import asyncio
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

    Verdict = Representation | Problem | Response | bool | None
    """A representation to answer with; True to park; False to pass through; a refusal; the answer
    that the request's hold was completed with; or None, its wait has ended.
    """


class FetchWaiter:
    """A request that waits for a look of at least this number. Without `condition` it takes
    whatever there is. It drives the request's hold for as long, and is on the hub's wheel, if the
    request may wait for so long only.
    """

    __slots__ = ("_hub", "condition", "decided", "number", "reply", "tick")

    def __init__(self, hub: Hub, condition: WaitCondition | None, number: int) -> None:
        self._hub = hub
        self.condition = condition
        self.number = number
        self.reply: Response | None = None
        """What its hold was completed with."""
        self.tick = OFF
        self.decided: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def decide(self, verdict: Verdict) -> None:
        """Say what becomes of it; once."""
        if not self.decided.done():
            self.decided.set_result(verdict)

    def expire(self) -> None:
        """Its wait has ended, and the origin has not answered."""
        self.decide(None)

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """The hold was completed. An error says that the origin has not answered yet: until the
        wait has ended, which was shortened at random, it still may.
        """
        assert isinstance(reply, Response), "a wait on a resource has one answer"
        self.reply = reply
        if reply.status < 500 or not self.tick or self._hub.draining:
            self.decide(reply)


class FetchWaiters:
    """Those of one resource."""

    __slots__ = ("_takers",)

    def __init__(self) -> None:
        self._takers: dict[FetchWaiter, None] = {}

    def add(self, taker: FetchWaiter) -> None:
        """Have it wait."""
        self._takers[taker] = None

    def remove(self, taker: FetchWaiter) -> None:
        """It waits no longer: it was decided, or its client has disconnected."""
        self._takers.pop(taker, None)

    def found(self, number: int, representation: Representation) -> None:
        """A look has found this: tell those for whom it is new enough."""
        for taker in list(self._takers):
            if taker.condition is not None and not taker.condition.is_new(representation):
                # Looked at before or after it came: it has this, and hears of what comes.
                verdict: Verdict = True
            elif number >= taker.number:
                verdict = representation
            else:
                continue
            self.remove(taker)
            taker.decide(verdict)

    def all(self, verdict: Verdict) -> None:
        """Tell everybody the same."""
        takers, self._takers = self._takers, {}
        for taker in takers:
            taker.decide(verdict)

    def overdue(self, number: int) -> bool:
        """Whether a look of this number should have decided one that still waits."""
        return any(taker.number <= number for taker in self._takers)

    def __len__(self) -> int:
        return len(self._takers)
