"""What every store promises.

A store gives each event its epoch and offset, keeps it as long as its retention says, and reads
contiguous events after a cursor, or returns the gap. The store wakes its listener for every event,
in the channel's order, and settles the append after that: an acknowledged event is in the log.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from pushhub.log.channel import PRIVATE_MARK
from pushhub.log.cursor import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pushhub.log.cursor import Since
    from pushhub.log.event import Draft, Event
    from pushhub.log.read import Read

# How long an idempotency key is remembered. Centrifugo keeps five minutes: longer than any client
# retries.
IDEMPOTENCY_SECONDS = 300


# The reasons of a refusal: the word in metrics and `/readyz`, and the sentence for clients. The
# store's own sentence may name hosts, files and users, and only the operator may read it.
REASONS = {
    "away": "The store cannot be reached at the moment.",
    "busy": "The store has more to do than it can; try again in a moment.",
    "closed": "The store is closed.",
    "disk-full": "The store has no room on its disk.",
    "fenced": "The store is fenced for a planned restart; try again in a moment.",
    "io": "The store cannot use its disk.",
    "locked": "The store is locked by another program.",
    "namespace-full": "The namespace of the channel retains as many bytes as it may.",
    "misconf": "The store takes no writes because it cannot save them.",
    "noreplicas": "The store takes no writes because it lacks replicas.",
    "oom": "The store has no memory for writes.",
    "other": "The store cannot be used at the moment.",
    "readonly": "The store takes no writes.",
    "replaced": "The store's file was removed or replaced.",
}


class StoreError(Exception):
    """A request that the store cannot serve. The message is a sentence for the operator, and
    `reason`, one of `REASONS`, a word for programs.
    """

    def __init__(self, sentence: str, reason: str = "other") -> None:
        super().__init__(sentence)
        assert reason in REASONS
        self.reason = reason

    @property
    def public(self) -> str:
        """The sentence for clients."""
        return REASONS[self.reason]


class NamespaceFull(StoreError):
    """The event would exceed the bytes that its namespace may retain. It is not in the log."""

    def __init__(self, namespace: str, limit: int) -> None:
        super().__init__(
            f"The namespace {namespace!r} retains as many bytes as it may ({limit:,}).",
            "namespace-full",
        )
        self.namespace = namespace
        self.limit = limit


class StoreUnavailable(StoreError):
    """The store cannot be reached at the moment. Nothing was acknowledged."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a channel is kept: at most `events` (1 or more), none older than `age` seconds
    (None: any age).

    The last event survives age, so that a value does not vanish. In pushhub's own channels (`$…`)
    it does not: registers have no age, and age removes what a killed process left in the others.

    `namespace_bytes` is the limit on the bytes that all channels of the namespace retain together;
    None is without one. An append beyond it is refused.
    """

    events: int = 1000
    age: float | None = 86_400
    namespace_bytes: int | None = None


def is_spent(channel: str, retention: Retention, appended: int, now: int) -> bool:
    """Whether age has emptied one of pushhub's own channels, whose last append was at `appended`.
    Both times are in milliseconds since 1970.
    """
    age = retention.age
    return age is not None and channel.startswith(PRIVATE_MARK) and appended < now - age * 1000


# A `$` channel that is kept so is a register: a value with compare-and-set.
REGISTER = Retention(events=1, age=None)


@dataclass(frozen=True, slots=True)
class Expect:
    """A condition on the channel's last event, for compare-and-set (`If-Match`,
    `If-None-Match: *`).

    `cursors` are the events' own cursors one of which must be the last; `None` is any event at all,
    and an empty set that there is none.
    """

    cursors: frozenset[Cursor] | None

    def holds(self, last: Cursor | None) -> bool:
        """Whether `last`, the last event's own cursor, meets the condition."""
        if self.cursors is None:
            return last is not None
        if not self.cursors:
            return last is None
        return last in self.cursors


ANY_VALUE = Expect(None)
NO_VALUE = Expect(frozenset())


@dataclass(frozen=True, slots=True)
class Append:
    """One event to be appended. `key` is its idempotency key within the channel; empty for none."""

    channel: str
    draft: Draft
    retention: Retention = Retention()
    expect: Expect | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Appended:
    """The event is in the log. `duplicate`: it was there before, under the same idempotency key."""

    cursor: Cursor
    id: str
    duplicate: bool = False
    reached: str = ""
    """Where a store of several machines has it by now; empty where there is only one level."""
    present: str = ""
    """The store's epoch, if a duplicate is of an event from an older one; empty otherwise."""
    created: bool = field(default=False, compare=False)
    """Whether the store did not know the channel before. A deleted channel is known."""

    @property
    def position(self) -> Cursor:
        """The cursor that feeds give for the event: readers can go on from it in the store's
        epoch, which `cursor`, the event's own name, may not have.
        """
        return Cursor(self.present, self.cursor.offset) if self.present else self.cursor


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The condition did not hold: `last` is the last event's own cursor, None where there is no
    event."""

    last: Cursor | None


@dataclass(frozen=True, slots=True)
class KeyReused:
    """The idempotency key stands for an event with other content."""


Outcome = Appended | Mismatch | KeyReused | StoreError


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel in a list: how many events are kept, and the cursor after the last (in the present
    epoch)."""

    channel: str
    events: int
    latest: Cursor


class Listener(Protocol):
    """The receiver of a store's notifications. The store calls it on the event loop's thread, and
    each method returns quickly."""

    def wake(self, event: Event) -> None:
        """An event is in the log."""

    def receipt(self, channel: str, cursor: Cursor | None) -> None:
        """The reply to an append of this process says that the log reaches `cursor`; the reply to a
        delete, None. Only a store calls it whose `wake` and `forget` may come later.
        """

    def forget(self, channel: str) -> None:
        """A channel was deleted."""

    def lost(self) -> None:
        """The feed disconnected: from now on events may arrive without a `wake`."""

    def restored(self) -> None:
        """The feed is connected again; events since `lost` are in the log alone."""


class Store(Protocol):
    """A log for every channel. Methods are called on the event loop's thread."""

    async def open(self, listener: Listener) -> None:
        """Make ready; every other method comes after it.

        Raises:
            StoreError: it cannot be opened; the sentence says what to do.
        """

    async def close(self) -> None:
        """Finish appends under way, and release all resources."""

    @property
    def epoch(self) -> str:
        """The store's present epoch."""

    @property
    def ready(self) -> bool:
        """Whether the store can be used now."""

    @property
    def certain(self) -> bool:
        """Whether the absence of a `wake` proves that there is no event. It does not where
        notifications cross a network."""

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        """Append events, each atomically and alone, in this order; `done` gets their outcomes once
        all are settled.

        `done` is called on the loop's thread, after the listener was woken, possibly before this
        returns. (A store that is shared with other processes wakes through its feed, which may be
        a moment later.) An outcome that is a `StoreError` is a refusal: the event was not
        acknowledged, and is not in the log unless the connection broke at that moment.
        """

    async def read(self, channel: str, since: Since, limit: int) -> Read:
        """Read at most `limit` contiguous events after `since`, about 1 MiB at most, or the gap.

        From `EARLIEST` the oldest that are kept, from `NOW` none, from `LAST` the newest alone,
        from `RECENT` the last 100. A
        channel that does not exist is empty, and reading it writes nothing. The page's cursor has
        the store's present epoch.

        Raises:
            StoreUnavailable: the log cannot be read now.
        """

    async def tail(self, channel: str, limit: int) -> Read:
        """Read the last `limit` events, about 1 MiB at most: contiguous, and up to date. Always a
        `Page`.

        From then on the listener is woken for every event of the channel, until `leave` or `lost`.
        """

    def leave(self, channel: str) -> None:
        """This process reads the channel no more; the listener need not be woken for it."""

    async def time(self) -> float:
        """The time of the clock that stamps events: milliseconds since 1970, with fractions.

        Raises:
            StoreUnavailable: the clock cannot be read now.
        """

    async def count(self) -> int:
        """How many channels take room in the store: on Redis those that have events, elsewhere the
        deleted ones and pushhub's own too.

        Raises:
            StoreUnavailable: the store cannot be reached now.
        """

    async def retained(self, namespace: str) -> int:
        """The bytes that a namespace retains, which the store counts from now on. Aged events count
        until the store has removed them. On Redis the first count takes a moment.

        Raises:
            StoreUnavailable: the store cannot be reached now.
        """

    async def delete(self, channel: str) -> bool:
        """Delete a channel's events and notify the listener; whether there were any. Its offsets do
        not restart."""

    async def channels(self, prefix: str, after: str, limit: int) -> list[ChannelInfo]:
        """The public channels that have events, in the order of their names' UTF-8, after the name
        `after`."""


class TokenLease(NamedTuple):
    """Tokens of a rate that a process may use."""

    granted: int
    wait: float
    """Seconds until there is one more."""
    processes: int
    """The processes that have leased tokens in the last minutes."""


@runtime_checkable
class SharedTokens(Protocol):
    """A store that counts the tokens of rates for all of its processes."""

    def take_tokens(
        self,
        key: str,
        numbers: tuple[float, float, float, int],
        process: str,
        done: Callable[[TokenLease | None], None],
    ) -> None:
        """Charge a key's used tokens, and lease some more; `done` gets the lease, or None if the
        store cannot be reached. `numbers` are seconds for a token, burst, used and wanted tokens.
        """


async def append(store: Store, *appends: Append) -> list[Outcome]:
    """Append events to a store, and wait for their outcomes. A cancelled wait undoes nothing."""
    return await outcomes_of(store.append, appends)


async def outcomes_of(
    start: Callable[[list[Append], Callable[[list[Outcome]], None]], None],
    appends: Iterable[Append],
) -> list[Outcome]:
    """Append events by a function such as `Hub.publish`, and wait for their outcomes."""
    settled: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

    def done(outcomes: list[Outcome]) -> None:
        if not settled.done():
            settled.set_result(outcomes)

    start(list(appends), done)
    return await settled
