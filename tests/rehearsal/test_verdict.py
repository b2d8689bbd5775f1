"""The checker finds each broken promise in a diary, and nothing in a good one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rehearsal.diary import CHAT, LOG, ORIGIN, Diary, Exchange, Strike
from tests.rehearsal.faults import FAULTS
from tests.rehearsal.rules import KILLED, RULES, STEADY, STORE, Rule
from tests.rehearsal.verdict import judge, judge_chat, offence

OWN = {"status": 503, "ours": True, "retry_after": True}


def exchange(**members: Any) -> Exchange:
    given = {"client": "c", "kind": "long", "method": "GET", "begun": 1.0, "ended": 2.0}
    return Exchange(**{**given, "status": 200, **members})


@pytest.mark.parametrize(
    ("members", "allowed"),
    [
        ({}, {"steady", "store", "killed"}),
        ({"status": 304}, {"steady", "store", "killed"}),
        ({"status": 401}, set()),
        ({"status": 429}, set()),
        ({"status": 500}, set()),
        ({"status": 0, "stale": True}, {"steady", "store", "killed"}),
        (OWN, {"store", "killed"}),
        ({**OWN, "retry_after": False}, set()),
        ({**OWN, "ours": False}, set()),
        ({"status": 502}, {"killed"}),
        ({"status": 504}, {"killed"}),
        ({"status": 0}, {"killed"}),
        ({"status": 0, "attempt": 2}, set()),
        ({"status": 502, "attempt": 2}, set()),
        ({"status": 502, "attempt": 2, "method": "POST"}, {"killed"}),
    ],
)
def test_each_rule_allows_what_it_says(members: dict[str, Any], allowed: set[str]) -> None:
    one = exchange(**members)
    assert {name for name, rule in RULES.items() if not offence(one, rule)} == allowed


def diary(*exchanges: Exchange, strike: str = "upgrade") -> Diary:
    """A diary with one strike from 10 to 20 s, and one event in each history."""
    made = Diary()
    for name in (LOG, CHAT, ORIGIN):
        book = made.books[name]
        book.records += [
            {"type": "invoke", "at": 1.0, "channel": "a", "id": "1", "key": False},
            {"type": "ok", "at": 1.1, "channel": "a", "id": "1", "epoch": "e", "offset": 1},
        ]
    read(made, CHAT, 1, 1.2)
    made.strikes.append(Strike(strike, 10.0, 15.0, 20.0))
    made.exchanges += exchanges
    return made


def read(made: Diary, book: str, offset: int, at: float, reader: str = "r") -> None:
    members = {
        "reader": reader,
        "channel": "a",
        "since": f"e-{offset - 1}",
        "cursor": f"e-{offset}",
    }
    record = {"type": "read", "at": at, **members, "events": [["e", offset, str(offset)]]}
    made.books[book].records.append(record)


def rules() -> dict[str, Rule]:
    return {name: fault.rule for name, fault in FAULTS.items()}


def test_a_good_run_has_no_findings() -> None:
    made = diary(exchange(), exchange(begun=12.0, ended=13.0))
    verdict = judge(made, rules())
    assert verdict.findings == []
    assert [row.requests for row in verdict.rows] == [1, 1]


def test_a_run_in_which_nothing_was_published_proves_nothing() -> None:
    verdict = judge(Diary(), rules())
    assert len(verdict.findings) == 3
    assert all("nothing was acknowledged" in text for text in verdict.findings)


@pytest.mark.parametrize(
    ("times", "row"), [((8.0, 9.0), 0), ((8.0, 12.0), 1), ((18.0, 25.0), 1), ((21.0, 22.0), 0)]
)
def test_a_request_belongs_to_the_fault_that_it_overlaps(
    times: tuple[float, float], row: int
) -> None:
    verdict = judge(diary(exchange(begun=times[0], ended=times[1], **OWN), strike="pause"), rules())
    assert verdict.rows[row].requests == 1
    # 503 is pushhub's own word while the store is away, and a finding on every other day.
    assert bool(verdict.findings) == (row == 0)


def test_a_get_that_never_succeeds_again_is_lost() -> None:
    broken = exchange(begun=11.0, ended=12.0, status=0)
    again = exchange(begun=12.0, ended=13.0, attempt=2)
    assert judge(diary(broken, again, strike="worker-killed"), rules()).findings == []
    [finding] = judge(diary(broken, strike="worker-killed"), rules()).findings
    assert "never repeated with success" in finding
    # The success of another client is none.
    other = exchange(begun=12.0, ended=13.0, client="d")
    assert judge(diary(broken, other, strike="worker-killed"), rules()).findings


def test_the_longest_silence_and_the_delays_of_a_fault() -> None:
    made = diary()
    read(made, LOG, 1, 2.0)
    for number, at in ((2, 9.0), (3, 14.0)):
        member = {"channel": "a", "id": str(number)}
        made.books[LOG].records += [
            {"type": "invoke", "at": at - 0.5, "key": False, **member},
            {"type": "ok", "at": at - 0.4, "epoch": "e", "offset": number, **member},
        ]
        read(made, LOG, number, at)
    verdict = judge(made, rules())
    assert verdict.findings == []
    calm, row = verdict.rows
    assert (calm.silence, row.silence, row.silent) == (7.0, 5.0, "r")
    assert row.wakes == [0.5]


def test_an_event_that_a_reader_never_got_is_lost_untold() -> None:
    made = diary()
    read(made, LOG, 1, 2.0)
    made.books[LOG].records += [
        {"type": "invoke", "at": 3.0, "channel": "a", "id": "2", "key": False},
        {"type": "ok", "at": 3.1, "channel": "a", "id": "2", "epoch": "e", "offset": 2},
        {"type": "end", "at": 30.0},
    ]
    assert judge(made, rules()).histories[LOG].lost == 1


def ok(number: int, at: float = 1.0) -> dict[str, Any]:
    return {"type": "ok", "at": at, "channel": "a>b", "id": f"a>b-{number}", "offset": number}


def got(number: int, at: float = 2.0) -> dict[str, Any]:
    events = [["a>b", number, f"a>b-{number}"]]
    return {"type": "read", "at": at, "channel": "a>b", "reader": "b", "events": events}


FAULT = {"type": "fault", "at": 1.5, "name": "x", "loses": True}
CALM = {**FAULT, "loses": False}
ENDED = {"type": "gap", "at": 3.0, "channel": "a>b", "reader": "b"}
BOUNCE = {"type": "bounce", "at": 3.0, "channel": "a>b", "id": "a>b-1"}


@pytest.mark.parametrize(
    ("records", "kinds"),
    [
        ([ok(1), got(1)], []),
        ([ok(1)], ["lost"]),
        ([ok(1), BOUNCE], []),
        ([ok(1), FAULT, ENDED], []),
        ([ok(1), got(1), ENDED], ["session"]),
        ([ok(1), got(1), CALM, ENDED], ["session"]),
        ([ok(1), got(1), got(1)], ["duplicate"]),
        ([ok(1), ok(2), got(2), got(1)], ["order"]),
        # Without an acknowledgement the writer does not count on it.
        ([got(1)], []),
    ],
)
def test_what_breaks_the_promise_of_a_chat(records: list[dict[str, Any]], kinds: list[str]) -> None:
    assert [finding.kind for finding in judge_chat(records).findings] == kinds


def test_the_table_of_faults_has_what_the_report_needs() -> None:
    assert len(FAULTS) == 11
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert fault.what
        assert RULES[fault.rule.name] is fault.rule
        # A gap is an excuse only where the log or its process is lost.
        assert not fault.loses or fault.rule in (STORE, KILLED)
    for name in ("upgrade", "reload", "bad-deploy", "clock", "abuser"):
        assert FAULTS[name].rule is STEADY
