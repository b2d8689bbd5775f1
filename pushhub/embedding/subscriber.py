"""A subscription from Python: an asynchronous iterator over the events of a channel.

The subscriber pulls: the next read follows when the events of the last one were taken, so a slow
subscriber holds one page in memory, and the log keeps the rest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.api.asgi import AsgiWaiter
from pushhub.embedding.publisher import checked_channel
from pushhub.hub.hold import Hold
from pushhub.hub.subscription import RETRY_SECONDS, SubscriptionPoll, SubscriptionReply
from pushhub.log.cursor import Cursor
from pushhub.log.read import Gap
from pushhub.polls.base import start_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.hub.hub import Hub
    from pushhub.log.cursor import Since
    from pushhub.log.event import Event

# The longest pause before the next read while the log cannot be read; the first is that of the
# hub's own subscriptions. A subscription has no end of its own, so neither have these.
MAX_RETRY_SECONDS = 30.0


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
        waiter = AsgiWaiter()
        held.attach(waiter)
        try:
            held_reply = await waiter.future
        finally:
            held.drop()
    else:
        held_reply = held
    assert isinstance(held_reply, SubscriptionReply)
    return held_reply


def iterate(hub: Hub, channel: str, since: Cursor | str) -> AsyncIterator[Event | Gap]:
    """`subscribe`, with arguments that are checked immediately."""
    start = since if isinstance(since, Cursor) else start_of(since)
    return subscribe(hub, checked_channel(channel), start)
