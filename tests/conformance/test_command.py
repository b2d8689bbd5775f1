"""The command's table, its JSON and its exit status."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import block_until

READER = [sys.executable, str(Path(__file__).parent / "reader.py")]
COMMAND = [sys.executable, "-m", "pushhub", "conformance"]
SECONDS = 60.0


def run(*arguments: str, code: int = 0) -> tuple[str, str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PUSHHUB_")}
    done = subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environ,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def test_a_client_that_conforms() -> None:
    out, err = run("--case", "start-now", "--case", "value", *READER)
    rows = out.splitlines()
    assert [row.split()[:2] for row in rows[:2]] == [["passed", "start-now"], ["passed", "value"]]
    assert rows[2:] == ["2 passed"]
    assert err == ""


def test_a_failure_says_what_the_client_did_and_where_the_rule_stands() -> None:
    out, _ = run("--case", "start-now", *READER, "earliest-instead", code=1)
    assert "failed       start-now" in out
    assert "The first request does not read orders from now: GET /v1/channels/orders/events" in out
    assert "docs/protocol.md#positions" in out
    assert out.endswith("1 failed\n")


def test_a_client_that_crashes_shows_its_last_lines() -> None:
    out, _ = run("--case", "start-now", "--json", "python3 -c 'import nothing_there'", code=1)
    (one,) = json.loads(out)["cases"]
    assert one["failure"] == "The client sends no request. The client has ended."
    assert one["stderr"][-1] == "ModuleNotFoundError: No module named 'nothing_there'"


def test_json() -> None:
    out, _ = run("--case", "gap-epoch", "--json", *READER)
    page = json.loads(out)
    assert page["counts"] == {"passed": 1, "failed": 0, "unsupported": 0}
    (one,) = page["cases"]
    assert one.pop("seconds") < SECONDS
    assert one == {
        "case": "gap-epoch",
        "mode": "feed",
        "verdict": "passed",
        "rule": "After a new epoch lower offsets are new events.",
        "section": "Gaps and epochs",
    }


def test_a_client_that_supports_nothing_does_not_conform() -> None:
    out, _ = run("--case", "cut", *READER, "unsupported", code=1)
    assert out.startswith("unsupported  cut")


def test_wrong_usage() -> None:
    assert "no case 'nothing'" in run("--case", "nothing", *READER, code=2)[1]
    assert "no command 'no-such-client'" in run("no-such-client", code=2)[1]
    assert "Give the command" in run(code=2)[1]
    assert "CLIENT-COMMAND" in run("--jobs", "0", *READER, code=2)[1]


def test_a_command_that_the_system_refuses(tmp_path: Path) -> None:
    script = tmp_path / "client"
    script.write_text("#!/there/is/no/interpreter\n")
    script.chmod(0o755)
    _, err = run("--case", "cut", str(script), code=2)
    assert err.startswith("pushhub: The command cannot be started: ")


def test_an_interrupt_ends_the_command_and_its_clients() -> None:
    command = [*COMMAND, "--case", "timeout", *READER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        block_until(lambda: children(process.pid), SECONDS)
        clients = children(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, err
    assert b"Traceback" not in err + out
    assert not any(Path("/proc", child).exists() for child in clients)


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_the_list_of_cases() -> None:
    out, _ = run("--list")
    listed = json.loads(run("--list", "--json")[0])
    assert [line.split()[0] for line in out.splitlines()] == [one["case"] for one in listed]


def test_colours_in_a_terminal() -> None:
    ours, theirs = pty.openpty()
    environ = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "CI")}
    subprocess.run(
        [*COMMAND, "--case", "start-now", *READER],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        check=True,
        timeout=SECONDS,
        env=environ | {"TERM": "xterm"},
    )
    os.close(theirs)
    assert b"\x1b[32mpassed" in os.read(ours, 4096)
    os.close(ours)
