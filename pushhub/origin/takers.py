"""Requests that wait for a look at their resource, before it is known what becomes of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.protocol.condition import Condition
    from pushhub.protocol.problem import Problem
    from pushhub.protocol.representation import Representation

    Verdict = Representation | Problem | bool
    """A representation to answer with; True to park; False to pass through; or a refusal."""


class Taker:
    """A request that waits for a look of at least this number. Without `condition` it takes
    whatever there is.
    """

    __slots__ = ("condition", "decided", "number")

    def __init__(self, condition: Condition | None, number: int) -> None:
        self.condition = condition
        self.number = number
        self.decided: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

    def decide(self, verdict: Verdict) -> None:
        """Say what becomes of it; once."""
        if not self.decided.done():
            self.decided.set_result(verdict)


class Takers:
    """Those of one resource."""

    __slots__ = ("_takers",)

    def __init__(self) -> None:
        self._takers: list[Taker] = []

    async def verdict(self, condition: Condition | None, number: int) -> Verdict:
        """Wait for what becomes of a request."""
        taker = Taker(condition, number)
        self._takers.append(taker)
        return await taker.decided

    def found(self, number: int, representation: Representation) -> None:
        """A look has found this: tell those for whom it is new enough."""
        left = []
        for taker in self._takers:
            if taker.condition is not None and not taker.condition.is_new(representation):
                # Looked at before or after it came: it has this, and hears of what comes.
                taker.decide(True)
            elif number >= taker.number:
                taker.decide(representation)
            elif not taker.decided.done():
                left.append(taker)
        self._takers = left

    def all(self, verdict: Verdict) -> None:
        """Tell everybody the same."""
        takers, self._takers = self._takers, []
        for taker in takers:
            taker.decide(verdict)

    def __len__(self) -> int:
        return len(self._takers)
