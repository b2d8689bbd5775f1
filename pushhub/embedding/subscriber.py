"""A subscription from Python: an asynchronous iterator over the events of a channel.

The subscriber pulls: the next read follows when the events of the last one were taken, so a slow
subscriber holds one page in memory, and the log keeps the rest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.embedding.publisher import checked_channel
from pushhub.http.problem import Problem
from pushhub.hub.hold import Hold
from pushhub.hub.subscription import SubscriptionPoll, SubscriptionReply
from pushhub.log.cursor import Cursor, CursorError, Since, parse_since
from pushhub.log.read import Gap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.http.response import Part, Response
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream
    from pushhub.log.event import Event

# The pauses before the next read while the log cannot be read: as long as its clients are asked to
# wait (Retry-After: 1), then longer. A subscription has no end of its own, so neither have these.
RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0


class ReplyFuture:
    """A hold's driver for a task: the reply is the result of a future."""

    __slots__ = ("reply",)

    def __init__(self) -> None:
        self.reply: asyncio.Future[Response | Part | EventStream] = (
            asyncio.get_running_loop().create_future()
        )

    def deliver(self, reply: Response | Part | EventStream) -> None:
        if not self.reply.done():
            self.reply.set_result(reply)


def start_of(since: Cursor | str) -> Since:
    """Where a subscription begins.

    Raises:
        Problem: `bad-cursor`.
    """
    if isinstance(since, Cursor):
        return since
    try:
        return parse_since(since)
    except CursorError as error:
        raise Problem("bad-cursor", str(error)) from None


async def subscribe(hub: Hub, channel: str, since: Since) -> AsyncIterator[Event | Gap]:
    """Yield the events of a channel after `since`, in order, until the hub drains. A `Gap` says
    that events may be lost; the oldest one that is kept follows.

    Raises:
        Problem: `deleted`; or `store-unavailable`, if the log cannot be read at the start.
    """
    pause, has_read = RETRY_SECONDS, False
    while not hub.draining:
        reply = await _next(hub, SubscriptionPoll(channel, since))
        read = reply.read
        if read is None:
            assert reply.problem is not None
            if not has_read or reply.problem.slug != "store-unavailable":
                raise reply.problem
            await asyncio.sleep(pause * hub.uniform(0.5, 1.0))
            pause = min(pause * 2, MAX_RETRY_SECONDS)
            continue
        pause, has_read = RETRY_SECONDS, True
        if isinstance(read, Gap):
            since = read.oldest
            yield read
            continue
        since = read.cursor
        for event in read.events:
            yield event


async def _next(hub: Hub, poll: SubscriptionPoll) -> SubscriptionReply:
    """The reply to a poll, whether the hub has it now or later."""
    held = hub.hold(poll)
    if isinstance(held, Hold):
        driver = ReplyFuture()
        held.attach(driver)
        try:
            held_reply = await driver.reply
        finally:
            held.drop()
    else:
        held_reply = held
    assert isinstance(held_reply, SubscriptionReply)
    return held_reply


def iterate(hub: Hub, channel: str, since: Cursor | str) -> AsyncIterator[Event | Gap]:
    """`subscribe`, with arguments that are checked immediately."""
    return subscribe(hub, checked_channel(channel), start_of(since))
