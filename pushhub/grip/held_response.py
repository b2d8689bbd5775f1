"""A held response: a poll that waits on GRIP channels and is answered with what is published.

Polls whose origin gave one answer for all of them share a `Held` and are told the same bytes. A
poll is not changed by what it is asked: it is asked again and again with everything since its
position. Where it cannot go on as it is, it gives a `Turn`, which is no answer but a word to
whoever holds it (`origin/grip/hold.py`): ask the origin again, or go on waiting as another poll.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pushhub.grip.fields import GripError
from pushhub.grip.filters import Sight, apply_filters
from pushhub.grip.item import DeliveryAction, item_of
from pushhub.grip.patch import apply_patch
from pushhub.http.problem import Problem
from pushhub.http.raw_response import RawResponse, reason_of
from pushhub.http.response import Response
from pushhub.log.read import Gap, Read
from pushhub.polls.base import DEFAULT_LIMIT, NO_HINT, ChannelRead, Hint, Positions

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from pushhub.grip.instruct import GripSubscription, Instruct
    from pushhub.grip.item import Item, ResponseFormat
    from pushhub.grip.sequence import ItemSequences
    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event


class Then(Enum):
    """What a hold does next."""

    ASK = "ask"
    """Ask the origin again: it was told to, or only the origin knows what is missing."""
    WAIT = "wait"
    """Go on waiting, as the poll of the turn."""


class Turn(Response):
    """What becomes of a hold instead of an answer. It is never written."""

    __slots__ = ("last", "poll", "then")

    def __init__(
        self,
        then: Then,
        poll: HeldResponse | None = None,
        last: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(502)
        self.then = then
        self.poll = poll
        # What the origin is told that the client has seen, by channel.
        self.last = last


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """An instruct that holds a response, and its channels by name. Two are never equal."""

    instruct: Instruct
    subscriptions: Mapping[str, GripSubscription]

    def sight(self, item: Item, orders: ItemSequences) -> Sight:
        """What filters see of an item."""
        prev_ids = {name: orders[name].last for name in self.subscriptions}
        return Sight(self.instruct.meta, item.meta, prev_ids)


def held(instruct: Instruct) -> Held:
    """The instruct as a hold's polls need it."""
    return Held(instruct, {one.channel: one for one in instruct.subscriptions})


class HeldResponse:
    """One wait of a held response.

    With `window` it waits, for as long, for the predecessor of an item that came too early.
    """

    __slots__ = ("held", "orders", "reads", "variant", "wait", "window")

    kind = "response of GRIP"

    def __init__(
        self,
        held: Held,
        cursors: Mapping[str, Cursor],
        orders: ItemSequences,
        wait: int | None = None,
        *,
        window: bool = False,
    ) -> None:
        self.held = held
        self.orders = orders
        self.reads = tuple(ChannelRead(name, at, DEFAULT_LIMIT) for name, at in cursors.items())
        self.wait = wait
        self.window = window
        self.variant: Hashable = (held, orders, window)

    def for_seconds(self, wait: int, *, window: bool = False) -> HeldResponse:
        """The same poll with another wait."""
        cursors = {want.channel: want.since for want in self.reads}
        return HeldResponse(self.held, cursors, self.orders, wait, window=window)  # type: ignore[arg-type]

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Response | None:
        if any(isinstance(read, Gap) for read in reads.values()):
            return self._ask()
        events = [
            event for read in reads.values() if not isinstance(read, Gap) for event in read.events
        ]
        if not events:
            return None
        events.sort(key=lambda event: event.time)
        orders = self.orders.copy()
        due = [ready for event in events for ready in orders[event.channel].take(event)]
        told = self._first(due, orders)
        if told is not None:
            return told
        if not any(order.parked != self.orders[name].parked for name, order in orders.items()):
            return None
        if any(o.parked and self._recovers(name) for name, o in orders.items()):
            # The log is whole up to here and does not have what should stand before.
            return self._ask()
        moved = {name: read.cursor for name, read in reads.items() if not isinstance(read, Gap)}
        return self._later(orders, moved)

    def position(self, channel: str, read: Read) -> Cursor:
        if isinstance(read, Gap):
            return read.latest
        self.orders[channel].pass_over(read.events)
        return read.cursor

    def empty(self, at: Positions, hint: Hint) -> Response:
        if self.window and hint.retry_ms is None:
            orders = self.orders.copy()
            first = min(
                (order for order in orders.values() if order.parked),
                key=lambda order: order.parked[0].time,
            )
            return self._first(first.overdue(), orders) or self._later(
                orders, {want.channel: at[want.channel] for want in self.reads}
            )
        return self.held.instruct.response

    def error(self, problem: Problem) -> Response:
        # A channel that is deleted, or a log that cannot be read: the origin's answer still holds.
        return self.held.instruct.response

    def _later(self, orders: ItemSequences, moved: Mapping[str, Cursor]) -> Turn:
        cursors = {want.channel: moved.get(want.channel, want.since) for want in self.reads}
        return Turn(Then.WAIT, HeldResponse(self.held, cursors, orders))  # type: ignore[arg-type]

    def _ask(self) -> Turn:
        return Turn(Then.ASK, last=self.last_ids())

    def last_ids(self) -> tuple[tuple[str, str], ...]:
        """What the client has seen, by channel, where the origin named what it knew."""
        return tuple(
            (name, order.last or self.held.subscriptions[name].prev_id or "")
            for name, order in self.orders.items()
            if self._recovers(name)
        )

    def _recovers(self, channel: str) -> bool:
        """Whether the origin can tell what comes after an item: it named one itself."""
        return self.held.subscriptions[channel].prev_id is not None

    def _first(self, due: Iterable[Event], orders: ItemSequences) -> Response | None:
        """What the first event that concerns this hold gives it."""
        for event in due:
            item = item_of(event)
            pushed = item.response
            if pushed is None or pushed.action is DeliveryAction.CLOSE:
                continue
            if pushed.action is DeliveryAction.HINT:
                return self._ask()
            told = self._push(event, item, pushed, orders)
            if told is not None:
                return told
        return None

    def _push(
        self, event: Event, item: Item, pushed: ResponseFormat, orders: ItemSequences
    ) -> Response | None:
        """The pushed response, over the headers of the held one; None if filters drop it."""
        base = self.held.instruct.response
        body = pushed.body
        if pushed.patch is not None:
            try:
                body = apply_patch(base.body, pushed.patch)
            except GripError as error:
                return Problem("bad-gateway", str(error), channel=event.channel).response()
        content = apply_filters(
            self.held.subscriptions[event.channel].filters,
            pushed.content_filters,
            self.held.sight(item, orders),
            body,
        )
        if content is None:
            return None
        given = {name.lower() for name, _ in pushed.headers}
        headers = tuple(pair for pair in base.headers if pair[0].lower() not in given)
        return RawResponse(
            pushed.status,
            (*headers, *pushed.headers),
            content,
            reason=pushed.reason or reason_of(pushed.status),
            events=1,
        )
