"""Faults that are put into pushhub by hand, to show that the simulation finds each.

A fault is a function that patches what it is named after; `monkeypatch` takes it out again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from pushhub.hub import hub as hub_module
from pushhub.hub.hold import Hold, Parked
from pushhub.hub.hub import Hub
from pushhub.hub.shelf import Shelf
from pushhub.hub.tail import Tail
from pushhub.hub.wheel import Entry, Wheel
from pushhub.origin import resource_channel
from pushhub.origin.resource import Resource
from pushhub.origin.resource_channel import ResourceChannel
from pushhub.origin.sharing import Sharing
from pushhub.protocol.cursor import Cursor, Since
from pushhub.protocol.page import Page
from pushhub.store.base import REGISTER, Expect
from pushhub.store.span import Span

if TYPE_CHECKING:
    from pushhub.protocol.event import Event

Patch = Callable[[pytest.MonkeyPatch], None]


def second_change(patch: pytest.MonkeyPatch) -> None:
    """The fault behind the simulation: a forgotten resource's channel is expected to have a value,
    and a mismatch is tried again immediately, for ever.
    """

    def expected(self: ResourceChannel) -> Expect | None:
        return None if self.position is None else Expect(frozenset({self.position}))

    def contested(self: Any) -> None:
        self._verified, self._again = float("-inf"), True

    patch.setattr(ResourceChannel, "expected", property(expected))
    patch.setattr(Resource, "_contested", contested)


def leaked_hold(patch: pytest.MonkeyPatch) -> None:
    """The hold of a client that has disconnected stays on its channels until its deadline, and is
    never counted off.
    """

    def drop(self: Parked) -> None:
        self.done = True

    patch.setattr(Parked, "drop", drop)


def missed_wake(patch: pytest.MonkeyPatch) -> None:
    """One event in forty reaches the tail, and none of those who wait for it."""
    wake, numbers = Hub.wake, count(1)

    def some(self: Hub, event: Event) -> None:
        channel = self.shelf.get(event.channel)
        if next(numbers) % 40 or channel is None:
            wake(self, event)
        else:
            self.shelf.push(channel, event)

    patch.setattr(Hub, "wake", some)


def channel_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A channel that was left is never let go of."""
    patch.setattr(Shelf, "sweep", lambda self: None)


def endless_linger(patch: pytest.MonkeyPatch) -> None:
    """A resource is fetched on although nobody waits."""
    patch.setattr(Resource, "waiting", property(lambda self: True))


def register_left(patch: pytest.MonkeyPatch) -> None:
    """A resource's register has no age, and stays in the store when its last node forgets it."""
    patch.setattr(resource_channel, "RETENTION", REGISTER)
    patch.setattr(Sharing, "forget", lambda self, resource: _forget(self, resource))


def _forget(sharing: Sharing, resource: Resource) -> None:
    sharing.hub.wheel.clear(resource)
    sharing._resources.pop(resource.channel, None)
    sharing.size -= resource.size


def skipped_event(patch: pytest.MonkeyPatch) -> None:
    """Of many events at a time the first is left out."""
    read = Tail.read

    def short(self: Tail, since: Since, limit: int) -> Page | None:
        page = read(self, since, limit)
        if page is not None and len(page.events) > 2 and isinstance(since, Cursor):
            return Page(page.events[1:], page.cursor, page.up_to_date)
        return page

    patch.setattr(Tail, "read", short)


def early_end(patch: pytest.MonkeyPatch) -> None:
    """Waits end up to half their time early."""
    patch.setattr(hub_module, "JITTER", 0.5)


def late_end(patch: pytest.MonkeyPatch) -> None:
    """The deadline of a hold is two seconds late."""
    first = Wheel.set

    def late(self: Wheel, entry: Entry, deadline: float) -> None:
        first(self, entry, deadline + 2 if isinstance(entry, Hold) else deadline)

    patch.setattr(Wheel, "set", late)


def swallowed_gap(patch: pytest.MonkeyPatch) -> None:
    """A cursor of an older epoch is taken for one of the present epoch."""
    locate = Span.locate

    def careless(self: Span, since: Since) -> Any:
        if isinstance(since, Cursor) and since.offset <= self.top:
            since = Cursor(self.epoch, since.offset)
        return locate(self, since)

    patch.setattr(Span, "locate", careless)


def false_gap(patch: pytest.MonkeyPatch) -> None:
    """The oldest position from which nothing is missing counts as trimmed."""
    locate = Span.locate

    def strict(self: Span, since: Since) -> Any:
        if isinstance(since, Cursor) and since.offset == self.oldest - 1 and self.oldest > 1:
            since = Cursor(since.epoch, self.oldest - 2)
        return locate(self, since)

    patch.setattr(Span, "locate", strict)


def silent_drain(patch: pytest.MonkeyPatch) -> None:
    """A node that leaves forgets a held request."""
    patch.setattr(
        Hub, "end", lambda self, hold, hint: None if self.draining else _end(self, hold, hint)
    )


_end = Hub.end

# Name → how it is planted, how it shows, and a seed that found it.
PLANTED: Mapping[str, tuple[Patch, frozenset[str], int]] = {
    "second change": (second_change, frozenset({"missed", "busy", "refused", "silent"}), 2),
    "leaked hold": (leaked_hold, frozenset({"leak"}), 0),
    "missed wake": (missed_wake, frozenset({"missed"}), 21),
    "channel for ever": (channel_for_ever, frozenset({"leak"}), 0),
    "endless linger": (endless_linger, frozenset({"fetch", "leak"}), 0),
    "register left": (register_left, frozenset({"register", "leak"}), 2),
    "skipped event": (skipped_event, frozenset({"hole"}), 0),
    "early end": (early_end, frozenset({"early"}), 0),
    "late end": (late_end, frozenset({"late"}), 0),
    "swallowed gap": (swallowed_gap, frozenset({"silent-epoch", "hole", "content", "lost"}), 0),
    "false gap": (false_gap, frozenset({"false-gap"}), 0),
    "silent drain": (silent_drain, frozenset({"silent", "busy", "late"}), 0),
}
