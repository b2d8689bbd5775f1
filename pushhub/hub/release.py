"""Ends holds and streams whose clients may have lost the right to read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pushhub.http.response import Part
from pushhub.hub.channel_hold import ChannelHold

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.wheel import Wheel
    from pushhub.polls.base import Hint

# A read of the store takes milliseconds. Holds that park later than this after a loss of rights
# were authorised after it, or their store hangs.
READ_SECONDS = 1.0


def release(wheel: Wheel, covers: Callable[[str], bool], hint: Hint) -> None:
    """Complete the parked holds of clients on covered channels: a poll with an empty reply, and a
    stream with its last part. Synchronous, so that no event comes in between.
    """
    for hold in wheel.entries():
        if not isinstance(hold, ChannelHold) or hold.done or hold.at is None or not hold.counted:
            continue
        if any(covers(read.channel) for read in hold.poll.reads):
            reply = hold.poll.empty(hold.at, hint)
            hold.complete(replace(reply, last=True) if isinstance(reply, Part) else reply)
