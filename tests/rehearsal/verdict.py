"""The independent checker: the diary of a run against the promises. No I/O, no clock."""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from pushhub.testing.history import HistoryFinding, HistoryReport, check
from tests.rehearsal.diary import CHAT
from tests.rehearsal.rules import STEADY, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pushhub.testing.history import Record
    from tests.rehearsal.diary import Diary, Exchange, Strike

EVERY_DAY = "every day"
# Findings of one kind that the report shows; the number counts them all.
SHOWN = 5
# A value before its first event, and a gap, are no errors.
EXPECTED = frozenset({200, 204, 304, 404, 410})


@dataclass(slots=True)
class Row:
    """The figures of one fault, or of the time without one."""

    fault: str
    rule: Rule
    begun: float
    healed: float
    ended: float
    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    stale: int = 0
    repeated: int = 0
    silence: float = 0.0
    silent: str = ""
    """The client with the longest silence."""
    wakes: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def wake(self, share: float) -> float:
        """The seconds from the publish to the delivery, of this share of deliveries."""
        if not self.wakes:
            return 0.0
        ordered = sorted(self.wakes)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Verdict:
    """The result of a run."""

    rows: list[Row]
    histories: dict[str, HistoryReport]

    @property
    def findings(self) -> list[str]:
        """Every broken promise."""
        found = [f"{row.fault}: {text}" for row in self.rows for text in row.findings]
        for name, history in self.histories.items():
            if not history.acknowledged:
                found.append(f"{name}: nothing was acknowledged, so nothing was checked")
            found += [f"{name}: {finding}" for finding in history.findings]
        return found


def judge(diary: Diary, rules: Mapping[str, Rule]) -> Verdict:
    """The verdict on a run; `rules` has the rule of each fault."""
    strikes = diary.strikes
    rows = [
        Row(s.fault, rules[s.fault], s.begun, s.healed, s.ended, notes=list(s.notes))
        for s in strikes
    ]
    calm = Row(EVERY_DAY, STEADY, 0.0, 0.0, strikes[0].begun if strikes else diary.now())
    judge_exchanges(diary.exchanges, strikes, rows, calm)
    for book in diary.books.values():
        measure(book.records, [calm, *rows])
    checks = {CHAT: judge_chat}
    histories = {name: checks.get(name, check)(book.records) for name, book in diary.books.items()}
    return Verdict([calm, *rows], histories)


def judge_chat(records: Iterable[Record]) -> HistoryReport:
    """Within a session every message that was accepted arrives once and in order, or comes back
    to its writer as an error. The end of a session, which its client notices, is a gap: it may
    only come with a fault that may end sessions."""
    report = HistoryReport()
    accepted: dict[str, set[int]] = defaultdict(set)
    arrived: dict[str, list[int]] = defaultdict(list)
    bounced: set[str] = set()
    ended: dict[str, str] = {}
    readers: dict[str, str] = {}
    faults: list[bool] = []

    def find(kind: str, channel: str, text: str) -> None:
        finding = HistoryFinding(kind, channel, readers.get(channel, ""), text)
        report.findings.append(finding)

    for record in records:
        channel, at = record.get("channel", ""), record["at"]
        match record["type"]:
            case "ok":
                report.acknowledged += 1
                accepted[channel].add(record["offset"])
            case "bounce":
                bounced.add(record["id"])
            case "fault":
                faults.append(record["loses"])
            case "read":
                readers[channel] = record["reader"]
                for _, number, _ in record["events"]:
                    before = arrived[channel]
                    if number in before:
                        find("duplicate", channel, f"{number} again at {at:.1f} s")
                    elif before and number < max(before):
                        find("order", channel, f"{number} after {max(before)} at {at:.1f} s")
                    before.append(number)
            case "gap":
                report.gaps += 1
                ended[channel] = record["reader"]
                # Clients notice the end of a session at their next request, maybe in the next
                # fault.
                if not any(faults[-2:]):
                    find("session", channel, f"ended at {at:.1f} s without a fault that may end it")
    for channel, numbers in accepted.items():
        for number in sorted(numbers):
            if number in arrived[channel]:
                report.delivered += 1
            elif channel in ended or f"{channel}-{number}" in bounced:
                report.told += 1
            else:
                report.lost += 1
                find("lost", channel, f"message {number} was accepted, and never arrived")
    return report


def judge_exchanges(
    exchanges: Iterable[Exchange], strikes: Sequence[Strike], rows: Sequence[Row], calm: Row
) -> None:
    """Hold each response to the rule of every fault that its request overlaps."""
    begins = [strike.begun for strike in strikes]
    lost: dict[tuple[str, str], tuple[Exchange, Row]] = {}
    for one in sorted(exchanges, key=lambda each: each.ended):
        row = _row(one, begins, rows, calm)
        row.requests += 1
        row.statuses[one.status] += 1
        row.stale += one.stale
        row.repeated += one.attempt > 1
        if text := offence(one, row.rule):
            row.findings.append(text)
        _repeat(one, row, lost)
    for one, row in lost.values():
        row.findings.append(f"a GET was never repeated with success: {_of(one)}")


def _row(one: Exchange, begins: Sequence[float], rows: Sequence[Row], calm: Row) -> Row:
    """The row of a request: of the latest fault that began before its end and had not ended at
    its begin, or of every day."""
    at = bisect.bisect_right(begins, one.ended) - 1
    if at >= 0 and one.begun <= rows[at].ended:
        return rows[at]
    return calm


def offence(one: Exchange, rule: Rule) -> str:
    """How a response breaks the rule; empty if it does not."""
    if one.stale or one.status in EXPECTED:
        return ""
    if 0 < one.status < 500:
        return f"an unexpected {one.status}: {_of(one)}"
    # A BOSH client reads no problem document. The proxy's own 503 has no Retry-After.
    own = one.status == 503 and one.retry_after and (one.ours or one.kind == "BOSH")
    if own:
        return "" if rule.away else f"503, though the store was there: {_of(one)}"
    if rule.breaks and one.status in (0, 502, 504):
        # A GET may be repeated once, and no more.
        return f"a GET failed twice: {_of(one)}" if _again(one) else ""
    if one.status == 503:
        return f"503 without Retry-After, or not of pushhub: {_of(one)}"
    return f"{one.status or 'a broken request'}: {_of(one)}"


def _again(one: Exchange) -> bool:
    return one.method == "GET" and one.attempt > 1


def _repeat(one: Exchange, row: Row, lost: dict[tuple[str, str], tuple[Exchange, Row]]) -> None:
    """Remember a GET that failed, until its client succeeds."""
    if one.method != "GET":
        return
    if one.status == 0 or one.status in (502, 504):
        lost.setdefault((one.client, one.kind), (one, row))
    else:
        lost.pop((one.client, one.kind), None)


def _of(one: Exchange) -> str:
    text = " " + " ".join(one.text.split())[:100] if one.text else ""
    return f"{one.method} of {one.client} at {one.begun:.1f} s, {one.ended - one.begun:.2f} s{text}"


def measure(records: Iterable[Record], rows: Sequence[Row]) -> None:
    """Each row's delays from a publish to a delivery, and its longest silence of a client."""
    invoked: dict[str, float] = {}
    # After a gap a reader may receive again what it had.
    had: set[tuple[str, str]] = set()
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in records:
        at = record["at"]
        match record["type"]:
            case "invoke":
                invoked.setdefault(record["id"], at)
            case "read" if record["events"] and not record.get("plain"):
                reader = record["reader"]
                trail = seen[reader, record["channel"]]
                new = {id for _, _, id in record["events"] if (reader, id) not in had}
                had |= {(reader, id) for id in new}
                if trail and (row := _at(at, rows)):
                    row.wakes += [at - invoked[id] for id in new if id in invoked]
                trail.append(at)
            case "value":
                seen[record["reader"], record["channel"]].append(at)
    for (name, _), times in seen.items():
        for before, after in pairwise(times):
            for row in rows:
                if (
                    before <= row.ended
                    and after >= row.begun
                    and after <= row.ended
                    and after - before > row.silence
                ):
                    row.silence, row.silent = after - before, name


def _at(at: float, rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if row.begun <= at <= row.ended), None)
