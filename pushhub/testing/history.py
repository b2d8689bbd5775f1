"""The history checker: what publishers were promised, against what readers got.

Whoever drives a hub under faults writes down what happens, one JSON object a line, in the order in
which it was seen (docs/faults.md has the format). `check` reads it afterwards and finds:

    lost       an acknowledged event that a reader neither got nor was told of by a gap in time
    hole       an answer that does not begin where the reader stood, or leaves out an offset
    order      an event after a later one, or a value that goes back
    duplicate  an event that the cursor of the request already covered
    content    a position (channel, epoch, offset) with two contents
    twice      one idempotency key, two events of one epoch
    stale      a wait that ends "up to date", though more was acknowledged before it began
    false-gap  a gap, though nothing could have been lost since its cursor's epoch began
    reader     a request with a cursor that its reader was never given: a broken history

As a program: `python -m pushhub.testing.history FILE` prints the report, and fails on any finding.
"""

from __future__ import annotations

import bisect
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

Record = Mapping[str, Any]


class HistoryPosition(NamedTuple):
    """A position in a channel. Epochs count from 0 in the order in which the history meets them."""

    epoch: int
    offset: int


# Before everything: where a reader stands that began at the oldest event.
BEGINNING = HistoryPosition(-1, -1)


class HistoryFinding(NamedTuple):
    """A promise that was broken."""

    kind: str
    channel: str
    reader: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.channel} {self.reader}: {self.text}"


@dataclass(slots=True)
class HistoryReport:
    """What a history comes to. Delivered, told and lost count each event once for each reader."""

    acknowledged: int = 0
    refused: int = 0
    delivered: int = 0
    told: int = 0
    lost: int = 0
    pending: int = 0
    """Neither delivered nor told, and the history ends before the reader had to know."""
    gaps: int = 0
    slowest: float = 0.0
    """The longest time from an acknowledgement to a delivery: seconds."""
    recovery: float = 0.0
    """The longest time from a heal to a reader's first event that was published after it: seconds,
    infinite if one got none."""
    findings: list[HistoryFinding] = field(default_factory=list)

    def __str__(self) -> str:
        line = (
            f"{self.acknowledged} acknowledged, {self.refused} refused, {self.delivered} delivered,"
            f" {self.told} told as gaps ({self.gaps} gaps), {self.pending} pending,"
            f" {self.lost} LOST UNTOLD, slowest after {self.slowest:.2f} s,"
            f" recovered within {self.recovery:.2f} s"
        )
        return "\n".join([line, *map(str, self.findings)])


@dataclass(slots=True)
class Ack:
    """An event that a publisher was told is in the log."""

    place: HistoryPosition
    id: str
    at: float


@dataclass(slots=True)
class ReportedGap:
    """A gap that was reported to a reader: its bounds, and the deliveries before it."""

    since: HistoryPosition
    until: HistoryPosition
    after: int

    def covers(self, place: HistoryPosition) -> bool:
        """Whether the gap says that the event there may be lost."""
        if place.epoch == self.until.epoch:
            return place.offset <= self.until.offset and place > self.since
        if place.epoch == self.since.epoch:
            return place.offset > self.since.offset
        first, last = sorted((self.since.epoch, self.until.epoch))
        return first < place.epoch < last


@dataclass(slots=True)
class Trail:
    """One reader's way through one channel."""

    start: HistoryPosition
    at: HistoryPosition
    got: dict[HistoryPosition, float] = field(default_factory=dict)
    # After each delivery: the latest event so far.
    latest: list[HistoryPosition] = field(default_factory=list)
    gaps: list[ReportedGap] = field(default_factory=list)

    def knows(self, place: HistoryPosition) -> bool | None:
        """Whether a gap told of a missing event in time; None if there is nothing later yet."""
        later = bisect.bisect_right(self.latest, place)
        if any(gap.after <= later and gap.covers(place) for gap in self.gaps):
            return True
        return None if later == len(self.latest) else False


class Checker:
    """Takes in a history line by line; `report` says what it comes to."""

    def __init__(self) -> None:
        self._report = HistoryReport()
        self._epochs: dict[str, int] = {}
        self._born: list[float] = []
        self._invoked: dict[str, float] = {}
        self._keyed: set[str] = set()
        self._acks: dict[str, list[Ack]] = defaultdict(list)
        self._contents: dict[tuple[str, HistoryPosition], str] = {}
        self._places: dict[str, set[tuple[str, HistoryPosition]]] = defaultdict(set)
        self._trails: dict[tuple[str, str], Trail] = {}
        self._values: dict[tuple[str, str], tuple[HistoryPosition, float]] = {}
        self._fresh: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        # When something that may lose events was broken, and until when.
        self._faults: list[list[float]] = []
        self._heals: list[float] = []
        self._ended = False
        self._at = 0.0

    def take(self, record: Record) -> None:
        """Take in one line."""
        self._at = record.get("at", self._at)
        getattr(self, "_take_" + record["type"])(record)

    # Publishers

    def _take_invoke(self, record: Record) -> None:
        self._invoked.setdefault(record["id"], self._at)
        if record.get("key"):
            self._keyed.add(record["id"])

    def _take_ok(self, record: Record) -> None:
        self._report.acknowledged += 1
        place = HistoryPosition(self._rank(record["epoch"]), record["offset"])
        self._saw(record["channel"], place, record["id"], "")
        self._acks[record["channel"]].append(Ack(place, record["id"], self._at))

    def _take_fail(self, record: Record) -> None:
        self._report.refused += 1

    # Readers

    def _take_read(self, record: Record) -> None:
        channel, reader, trail = self._come(record)
        since, cursor = trail.at, self._place(record["cursor"])
        expected = since.offset + 1 if since != BEGINNING else None
        for epoch, offset, id_ in record["events"]:
            place = HistoryPosition(self._rank(epoch), offset)
            self._saw(channel, place, id_, reader)
            if expected is not None and offset != expected:
                kind = "hole" if offset > expected else "order"
                kind = "duplicate" if offset <= since.offset else kind
                self._find(kind, channel, reader, f"{epoch}-{offset} where {expected} follows")
            expected = offset + 1
            trail.got.setdefault(place, self._at)
            trail.latest.append(max(place, trail.latest[-1]) if trail.latest else place)
            self._fresh[channel, reader].append((self._at, self._invoked.get(id_, -inf)))
        if expected is not None and cursor.offset != expected - 1:
            kind = "hole" if cursor.offset >= expected else "order"
            self._find(kind, channel, reader, f"the cursor moved to {record['cursor']}")
        elif since != BEGINNING and since.epoch != cursor.epoch:
            text = f"from {record['since']} to {record['cursor']} without a gap"
            self._find("hole", channel, reader, text)
        trail.at = cursor
        if record.get("up_to_date") and "asked" in record:
            self._check_claim(record, cursor)

    def _check_claim(self, record: Record, cursor: HistoryPosition) -> None:
        for ack in reversed(self._acks[record["channel"]]):
            if ack.at < record["asked"] and ack.place > cursor:
                text = f"{record['cursor']} is said to be up to date, but {ack.id} came before"
                return self._find("stale", record["channel"], record["reader"], text)
            if ack.at < record["asked"] - 10:
                return None
        return None

    def _take_gap(self, record: Record) -> None:
        channel, reader, trail = self._come(record)
        self._report.gaps += 1
        since, until = trail.at, self._place(record["cursor"])
        trail.gaps.append(ReportedGap(since, until, len(trail.latest)))
        trail.at = until
        born = self._born[since.epoch] if since != BEGINNING else 0.0
        if not any(begin <= self._at and end >= born for begin, end in self._faults):
            text = f"{record['reason']} from {record['since']} to {record['cursor']}"
            self._find("false-gap", channel, reader, text)

    def _come(self, record: Record) -> tuple[str, str, Trail]:
        """The trail of a reader that asked: it stands where its request says."""
        channel, reader = record["channel"], record["reader"]
        since = BEGINNING if record["since"] is None else self._place(record["since"])
        trail = self._trails.get((channel, reader))
        if trail is None:
            trail = self._trails[channel, reader] = Trail(since, since)
        elif since.epoch != trail.at.epoch or since > trail.at:
            text = f"it asked from {record['since']}, which is not where it stood"
            self._find("reader", channel, reader, text)
        trail.at = since
        return channel, reader, trail

    def _take_value(self, record: Record) -> None:
        channel, reader = record["channel"], record["reader"]
        place = HistoryPosition(self._rank(record["epoch"]), record["offset"])
        self._saw(channel, place, record["id"], reader)
        before, seen = self._values.get((channel, reader), (BEGINNING, self._at))
        if place < before and not any(
            begin <= self._at and end >= seen for begin, end in self._faults
        ):
            self._find("order", channel, reader, f"the value went back to {record['id']}")
        self._values[channel, reader] = place, self._at

    # What was done to the hub

    def _take_fault(self, record: Record) -> None:
        if record.get("loses"):
            self._faults.append([self._at, inf])

    def _take_heal(self, record: Record) -> None:
        self._heals.append(self._at)
        if self._faults:
            self._faults[-1][1] = min(self._at, self._faults[-1][1])

    def _take_end(self, record: Record) -> None:
        self._ended = True

    # What follows from it

    def report(self) -> HistoryReport:
        """What the history comes to; to be asked once."""
        report = self._report
        for (channel, reader), trail in self._trails.items():
            for ack in self._acks[channel]:
                if ack.place <= trail.start:
                    continue
                if (got := trail.got.get(ack.place)) is not None:
                    report.delivered += 1
                    report.slowest = max(report.slowest, got - ack.at)
                    continue
                told = trail.knows(ack.place)
                if told:
                    report.told += 1
                elif told is None and not self._ended:
                    report.pending += 1
                else:
                    report.lost += 1
                    self._find("lost", channel, reader, f"{ack.id} at offset {ack.place.offset}")
        self._check_values()
        for id_ in self._keyed:
            epochs = [(channel, place.epoch) for channel, place in self._places[id_]]
            if len(set(epochs)) < len(epochs):
                self._find("twice", epochs[0][0], "", f"{id_} has one key and two places")
        report.recovery = max((self._recovery(heal) for heal in self._heals), default=0.0)
        return report

    def _check_values(self) -> None:
        healed = max((end for _, end in self._faults), default=-inf)
        for (channel, reader), (place, _) in self._values.items():
            kept = [ack for ack in self._acks[channel] if ack.at > healed]
            last = max(kept, key=lambda ack: ack.place, default=None)
            if self._ended and last is not None and place < last.place:
                self._report.lost += 1
                self._find("lost", channel, reader, f"the last value seen is older than {last.id}")

    def _recovery(self, heal: float) -> float:
        """How long the slowest reader waited for news after a heal, where there was any."""
        news = {
            channel
            for channel, acks in self._acks.items()
            if any(self._invoked.get(ack.id, -inf) > heal for ack in acks)
        }
        return (
            max(
                (
                    min((at for at, invoked in self._fresh[trail] if invoked > heal), default=inf)
                    for trail in self._trails
                    if trail[0] in news
                ),
                default=heal,
            )
            - heal
        )

    def _saw(self, channel: str, place: HistoryPosition, id_: str, reader: str) -> None:
        known = self._contents.setdefault((channel, place), id_)
        if known != id_:
            text = f"offset {place.offset} is {known}, and it is {id_}"
            self._find("content", channel, reader, text)
        self._places[id_].add((channel, place))

    def _place(self, cursor: str) -> HistoryPosition:
        epoch, _, offset = cursor.rpartition("-")
        return HistoryPosition(self._rank(epoch), int(offset))

    def _rank(self, epoch: str) -> int:
        rank = self._epochs.setdefault(epoch, len(self._epochs))
        if rank == len(self._born):
            self._born.append(self._at)
        return rank

    def _find(self, kind: str, channel: str, reader: str, text: str) -> None:
        self._report.findings.append(HistoryFinding(kind, channel, reader, text))


def check(records: Iterable[Record]) -> HistoryReport:
    """What a whole history comes to."""
    checker = Checker()
    for record in records:
        checker.take(record)
    return checker.report()


def load(path: Path) -> Iterator[Record]:
    """The records of a file of JSON lines."""
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)


def main(arguments: list[str]) -> int:
    """Check the file that is named; 1 if a promise was broken."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m pushhub.testing.history FILE\n")
        return 2
    report = check(load(Path(arguments[0])))
    sys.stdout.write(f"{report}\n")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
