"""A held response: the client's wait, from one poll of the hub to the next."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Protocol

from pushhub.grip.held_response import Continuation, HeldResponse, HoldAction
from pushhub.grip.sequence import ItemSequences
from pushhub.hub.hold import Hold

if TYPE_CHECKING:
    from pushhub.http.problem import Problem
    from pushhub.http.response import Part, Response
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream
    from pushhub.origin.grip.upstream import GripUpstream, LastIds
    from pushhub.origin.request import ProxiedRequest

# The second response of the origin is trusted. After so many fetches in one hold the client gets
# the held response.
MAX_FETCHES = 8


class HoldGateway(Protocol):
    """The gateway, as a hold uses it."""

    hub: Hub
    upstream: GripUpstream
    holds: set[ResponseHold]

    def start_refetch(self, hold: ResponseHold, last_ids: LastIds) -> asyncio.Task[None]:
        """Send the request of a hold to the origin again, and go on with the response."""


class ResponseHold(Hold):
    """One client's wait. It drives the polls that it goes through, one after the other."""

    __slots__ = ("_channel_hold", "_deadline", "_fetches", "_owner", "_poll", "_task", "problem",
                 "request")  # fmt: skip

    def __init__(self, owner: HoldGateway, request: ProxiedRequest, poll: HeldResponse) -> None:
        super().__init__()
        self._owner = owner
        self.request = request
        self._channel_hold: ChannelHold | None = None
        self._task: asyncio.Task[None] | None = None
        self._fetches = 0
        self._poll = poll
        self._deadline = owner.hub.now() + poll.held.instruct.timeout
        self.problem: Problem | None = None
        """The error of the origin, while the request is sent again."""
        owner.holds.add(self)

    def wait_on(self, poll: HeldResponse) -> None:
        """Wait on a new poll, for the timeout of its instruct from now on."""
        self._task = None
        if self.done:
            return
        self._leave_channels()
        self._deadline = self._owner.hub.now() + poll.held.instruct.timeout
        self._continue_with(poll)

    def _continue_with(self, poll: HeldResponse) -> None:
        self._poll = poll
        self._park(poll)

    def _park(self, poll: HeldResponse) -> None:
        step = self._owner.hub.hold(poll)
        if isinstance(step, Continuation):
            self._continue(step)
        elif isinstance(step, Hold):
            self._channel_hold = step
            step.attach(self)
        else:
            self.complete(step)

    def deliver(self, reply: Response | Part | EventStream) -> None:
        """The poll has ended."""
        self._channel_hold = None
        if isinstance(reply, Continuation):
            self._continue(reply)
        elif self.problem is not None and not self._owner.hub.draining:
            # The origin does not respond, so it is not known whether the resource has changed.
            self.complete(self.problem.response())
        else:
            self.complete(reply)

    def _leave_channels(self) -> None:
        channel_hold, self._channel_hold = self._channel_hold, None
        if channel_hold is not None:
            channel_hold.drop()

    def _continue(self, step: Continuation) -> None:
        if step.action is HoldAction.WAIT:
            assert step.poll is not None
            left = self._deadline - self._owner.hub.now()
            windows = [each.window for each in step.poll.sequences.values() if each.parked]
            if left <= 0:
                self.complete(step.poll.held.instruct.response)
            elif windows and min(windows) < left:
                seconds = max(1, math.ceil(min(windows)))
                self._continue_with(step.poll.for_seconds(seconds, window=True))
            else:
                self._continue_with(step.poll.for_seconds(max(1, math.ceil(left))))
        else:
            self.fetch_again(step.last_ids)

    def fetch_again(self, last_ids: LastIds) -> None:
        """Send the request to the origin again, and go on with the response."""
        self._fetches += 1
        if self.request.method != "GET" or self._fetches > MAX_FETCHES:
            # An unsafe method is not repeated without the client (RFC 9110 §9.2.1).
            self.complete(self._poll.held.instruct.response)
            return
        # The wait ends in time, or with a drain, even if the origin does not respond.
        left = max(1, math.ceil(self._deadline - self._owner.hub.now()))
        self._park(HeldResponse(self._poll.held, {}, ItemSequences(), left))
        if self.done:
            return
        self._task = self._owner.start_refetch(self, last_ids)

    def recover(self) -> None:
        """Items may be lost: fetch again, if the origin named a `prev-id`."""
        last_ids = self._poll.last_ids()
        if self.done or self._task is not None or not last_ids:
            return
        self._leave_channels()
        self.fetch_again(last_ids)

    @property
    def waits(self) -> bool:
        return True

    def hurry(self) -> bool:
        channel_hold = self._channel_hold
        if channel_hold is None or channel_hold.at is None:
            # The log is being read.
            return False
        self.complete(self._poll.held.instruct.response)
        return True

    def drop(self) -> None:
        if not self.done:
            gone = self._poll.held.instruct.gone
            if gone is not None:
                self._owner.upstream.notify_gone(self.request, gone)
        super().drop()

    def unregister(self, reply: Response | Part | EventStream | None) -> None:
        self._owner.holds.discard(self)
        self._leave_channels()
        task, self._task = self._task, None
        if task is not None and asyncio.current_task() is not task:
            task.cancel()

    def __repr__(self) -> str:
        return f"<ResponseHold {self.request.target} {self._channel_hold!r}>"
