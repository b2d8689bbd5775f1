"""The states that the hub sends to its service manager (sd_notify(3)), and the watchdog."""

import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushhub.server.notify_socket import NotifySocket
from pushhub.server.server import GRACE_SECONDS
from tests.redis_servers import Shelf
from tests.server.service_manager import BLOCKER, Manager, service

MEMORY = ("--dev", "--port", "0", "--store", "memory://")
_READY = re.compile(r'"worker": (\d), "pid": (\d+), "event": "worker.ready"')


def watched(manager: Manager) -> dict[str, str]:
    """A watchdog of a second, so beats come twice a second; a real unit has 30 s."""
    return {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000000"}


@pytest.fixture
def manager() -> Iterator[Manager]:
    # A short path: a socket's has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="units-") as folder:
        one = Manager(f"{folder}/notify")
        yield one
        one.close()


def test_a_service_says_when_it_is_ready_lives_reloads_and_stops(
    manager: Manager, tmp_path: Path
) -> None:
    config = tmp_path / "pushhub.toml"
    config.write_text("drain_seconds = 0\nmax_wait = 20\n")
    with service(*MEMORY, "--drain-delay", "3", folder=tmp_path, environ=watched(manager)) as hub:
        ready = manager.until("READY")
        assert ready == {"READY": "1", "STATUS": "Serving; 0 holds"}
        assert hub.port(), "the socket listens when READY=1 is sent"
        for _ in range(2):
            beat = manager.until("WATCHDOG")
            assert beat == {"WATCHDOG": "1", "STATUS": "Serving; 0 holds"}
        for text in ("max_wait = 30\n", "max_wait = 'nonsense'\n"):
            config.write_text(text)
            hub.process.send_signal(signal.SIGHUP)
            assert int(manager.until("RELOADING")["MONOTONIC_USEC"]) > 0
            assert manager.until("READY") == {"READY": "1"}, "rejected settings end a reload, too"
        hub.process.terminate()
        stopping = manager.until("STOPPING")
        assert stopping["STATUS"] == "Draining; 0 holds"
        # drain_delay and drain_seconds (neither reload changes them), and 15 s.
        assert float(stopping["EXTEND_TIMEOUT_USEC"]) == (3 + 0 + GRACE_SECONDS + 5) * 1e6
        assert manager.until("WATCHDOG")["STATUS"] == "Draining; 0 holds"
        assert hub.ended() == 0


def test_a_blocked_loop_sends_no_beat(manager: Manager, tmp_path: Path) -> None:
    """The loop is blocked, while other threads of the process run."""
    release = tmp_path / "release"
    program = ["-c", BLOCKER.format(release=str(release))]
    with service(*MEMORY, folder=tmp_path, program=program, environ=watched(manager)) as hub:
        manager.until("READY")
        manager.until("WATCHDOG")
        hub.process.send_signal(signal.SIGUSR1)
        hub.output.find(re.compile("blocked"), 20)
        manager.drain()
        assert manager.message(3.0) is None, "six beats are due"
        release.touch()
        manager.until("WATCHDOG")


def test_a_service_of_workers(manager: Manager, redis_shelf: Shelf, tmp_path: Path) -> None:
    """READY comes once when all serve; a worker that hangs is replaced, while beats go on; without
    the supervisor there are none.
    """
    with service(
        *("--dev", "--port", "0", "--store", redis_shelf.url("valkey9"), "--workers", "2"),
        *("--worker-hung-seconds", "5", "--drain-seconds", "0"),
        folder=tmp_path,
        environ=watched(manager),
    ) as hub:
        assert manager.until("READY")["STATUS"] == "2 of 2 workers serve; 0 holds"
        for number in range(2):
            hub.output.find(re.compile(rf'"worker": {number}, .*worker.ready'), 60)
        pids = {int(hit[1]): int(hit[2]) for hit in _READY.finditer(str(hub.output))}
        for pid in (hub.process.pid, *pids.values()):
            # The environment at the start of the process, not what it removes for its children.
            inherited = Path(f"/proc/{pid}/environ").read_bytes()
            assert (b"NOTIFY_SOCKET=" in inherited) == (pid == hub.process.pid)
        os.kill(pids[1], signal.SIGSTOP)
        hub.output.find(re.compile("worker.hung"), 60)
        manager.drain()
        manager.until("WATCHDOG")
        while manager.until("WATCHDOG")["STATUS"] != "2 of 2 workers serve; 0 holds":
            pass  # the bound is that of the test
        os.kill(hub.process.pid, signal.SIGSTOP)
        manager.drain()
        assert manager.message(2.0) is None
        os.kill(hub.process.pid, signal.SIGCONT)
        manager.until("WATCHDOG")
        hub.process.terminate()
        assert manager.until("STOPPING")["STATUS"].startswith("Draining; 2 of 2 workers serve")
        assert hub.ended() == 0
    assert sum("READY" in message for message in manager.received) == 1


# -- the socket alone ----------------------------------------------------------


def test_an_abstract_address_and_the_variables_are_taken() -> None:
    manager = Manager(f"@units-{os.getpid()}")
    environ = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "4000000", "OTHER": "1"}
    notify = NotifySocket.from_environment(environ)
    assert environ == {"OTHER": "1"}
    assert notify.beat_seconds == 2.0
    notify.ready("here")
    assert manager.until("READY") == {"READY": "1", "STATUS": "here"}
    notify.close()
    manager.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "vsock:2:1234", "WATCHDOG_USEC": "1000000"},
        {"NOTIFY_SOCKET": "relative/path"},
    ],
)
def test_without_a_usable_socket_nothing_is_sent(environ: dict[str, str]) -> None:
    notify = NotifySocket.from_environment(environ)
    assert not notify.is_active
    notify.ready("here")
    notify.reloading()
    notify.reloaded()
    notify.beat("here")
    notify.stopping("gone", 1.0)


@pytest.mark.parametrize(
    "variables",
    [
        {"WATCHDOG_PID": "1", "WATCHDOG_USEC": "1000000"},  # for another process
        {"WATCHDOG_USEC": "soon"},
        {},
    ],
)
def test_a_watchdog_for_another_process_gets_no_beat(
    manager: Manager, variables: dict[str, str]
) -> None:
    notify = NotifySocket.from_environment({"NOTIFY_SOCKET": manager.address, **variables})
    notify.beat("here")
    assert manager.message(5) == {"STATUS": "here"}
    notify.close()


def test_a_state_that_is_not_received_is_sent_again(tmp_path: Path) -> None:
    """The manager restarts (`systemctl daemon-reexec`), or its queue is full."""
    with tempfile.TemporaryDirectory(prefix="units-") as folder:
        notify = NotifySocket(f"{folder}/notify", 1.0)
        notify.reloading()
        notify.reloaded()
        notify.beat("before")
        manager = Manager(f"{folder}/notify")
        notify.beat("here")
        assert manager.message(5) == {"READY": "1", "STATUS": "here", "WATCHDOG": "1"}
        notify.beat("here")
        assert manager.message(5) == {"STATUS": "here", "WATCHDOG": "1"}
        notify.close()
        notify.ready("late")
        assert manager.message(0.1) is None
        manager.close()
