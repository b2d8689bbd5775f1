"""A poll whose channels are not all in memory: ask the store, then decide, and look again before
parking.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pushhub.protocol.poll import Positions, Want, resume, unreadable
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from pushhub.hub.hold import Parked
    from pushhub.hub.hub import Hub
    from pushhub.protocol.cursor import Cursor
    from pushhub.protocol.page import Read


class Gathering:
    """Collects the reads of one hold, from tails and from the store.

    The hold is registered on its channels all the while, so that no event can pass by. When all
    reads are there and they give no answer, they may be old by now: so it reads again from where
    they ended, and parks only when the tails agree.
    """

    __slots__ = ("at", "hold", "hub", "missing", "reads", "wants")

    def __init__(self, hub: Hub, hold: Parked, at: Positions | None = None) -> None:
        self.hub = hub
        self.hold = hold
        self.reads: dict[str, Read] = {}
        self.missing = 0
        self.at = at
        self.wants: tuple[Want, ...] = hold.poll.wants
        if at is not None:
            self.wants = tuple(resume(want, at[want.channel]) for want in self.wants)

    def start(self) -> None:
        """Ask for what the tails cannot answer; decide at once if they can."""
        hub = self.hub
        self.missing = 1
        for want in self.wants:
            # Registered already; but memory pressure may have let go of a channel during a fan-out.
            channel = hub.shelf.register(self.hold, want.channel)
            if channel.tail is None and hub.doubt.deaf:
                # No tail can be had that stays one; but what the log has now can be read.
                self.missing += 1
                hub.ask_events(want, partial(self._took, want))
            elif channel.tail is None:
                self.missing += 1
                hub.ask_tail(channel, partial(self._loaded, want))
            else:
                self._read(want)
        self._arrived()

    def _loaded(self, want: Want, error: StoreError | None) -> None:
        if error is not None:
            self._fail()
        elif not self.hold.done:
            self._read(want)
            self._arrived()

    def _read(self, want: Want) -> None:
        channel = self.hub.shelf.register(self.hold, want.channel)
        read = channel.read(want)
        if read is not None:
            self.reads[want.channel] = read
        else:
            self.missing += 1
            self.hub.ask_events(want, partial(self._took, want))

    def _took(self, want: Want, result: Read | StoreError) -> None:
        if isinstance(result, StoreError):
            self._fail()
        else:
            self.reads[want.channel] = result
            self._arrived()

    def _arrived(self) -> None:
        self.missing -= 1
        if self.missing == 0 and not self.hold.done:
            self._decide()

    def _decide(self) -> None:
        hold, hub = self.hold, self.hub
        reply = hub.reading.answer(hold.poll, self.reads)
        if reply is None:
            # Nothing so far. What came while we asked is in the tails.
            at = {name: hold.poll.position(name, read) for name, read in self.reads.items()}
            wants = tuple(resume(want, at[want.channel]) for want in hold.poll.wants)
            reads: dict[str, Read] = {}
            if hub.doubt.deaf:
                hub.park_unsure(hold, at)
                return
            for want in wants:
                channel = hub.shelf.register(hold, want.channel)
                if channel.is_behind(at[want.channel]):
                    # Another process appends too, and its event is still on its way to us.
                    hub.shelf.drop_tail(channel)
                elif channel.is_of_another_life(want.since):
                    # The log was lost, and another process noticed first. Whoever waits is told.
                    hub.doubt.reread(channel)
                read = channel.remembered(want)
                if read is None:
                    Gathering(hub, hold, at).start()
                    return
                reads[want.channel] = read
            reply = hub.settle(hold, reads)
        elif hold.tallied:
            hub.count_gaps(self.reads)
        if reply is not None:
            hub.answered(hold, reply)

    def _fail(self) -> None:
        hold = self.hold
        if hold.done or hold.at is not None:
            return
        at = self._standing()
        if at is not None and hold.poll.wait:
            self.hub.park_unsure(hold, at)
            return
        reply = hold.poll.refuse(unreadable())
        assert reply is not None, "only a deleted channel lets a poll wait on"
        hold.complete(reply)

    def _standing(self) -> Positions | None:
        """Where the reader stands, if that is known without the log."""
        if self.at is not None:
            return self.at
        at: dict[str, Cursor] = {}
        for want in self.wants:
            stands = want.stands
            if stands is None:
                return None
            at[want.channel] = stands
        return at
