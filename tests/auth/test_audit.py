"""The audit log: its line, its bounds, and that no field can forge another line."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pushhub import telemetry
from pushhub.auth.audit import (
    MAX_REPEATS,
    MAX_TARGET_BYTES,
    NETWORK_RATE,
    PROCESS_RATE,
    REPEAT_SECONDS,
    USER_RATE,
    AuditActor,
    AuditLog,
    actor_of,
)
from pushhub.auth.audit_file import AuditFile
from pushhub.http.problem import PROBLEMS, Problem
from pushhub.http.request import Request
from pushhub.log.channel import Patterns
from pushhub.log.grant import EVERYTHING, NOTHING, Grant

MAX_LINE_BYTES = 4096


class Written:
    """An audit log on a clock that stands still, and its lines."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.123
        self.lines: list[str] = []
        self.log = AuditLog(
            lambda: self.now, lambda count: bytes(count), "node-1", write=self.lines.append
        )

    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def written() -> Written:
    return Written()


def test_a_line_says_who_did_what_on_what_and_when(written: Written) -> None:
    actor = AuditActor("key", "ops", "192.0.2.1", "r-1")
    written.log.record("channel.delete", actor, "news:1", outcome="failed", reason="not-found")
    assert written.records() == [
        {
            "time": "2027-01-15T08:00:00.123Z",
            "id": "01MCC5RM3V0000000000000000",
            "actor": {"type": "key", "id": "ops", "address": "192.0.2.1", "request_id": "r-1"},
            "action": "channel.delete",
            "target": {"type": "channel", "id": "news:1"},
            "outcome": "failed",
            "reason": "not-found",
            "node": "node-1",
        }
    ]


def test_ids_sort_by_time(written: Written) -> None:
    for _ in range(50):
        written.log.record("a.b", AuditActor("signal"))
        written.now += 0.002
    ids = [str(record["id"]) for record in written.records()]
    assert ids == sorted(ids)
    assert len(set(ids)) == 50


@given(st.text(max_size=5000), st.text(max_size=5000), st.text(max_size=5000))
def test_no_text_forges_a_line_or_makes_it_long(name: str, target: str, reason: str) -> None:
    written = Written()
    actor = AuditActor("account", name, name, name)
    written.log.record("a.b", actor, target, outcome="failed", reason=reason)
    (line,) = written.lines
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= MAX_LINE_BYTES
    record = json.loads(line)
    assert (record["action"], record["outcome"]) == ("a.b", "failed")
    if len(name) < 40:
        assert record["actor"]["id"] == name


@pytest.mark.parametrize("text", ['\n{"action": "x"}', "\x1b[2K", "\u2028", "\u202e", "\x85"])
def test_a_control_character_is_escaped(written: Written, text: str) -> None:
    written.log.record("a.b", AuditActor("account", text), text)
    assert written.lines[0].isprintable()
    assert json.loads(written.lines[0])["target"]["id"] == text


@pytest.mark.parametrize("slug", PROBLEMS)
def test_refusals_of_credentials_and_rates_are_recorded(written: Written, slug: str) -> None:
    request = Request("GET", "/v1/channels", "token=secret", {}, client="192.0.2.1")
    with structlog.testing.capture_logs() as logged:
        written.log.refused(Problem(slug, "secret detail"), request)
    if PROBLEMS[slug][0] not in (401, 403, 429):
        assert not written.lines + logged
        return
    (record,) = written.records()
    assert (record["action"], record["outcome"], record["reason"]) == (
        "auth.refused",
        "refused",
        slug,
    )
    assert record["target"] == {"type": "request", "id": "GET /v1/channels"}
    assert "secret" not in written.lines[0] + str(logged)
    assert [(line["event"], line["client"], line["reason"]) for line in logged] == [
        ("auth.refused", "192.0.2.1", slug)
    ]


@contextmanager
def logging_to(stream: io.StringIO) -> Iterator[None]:
    """The operator's log goes to a stream."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    telemetry.configure("info", "json", stream=stream)
    try:
        yield
    finally:
        root.handlers[:], root.level = handlers, level


def flood(written: Written, addresses: int, times: int) -> None:
    for _ in range(times):
        for number in range(addresses):
            address = f"198.51.{number >> 8}.{number & 255}"
            written.log.refuse(AuditActor("none", "", address), "unauthorized")


def test_a_flood_of_one_network_is_sampled(written: Written) -> None:
    for number in range(1000):
        written.log.refuse(AuditActor("none", "", f"2001:db8::{number:x}"), "unauthorized")
    assert len(written.lines) == NETWORK_RATE.burst
    written.now += NETWORK_RATE.interval
    written.log.refuse(AuditActor("none", "", "2001:db8::1"), "unauthorized")
    assert written.records()[-1]["suppressed"] == 1000 - NETWORK_RATE.burst
    assert written.log.dropped == {"rate": 1000 - NETWORK_RATE.burst}


def test_a_flood_of_many_networks_is_sampled(written: Written) -> None:
    flood(written, 5000, 2)
    assert sum(map(len, written.lines)) <= PROCESS_RATE.burst + MAX_LINE_BYTES
    assert len(written.lines) > 500, "and enough for fail2ban"
    before = len(written.lines)
    # The budget is that of a reason: a flood of requests hides no guesses.
    written.log.refuse(AuditActor("none", "", "192.0.2.9"), "too-many-requests")
    assert len(written.lines) == before + 1


@pytest.mark.parametrize("reason", ["unauthorized", "too-many-requests"])
@pytest.mark.slow
def test_an_hour_of_floods_costs_bounded_bytes(written: Written, reason: str) -> None:
    """From as many networks as an attacker likes, with the longest texts."""
    logged = io.StringIO()
    with logging_to(logged):
        for second in range(360):
            written.now += 10
            for number in range(50):
                address = f"2001:db8:{second:x}:{number:x}::1"
                actor = AuditActor("account", "\u202e" * 3000, address, "r" * 64)
                written.log.refuse(actor, reason, "\u202e" * 8000)
    size = sum(map(len, written.lines)) + len(logged.getvalue())
    assert size < PROCESS_RATE.burst + 3600 / PROCESS_RATE.interval + 2 * MAX_LINE_BYTES
    assert size < 8 * 1024 * 1024


def test_actions_of_a_user_are_sampled(written: Written) -> None:
    user = actor_of(Grant(manage=Patterns(["mine:*"]), subject="u", expires=2e9), "192.0.2.1")
    for _ in range(5000):
        written.log.record("channel.delete", user, "mine:1")
    assert len(written.lines) == USER_RATE.burst
    written.now += 1
    written.log.record("channel.delete", user, "mine:1")
    assert written.records()[-1]["suppressed"] == 5000 - USER_RATE.burst
    assert written.log.dropped == {"rate": 5000 - USER_RATE.burst}
    admin = actor_of(Grant(manage=Patterns(["*"]), subject="ops", expires=2e9), "192.0.2.1")
    before = len(written.lines)
    for _ in range(5000):
        written.log.record("channel.delete", admin, "a")
    assert len(written.lines) == before + 5000


def test_a_management_action_is_never_left_out(written: Written) -> None:
    flood(written, 5000, 2)
    before = len(written.lines)
    for number in range(500):
        written.log.record("channel.delete", AuditActor("key", "ops"), f"c{number}")
    assert len(written.lines) == before + 500


def test_a_repeated_action_has_one_line_in_ten_minutes(written: Written) -> None:
    def read(actor: AuditActor, target: str = "a") -> None:
        written.log.record("console.read", actor, target, repeats=True)

    for _ in range(100):
        read(AuditActor("key", "ops"))
    read(AuditActor("key", "other"))
    read(AuditActor("key", "ops"), "b")
    assert len(written.lines) == 3
    written.now += REPEAT_SECONDS
    read(AuditActor("key", "ops"))
    assert len(written.lines) == 4
    for number in range(3 * MAX_REPEATS):
        read(AuditActor("key", "ops"), str(number))
    assert len(written.log._repeats) == MAX_REPEATS


def test_the_file_is_private_and_follows_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = AuditFile(str(path))
    file.write("1")
    file.write("2")
    assert path.stat().st_mode & 0o777 == 0o600
    path.rename(tmp_path / "audit.log.1")
    file.write("3")
    assert (path.read_text(), (tmp_path / "audit.log.1").read_text()) == ("3\n", "1\n2\n")
    assert repr(file) == f"<AuditFile {path}>"


def test_the_file_is_no_link_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "passwd")
    with pytest.raises(OSError, match="link"):
        AuditFile(str(tmp_path / "link")).write("x")
    assert not (tmp_path / "passwd").exists()


def test_a_record_has_the_origin_of_an_action_and_no_secret() -> None:
    manage, some = Patterns(["*"]), Patterns(["mine:*"])
    for grant, type_, id, is_user in (
        (None, "none", "", False),
        (NOTHING, "none", "", False),
        (EVERYTHING, "local", "", False),
        (Grant(manage=some, subject="back end"), "key", "back end", False),
        (Grant(manage=some, subject="ann", expires=2e9), "token", "ann", True),
        (Grant(manage=manage, subject="ops", expires=2e9), "token", "ops", False),
    ):
        assert actor_of(grant, "192.0.2.1", "r-1") == AuditActor(
            type_, id, "192.0.2.1", "r-1", is_user=is_user
        )


def test_a_request_gets_an_id_by_which_its_lines_are_found(written: Written) -> None:
    request = Request("GET", "/v1/channels", "", {}, client="192.0.2.1")
    written.log.refused(Problem("unauthorized", "no"), request)
    assert request.id == "00" * 8
    kept = Request("GET", "/v1/channels", "", {}, client="192.0.2.1")
    kept.id = "of the proxy"
    written.log.refused(Problem("unauthorized", "no"), kept)
    actors = [record["actor"] for record in written.records()]
    assert actors == [
        {"type": "none", "id": "", "address": "192.0.2.1", "request_id": id}
        for id in ("00" * 8, "of the proxy")
    ]


@pytest.mark.parametrize("slug", PROBLEMS)
def test_a_management_request_that_fails_early_is_recorded(written: Written, slug: str) -> None:
    """Such as one with an invalid body. Its refusal is recorded as one, and those that have no
    right to manage leave nothing: their number has no bound."""
    request = Request("POST", "/v1/revocations", "a=secret", {}, b"body", client="192.0.2.1")
    for grant in (None, NOTHING, Grant(read=Patterns(["*"]), subject="reader", expires=2e9)):
        request.grant = grant
        written.log.failed(Problem(slug, "secret detail"), request, "credential.revoke")
    assert not written.lines
    request.grant = Grant(manage=Patterns(["*"]), subject="ops")
    written.log.failed(Problem(slug, "secret detail"), request, "credential.revoke")
    if PROBLEMS[slug][0] in (401, 403, 429):
        assert not written.lines
        return
    (record,) = written.records()
    assert (record["action"], record["outcome"], record["reason"]) == (
        "credential.revoke",
        "failed",
        slug,
    )
    assert record["target"] == {"type": "request", "id": "POST /v1/revocations"}
    assert "secret" not in written.lines[0]


def test_a_line_goes_to_the_audit_channel_too() -> None:
    lines: list[str] = []
    appended: list[str] = []
    log = AuditLog(lambda: 1.8e9, bytes, "node-1", write=lines.append, append=appended.append)
    log.record("node.reload", AuditActor("signal"), outcome="failed", detail="The file is gone.")
    assert appended == lines
    record = json.loads(lines[0])
    assert (record["target"], record["detail"]) == (None, "The file is gone.")
    assert repr(log) == "<AuditLog of node-1>"


@pytest.mark.parametrize("unit", ["a", "\u202e", "\U0001f525", '"'])
def test_a_long_name_is_cut_between_characters(written: Written, unit: str) -> None:
    """Cut within an escape it would be no JSON, or another character."""
    name = unit * 5000
    written.log.record("a.b", AuditActor("account", name), name)
    (record,) = written.records()
    target = record["target"]
    assert isinstance(target, dict)
    kept = target["id"].removesuffix("...")
    assert name.startswith(kept)
    size = len(json.dumps(kept)) - 2
    assert MAX_TARGET_BYTES - 15 <= size <= MAX_TARGET_BYTES
