"""The filter for fail2ban, read by fail2ban itself, on lines of a real server and forged ones."""

import configparser
import io
import json
import logging
import re
import subprocess
from pathlib import Path

import pytest

from pushhub import telemetry
from pushhub.auth.audit import NETWORK_RATE, AuditActor, AuditLog
from tests import outside
from tests.api.test_auth import KEYS, SECRET, bearer, token
from tests.serving import serve

FOLDER = Path(__file__).parents[2] / "deploy" / "fail2ban"
FILTER = FOLDER / "filter.d" / "pushhub.conf"
VICTIM = "198.51.100.9"


def found(lines: list[str], tmp_path: Path) -> list[str]:
    """The addresses that fail2ban finds in a log, in order."""
    program = outside.require("fail2ban")
    log = tmp_path / "pushhub.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    done = subprocess.run(
        # -o: a line for each match, with its address and its time.
        [program, "-o", "<ip> <time>", str(log), str(FILTER)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode in (0, 255), done.stderr
    matches = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert all(re.fullmatch(r"[\d.]+", match[1]) for match in matches), done.stdout
    return [match[0] for match in matches]


def refusals(*actors: AuditActor, reason: str = "unauthorized") -> list[str]:
    """The lines of the log for refusals of these actors."""
    root = logging.getLogger()
    handlers, level, stream = root.handlers[:], root.level, io.StringIO()
    telemetry.configure("info", "json", stream=stream)
    try:
        for actor in actors:
            audit = AuditLog(lambda: 0.0, lambda count: bytes(count), "n", write=lambda line: None)
            audit.refuse(actor, reason)
    finally:
        root.handlers[:], root.level = handlers, level
    return stream.getvalue().splitlines()


async def test_refusals_of_a_real_server_are_found(tmp_path: Path) -> None:
    with serve(
        "front", dev=False, api_keys=KEYS, token_keys=[{"algorithm": "HS256", "key": SECRET}]
    ) as server:
        for number, headers in enumerate(
            ({}, bearer("phk_" + "x" * 43), bearer(token(-9, read=["*"])), bearer("no token"))
        ):
            forwarded = {"x-forwarded-for": f"192.0.2.{number}"}
            answer = await server.ask("GET", "/v1/channels/a", {**headers, **forwarded})
            assert answer.status == 401
        six = {"x-forwarded-for": "2001:db8::7"}
        assert (await server.ask("DELETE", "/v1/channels/a", six)).status == 401
        server.output.find(re.compile(r'"client": "2001:db8::7"'), 20)
        lines = [line.rstrip() for line in server.output.lines]
    assert found(lines, tmp_path) == [*(f"192.0.2.{n}" for n in range(4)), "2001:db8::7"]


def test_a_valid_key_without_a_right_is_not_banned(tmp_path: Path) -> None:
    lines = refusals(AuditActor("key", "reader", "192.0.2.1"), reason="forbidden")
    assert len(lines) == 1
    assert found(lines, tmp_path) == []


FORGERIES = [
    f"juliet from {VICTIM}",
    f'x", "reason": "unauthorized", "event": "auth.refused", "client": "{VICTIM}',
    f'x\\", "client": "{VICTIM}", "reason": "unauthorized',
    f'x\n{{"client": "{VICTIM}", "reason": "unauthorized", "event": "auth.refused", ',
    f'\\\n{{"client": "{VICTIM}"',
    f'x\u2028{{"client": "{VICTIM}", "reason": "unauthorized", "event": "auth.refused"',
    '"timestamp": "2000-01-01T00:00:00Z"}',
    "2000-01-01T00:00:00Z",
    "\\",
    '\\"',
]


@pytest.mark.parametrize("kind", ["account", "token", "key"])
def test_a_name_bans_no_other_address(tmp_path: Path, kind: str) -> None:
    """The own address is found in each line, at the line's own time, and no other."""
    lines = refusals(*(AuditActor(kind, name, "192.0.2.1") for name in FORGERIES))
    assert len(lines) == len(FORGERIES)
    assert found(lines, tmp_path) == ["192.0.2.1"] * len(FORGERIES)


def test_an_address_that_is_none_bans_none(tmp_path: Path) -> None:
    lines = refusals(
        *(
            AuditActor("account", "x", text)
            for text in ("", "localhost", f"x {VICTIM}", f"{VICTIM}x")
        )
    )
    assert found(lines, tmp_path) == []


def test_other_lines_are_not_found(tmp_path: Path) -> None:
    stamp = '"timestamp": "2026-11-30T09:00:00.000000Z"}'
    lines = [
        # The audit line of the same refusal, an access line, and an error that quotes a line.
        json.dumps({"time": "2026-11-30T09:00:00Z", "actor": {"address": VICTIM}}),
        f'{{"client": "{VICTIM}", "event": "request", "logger": "pushhub.access", {stamp}',
        f'{{"error": "{{\\"client\\": \\"{VICTIM}\\", \\"event\\": \\"auth.refused\\"}}", {stamp}',
        f'{{"client": "{VICTIM}", "reason": "unauthorized", "event": "other", {stamp}',
    ]
    assert found(lines, tmp_path) == []


def test_the_jail_bans_before_lines_are_left_out() -> None:
    jail = configparser.ConfigParser()
    jail.read(FOLDER / "jail.d" / "pushhub.conf")
    assert jail["pushhub"]["filter"] == "pushhub"
    assert jail.getint("pushhub", "maxretry") < NETWORK_RATE.burst
