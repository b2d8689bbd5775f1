"""An address that is taken is one sentence, whatever took it and whenever."""

import multiprocessing
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pushhub.server import listen_error
from pushhub.server.sockets import bind_one, bound, port_of
from pushhub.server.worker import WorkerFailed, run_worker
from pushhub.settings import Settings
from tests.serving import serve


def started_in_vain(folder: Path, *arguments: str) -> str:
    """What a hub prints that cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", "pushhub", "serve", "--dev", *arguments],
        cwd=folder,
        env={n: v for n, v in os.environ.items() if not n.startswith("PUSHHUB_")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


@contextmanager
def listening() -> Iterator[int]:
    """A port on which a program listens that is no hub, and that answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


@pytest.mark.parametrize("more", [[], ["--workers", "2", "--store", "redis://127.0.0.1:1"]])
def test_another_program_has_the_port(more: list[str], tmp_path: Path) -> None:
    with listening() as port:
        said = started_in_vain(tmp_path, "--port", str(port), *more)
    assert said == (
        f"pushhub: 127.0.0.1:{port} is in use by another program. Stop that program, or choose "
        "another --port.\n"
    )
    assert not list(tmp_path.iterdir()), "no database was made"


@pytest.mark.parametrize("more", [[], ["--workers", "2", "--store", "redis://127.0.0.1:1"]])
@pytest.mark.parametrize("origin", [None, "http://127.0.0.1:9"])
def test_a_hub_has_the_port(more: list[str], origin: str | None, tmp_path: Path) -> None:
    """On the same database, too: the address is what the second one is told of."""
    store = f"sqlite:///{tmp_path}/hub.db"
    behind: dict[str, Any] = {"origin": origin} if origin else {}
    with serve(store=store, **behind) as hub:
        said = started_in_vain(tmp_path, "--store", store, "--port", str(hub.port), *more)
        hub.check()
    assert said == (
        f"pushhub: A hub already runs at http://127.0.0.1:{hub.port}. Stop it (Ctrl-C in its "
        "terminal), or choose another --port.\n"
    )


def test_an_address_of_another_machine_is_a_sentence() -> None:
    with pytest.raises(OSError, match="assign") as refused:
        bind_one("192.0.2.1", 8080)
    said = listen_error.sentence("192.0.2.1", 8080, "--port", refused.value)
    assert re.fullmatch(
        r"192\.0\.2\.1:8080 cannot be listened on: .+\. Choose another --port\.", said
    )


@contextmanager
def lost_race() -> Iterator[socket.socket]:
    """A socket that is bound, on an address where another was faster to listen."""
    with (
        bound("127.0.0.1", 0, shares=False) as faster,
        bound("127.0.0.1", port_of(faster), shares=False) as slower,
    ):
        faster.listen()
        yield slower


def test_another_process_was_faster_to_listen(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a worker of several, whose sentence the supervisor prints."""
    with lost_race() as sock:
        settings = Settings(dev=True, store="memory://", port=port_of(sock))
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=run_worker, args=(settings, [sock], theirs, tmp_path, 0)
        )
        process.start()
        assert ours.poll(60)
        said = ours.recv()
        process.join(60)
    assert process.exitcode == 1
    assert isinstance(said, WorkerFailed)
    assert said.sentence.startswith(f"127.0.0.1:{settings.port} is in use by another program.")
    assert capfd.readouterr().err == "", "no log line, and no traceback"


def test_a_name_is_all_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """`localhost` may be two of them, and a machine without IPv6 has one."""
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    sockets = bind_one("a-name", 0)
    try:
        assert {sock.getsockname()[0] for sock in sockets} >= {"127.0.0.1", "127.0.0.2"}
        assert len({port_of(sock) for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_the_banner_has_the_absolute_path_of_the_database(tmp_path: Path) -> None:
    with serve(store="sqlite:///here.db") as hub:
        (line,) = [line for line in hub.output.lines if "pushhub is at" in line]
    folder, _, _ = line.partition("here.db")
    assert folder.split("(database: ")[1].startswith("/")
