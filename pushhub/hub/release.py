"""Ends holds and streams whose clients may have lost the right to read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from pushhub.http.response import Part
from pushhub.hub.channel_hold import ChannelHold
from pushhub.hub.hub import RETRY_MS
from pushhub.polls.base import Hint

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.hub import Hub

# A read of the store takes milliseconds. Holds that park later than this after a loss of rights
# were authorised after it, or their store hangs.
READ_SECONDS = 1.0


def release(hub: Hub, covers: Callable[[str], bool]) -> None:
    """End the holds and streams on the channels that are covered, without an event. Their clients
    continue from their cursors, if they still may.
    """
    _release(hub, covers)
    # A hold whose first read is under way parks within this time.
    asyncio.get_running_loop().call_later(READ_SECONDS, _release, hub, covers)


def _release(hub: Hub, covers: Callable[[str], bool]) -> None:
    """Complete the parked holds: a poll with an empty reply, and a stream with its last part.
    Synchronous, so that no event comes in between.
    """
    hint = Hint(hub.jitter.draw(RETRY_MS))
    for hold in hub.wheel.entries():
        if not isinstance(hold, ChannelHold) or hold.done or hold.at is None or not hold.counted:
            continue
        if any(covers(read.channel) for read in hold.poll.reads):
            reply = hold.poll.empty(hold.at, hint)
            hold.complete(replace(reply, last=True) if isinstance(reply, Part) else reply)
