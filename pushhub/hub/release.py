"""Ends holds and streams whose clients have lost the right to read, or may have lost it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.hub.channel_hold import ChannelHold, GrantedHold, last_reply
from pushhub.hub.closed_channels import may_read
from pushhub.polls.base import no_longer_public

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.hub import Hub
    from pushhub.log.cursor import Cursor

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
    more, so nothing but this keeps the next event from them: no event comes in between, and no
    read that is under way is delivered.
    """
    hub.closed.add(hub.now(), covers)
    _release(hub, covers)
    asyncio.get_running_loop().call_later(LATE_SECONDS, _release, hub, covers)


def _release(hub: Hub, covers: Callable[[str], bool]) -> None:
    for hold in _holds(hub, covers):
        if hold.done or not hold.counted:
            continue
        if hold.at is not None:
            hold.complete(last_reply(hold.poll, hold.at, hub.jitter))
        elif not (
            isinstance(hold, GrantedHold) and may_read(hold.grant, hold.poll, covers, hub.clock())
        ):
            _end_read(hub, hold)


def _holds(hub: Hub, covers: Callable[[str], bool]) -> list[ChannelHold]:
    """The holds on the channels: those that are parked, and those that read, which are on their
    channels, but not on the wheel. During a fan-out a hold is on the wheel alone.
    """
    found = {
        entry: None
        for entry in hub.wheel.entries()
        if isinstance(entry, ChannelHold) and any(covers(read.channel) for read in entry.poll.reads)
    }
    for channel in hub.channels:
        if covers(channel.name):
            found.update(channel.holds)
    return list(found)


def _end_read(hub: Hub, hold: ChannelHold) -> None:
    """End a hold whose read is under way: where its client stands, or, if only the log knows that,
    with a refusal.
    """
    at: dict[str, Cursor] = {}
    for read in hold.poll.reads:
        if (position := read.known_position) is not None:
            at[read.channel] = position
    if hold.poll.wait is not None and len(at) == len(hold.poll.reads):
        hold.complete(last_reply(hold.poll, at, hub.jitter))
    elif (reply := hold.poll.error(no_longer_public())) is not None:
        hold.complete(reply)
