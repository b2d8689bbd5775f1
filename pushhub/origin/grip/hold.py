"""A client whose response is held: a poll of the hub, and what becomes of its turns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pushhub.grip.held_response import HeldResponse, Then, Turn
from pushhub.grip.sequence import ItemSequences
from pushhub.hub.hold import Hold

if TYPE_CHECKING:
    import asyncio

    from pushhub.http.problem import Problem
    from pushhub.http.response import Part, Response
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.stream import EventStream
    from pushhub.origin.grip.gateway import GripGateway
    from pushhub.origin.request import ProxiedRequest
    from pushhub.origin.routes import RouteMatch

# An origin that is asked again is believed the second time; after so many times in one hold its
# client is told what there is.
MAX_ROUNDS = 8


class ResponseHold(Hold):
    """One client's wait. It is the driver of the polls that it goes through."""

    __slots__ = ("_asked", "_found", "_grip", "_leader", "_poll", "_rounds", "_task", "_until",
                 "problem")  # fmt: skip

    def __init__(
        self, grip: GripGateway, found: RouteMatch, asked: ProxiedRequest, poll: HeldResponse
    ) -> None:
        super().__init__()
        self._grip = grip
        self._found = found
        self._asked = asked
        self._leader: ChannelHold | None = None
        self._task: asyncio.Task[None] | None = None
        self._rounds = 0
        self._poll = poll
        self._until = grip.hub.now() + poll.held.instruct.timeout
        self.problem: Problem | None = None
        """Why the origin does not answer, while it is asked again."""
        grip.holds.add(self)

    def wait_on(self, poll: HeldResponse) -> None:
        """Wait as long as the instruct says, from now on."""
        self._task = None
        if self.done:
            return
        self._stand_up()
        self._until = self._grip.hub.now() + poll.held.instruct.timeout
        self._hold(poll)

    def _hold(self, poll: HeldResponse) -> None:
        self._poll = poll
        self._follow(poll)

    def _follow(self, poll: HeldResponse) -> None:
        step = self._grip.hub.hold(poll)
        if isinstance(step, Turn):
            self._turn(step)
        elif isinstance(step, Hold):
            self._leader = step
            step.attach(self)
        else:
            self.complete(step)

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """The poll has come to an end."""
        self._leader = None
        if isinstance(reply, Turn):
            self._turn(reply)
        elif self.problem is not None and not self._grip.hub.draining:
            # Nobody could say whether there is something new.
            self.complete(self.problem.response())
        else:
            self.complete(reply)

    def _stand_up(self) -> None:
        leader, self._leader = self._leader, None
        if leader is not None:
            leader.drop()

    def _turn(self, turn: Turn) -> None:
        if turn.then is Then.WAIT:
            assert turn.poll is not None
            left = self._until - self._grip.hub.now()
            windows = [order.window for order in turn.poll.orders.values() if order.parked]
            if left <= 0:
                self.complete(turn.poll.held.instruct.response)
            elif windows and min(windows) < left:
                self._hold(turn.poll.for_seconds(max(1, math.ceil(min(windows))), window=True))
            else:
                self._hold(turn.poll.for_seconds(max(1, math.ceil(left))))
        else:
            self.ask(turn.last)

    def ask(self, last: tuple[tuple[str, str], ...]) -> None:
        """Ask the origin again, and go on with what it says."""
        self._rounds += 1
        if self._asked.method != "GET" or self._rounds > MAX_ROUNDS:
            # What is not safe is not sent again without asking the client (RFC 9110 §9.2.1).
            self.complete(self._poll.held.instruct.response)
            return
        # Whatever the origin does, the wait ends in time, or with a drain.
        left = max(1, math.ceil(self._until - self._grip.hub.now()))
        self._follow(HeldResponse(self._poll.held, {}, ItemSequences(), left))
        if self.done:
            return
        self._task = self._grip.origin.keep(
            self._grip.ask_again(self, self._found, self._asked, last)
        )

    def recover(self) -> None:
        """Somebody says that news may be lost: ask again, if the origin named what it knows."""
        last = self._poll.last_ids()
        if self.done or self._task is not None or not last:
            return
        self._stand_up()
        self.ask(last)

    @property
    def waits(self) -> bool:
        return True

    def hurry(self) -> bool:
        leader = self._leader
        if leader is None or leader.at is None:
            # The log is being read.
            return False
        self.complete(self._poll.held.instruct.response)
        return True

    def drop(self) -> None:
        if not self.done:
            gone = self._poll.held.instruct.gone
            if gone is not None:
                self._grip.tell_gone(self._found, self._asked, gone)
        super().drop()

    def release(self, reply: Response | Part | EventStream | None) -> None:
        self._grip.holds.discard(self)
        self._stand_up()
        task, self._task = self._task, None
        if task is not None and not self._grip.is_current(task):
            task.cancel()

    def __repr__(self) -> str:
        return f"<ResponseHold {self._asked.target} {self._leader!r}>"
