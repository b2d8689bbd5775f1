"""Ends holds and streams whose clients have lost the right to read, or may have lost it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.hub.channel_hold import ChannelHold, GrantedHold, last_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.hub import Hub

# A hold whose first read is under way parks within this time: reads of the store take milliseconds.
# Holds must end within a second of a revocation.
LATE_SECONDS = 0.5
# Holds between two turns of the loop: about a millisecond.
CHUNK = 2000


async def end_by_grants(hub: Hub) -> None:
    """End the holds and streams whose grants have ended."""
    now = hub.clock()
    entries = hub.wheel.entries()
    for start in range(0, len(entries), CHUNK):
        for entry in entries[start : start + CHUNK]:
            if isinstance(entry, GrantedHold) and entry.grant.has_ended(now):
                entry.expire()
        if len(entries) > CHUNK:
            await asyncio.sleep(0)


def release(hub: Hub, covers: Callable[[str], bool]) -> None:
    """End the holds and streams on the channels that are covered, without an event. Their clients
    continue from their cursors, if they still may. No grant ends with a channel that is public no
    more, so nothing but this keeps the next event from them: no event comes in between.
    """
    _release(hub, covers)
    asyncio.get_running_loop().call_later(LATE_SECONDS, _release, hub, covers)


def _release(hub: Hub, covers: Callable[[str], bool]) -> None:
    for hold in hub.wheel.entries():
        if not isinstance(hold, ChannelHold) or hold.done or hold.at is None or not hold.counted:
            continue
        if any(covers(read.channel) for read in hold.poll.reads):
            hold.complete(last_reply(hold.poll, hold.at, hub.jitter))
