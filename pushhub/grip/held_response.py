"""A held response: a poll of GRIP channels, whose response is a published item.

Requests that one response of the origin serves share a `HeldInstruct` and get the same bytes. A
poll is immutable: the hub calls it again and again with all events since its position. A poll that
cannot go on as it is returns a `Continuation`, which is no response but an order to its hold
(`origin/grip/hold.py`): fetch from the origin again, or wait with another poll.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pushhub.grip.fields import GripError
from pushhub.grip.filters import FilterInput, apply_filters
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


class HoldAction(Enum):
    """What a hold does instead of responding."""

    FETCH = "fetch"
    """Fetch from the origin again: a publisher asks for it, or only the origin can repair a gap."""
    WAIT = "wait"
    """Wait with the poll of the continuation."""


class Continuation(Response):
    """How a hold goes on without a response. It is never written."""

    __slots__ = ("action", "last_ids", "poll")

    def __init__(
        self,
        action: HoldAction,
        poll: HeldResponse | None = None,
        last_ids: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(502)
        self.action = action
        self.poll = poll
        # The last item ids that the client has seen, by channel, for the origin.
        self.last_ids = last_ids


@dataclass(frozen=True, slots=True, eq=False)
class HeldInstruct:
    """An instruct that holds a response, and its channels by name. Equal only to itself."""

    instruct: Instruct
    subscriptions: Mapping[str, GripSubscription]

    @classmethod
    def of(cls, instruct: Instruct) -> HeldInstruct:
        """Index the channels of an instruct."""
        return cls(instruct, {each.channel: each for each in instruct.subscriptions})

    def filter_input(self, item: Item, sequences: ItemSequences) -> FilterInput:
        """The data for the filters of an item."""
        prev_ids = {name: sequences[name].last_id for name in self.subscriptions}
        return FilterInput(self.instruct.meta, item.meta, prev_ids)


class HeldResponse:
    """One wait of a held response, at most `wait` seconds.

    With `window` it waits for the predecessor of an item that came too early.
    """

    __slots__ = ("held", "reads", "sequences", "variant", "wait", "window")

    kind = "response of GRIP"

    def __init__(
        self,
        held: HeldInstruct,
        cursors: Mapping[str, Cursor],
        sequences: ItemSequences,
        wait: int | None = None,
        *,
        window: bool = False,
    ) -> None:
        self.held = held
        self.sequences = sequences
        self.reads = tuple(ChannelRead(name, at, DEFAULT_LIMIT) for name, at in cursors.items())
        self.wait = wait
        self.window = window
        self.variant: Hashable = (held, sequences, window)

    def for_seconds(self, wait: int, *, window: bool = False) -> HeldResponse:
        """The same poll with another wait."""
        cursors = {channel_read.channel: channel_read.since for channel_read in self.reads}
        return HeldResponse(self.held, cursors, self.sequences, wait, window=window)  # type: ignore[arg-type]

    def reply(self, reads: Mapping[str, Read], hint: Hint = NO_HINT) -> Response | None:
        if any(isinstance(read, Gap) for read in reads.values()):
            return self._fetch()
        events = [
            event for read in reads.values() if not isinstance(read, Gap) for event in read.events
        ]
        if not events:
            return None
        events.sort(key=lambda event: event.time)
        sequences = self.sequences.copy()
        due = [ready for event in events for ready in sequences[event.channel].push(event)]
        response = self._first(due, sequences)
        if response is not None:
            return response
        if not any(each.parked != self.sequences[name].parked for name, each in sequences.items()):
            return None
        if any(each.parked and self._recovers(name) for name, each in sequences.items()):
            # The log is complete up to here, and the predecessor is not in it.
            return self._fetch()
        moved = {name: read.cursor for name, read in reads.items() if not isinstance(read, Gap)}
        return self._later(sequences, moved)

    def position(self, channel: str, read: Read) -> Cursor:
        if isinstance(read, Gap):
            return read.latest
        self.sequences[channel].skip(read.events)
        return read.cursor

    def empty(self, at: Positions, hint: Hint) -> Response:
        if self.window and hint.retry_ms is None:
            sequences = self.sequences.copy()
            first = min(
                (sequence for sequence in sequences.values() if sequence.parked),
                key=lambda sequence: sequence.parked[0].time,
            )
            return self._first(first.pop_overdue(), sequences) or self._later(
                sequences,
                {channel_read.channel: at[channel_read.channel] for channel_read in self.reads},
            )
        return self.held.instruct.response

    def error(self, problem: Problem) -> Response:
        # A channel was deleted, or the log cannot be read: the origin's response is still valid.
        return self.held.instruct.response

    def _later(self, sequences: ItemSequences, moved: Mapping[str, Cursor]) -> Continuation:
        cursors = {
            channel_read.channel: moved.get(channel_read.channel, channel_read.since)
            for channel_read in self.reads
        }
        return Continuation(HoldAction.WAIT, HeldResponse(self.held, cursors, sequences))  # type: ignore[arg-type]

    def _fetch(self) -> Continuation:
        return Continuation(HoldAction.FETCH, last_ids=self.last_ids())

    def last_ids(self) -> tuple[tuple[str, str], ...]:
        """The last item that the client has seen, of each channel with a `prev-id`."""
        return tuple(
            (name, sequence.last_id or self.held.subscriptions[name].prev_id or "")
            for name, sequence in self.sequences.items()
            if self._recovers(name)
        )

    def _recovers(self, channel: str) -> bool:
        """Whether the origin can repair a gap in the channel: it named a `prev-id`."""
        return self.held.subscriptions[channel].prev_id is not None

    def _first(self, due: Iterable[Event], sequences: ItemSequences) -> Response | None:
        """The response to the first event that applies to this hold."""
        for event in due:
            item = item_of(event)
            pushed = item.response
            if pushed is None or pushed.action is DeliveryAction.CLOSE:
                continue
            if pushed.action is DeliveryAction.HINT:
                return self._fetch()
            response = self._push(event, item, pushed, sequences)
            if response is not None:
                return response
        return None

    def _push(
        self, event: Event, item: Item, pushed: ResponseFormat, sequences: ItemSequences
    ) -> Response | None:
        """The pushed response, merged over the headers of the held one; None if filters drop it."""
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
            self.held.filter_input(item, sequences),
            body,
        )
        if content is None:
            return None
        pushed_names = {name.lower() for name, _ in pushed.headers}
        headers = tuple(pair for pair in base.headers if pair[0].lower() not in pushed_names)
        return RawResponse(
            pushed.status,
            (*headers, *pushed.headers),
            content,
            reason=pushed.reason or reason_of(pushed.status),
            events=1,
        )
