"""Two workers behind one port, as real processes on a real server."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.ports import free_port
from tests.redis_servers import KINDS, Rack, Shelf
from tests.serving import Server, events_of, fresh, serve
from tests.wire import Client, Response

HOLDS = 40  # so many that not all can be on one worker: 2**-39
GONE = (ConnectionError, h11.RemoteProtocolError)  # a reset, or an end where an answer was due
SECONDS = 30.0

_READY = re.compile(r'"worker": (\d), "pid": (\d+), "event": "worker.ready"')


def workers(server: Server) -> dict[int, int]:
    """The present process of each of the two, as the supervisor's log says once it is read here."""
    for number in range(2):
        server.output.find(re.compile(rf"\"worker\": {number}, .*worker.ready"), SECONDS)
    return {int(hit[1]): int(hit[2]) for hit in _READY.finditer(str(server.output))}


def runs(pid: int) -> bool:
    """Whether a process is there, and not a zombie, which only /proc tells apart."""
    try:
        os.kill(pid, 0)
        return not Path("/proc/self/stat").exists() or state(pid) != "Z"
    except (ProcessLookupError, FileNotFoundError):
        # Also between two steps here: a file of /proc whose process has ended opens, but cannot be
        # read.
        return False


def state(pid: int) -> str:
    """The letter for a process's state, as in proc_pid_stat(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def until(holds: Any, seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.fixture
def redis_url(redis_shelf: Shelf) -> str:
    return redis_shelf.url("valkey9")


@pytest.fixture
def duo(redis_url: str) -> Iterator[Server]:
    """A hub of two workers that leaves at once."""
    with serve("front", redis_url, workers=2) as server:
        yield server


async def hold(server: Server, channel: str, cursor: str, count: int = HOLDS) -> list[Client]:
    """So many polls that wait, each on a connection of its own."""
    before = int(await server.metric("pushhub_holds"))
    clients = [await server.connect() for _ in range(count)]
    for client in clients:
        client.send("GET", f"{events_of(channel)}?since={cursor}&wait=50")
    await server.held(before + count)
    return clients


async def answers(clients: list[Client], seconds: float = 10.0) -> list[Response | None]:
    """What each of them gets; None for a connection that ended without an answer."""

    async def one(client: Client) -> Response | None:
        try:
            return await client.receive(seconds)
        except GONE:
            return None
        finally:
            client.close()

    return list(await asyncio.gather(*map(one, clients)))


# -- signs of life -----------------------------------------------------------------------------


async def test_a_hung_worker_is_named_killed_and_replaced(redis_url: str) -> None:
    with serve("front", redis_url, workers=2, worker_hung_seconds=5) as server:
        before = workers(server)
        os.kill(before[1], signal.SIGSTOP)
        pattern = re.compile(rf'"worker": 1, "pid": {before[1]}, .*"event": "worker.hung"')
        await asyncio.to_thread(server.output.find, pattern, SECONDS)
        await until(lambda: workers(server)[1] != before[1])
        assert not runs(before[1])
        assert workers(server)[0] == before[0]
        await publish_and_read(server)
        hung = 'pushhub_workers_replaced_total{reason="hung"}'
        async with asyncio.timeout(SECONDS):
            while await server.metric(hung) != 1:  # noqa: ASYNC110
                # It comes with the next beat.
                await asyncio.sleep(0.05)
        # Named as an error, which `check` would not have.
        server.output.lines[:] = [line for line in server.output.lines if "hung" not in line]


async def test_a_supervisor_that_was_stopped_kills_no_worker(redis_url: str) -> None:
    with serve("front", redis_url, workers=2, worker_hung_seconds=5) as server:
        before = workers(server)
        pids = [server.process.pid, *before.values()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        # Nothing can be waited for while everybody is stopped.
        await asyncio.sleep(6)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        await publish_and_read(server)
        # So long that whoever owed a sign of life since then would be killed by now.
        await asyncio.sleep(1)
        assert workers(server) == before


def children(pid: int) -> set[int]:
    """The workers' processes of a supervisor, from their beginning on."""
    found = set()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        if b"spawn_main" in command:
            found.add(int(child))
    return found


async def stop_a_start(pid: int, known: set[int]) -> int:
    """Stop the next process of a worker that a supervisor starts, before it is ready."""
    async with asyncio.timeout(SECONDS):
        while not (new := children(pid) - known):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    (child,) = list(new)[:1]
    os.kill(child, signal.SIGSTOP)
    return child


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
async def test_a_worker_that_hangs_at_its_start_is_killed_and_replaced(redis_url: str) -> None:
    with serve("front", redis_url, workers=2, worker_start_seconds=8) as server:
        before = workers(server)
        os.kill(before[1], signal.SIGKILL)
        hung = await stop_a_start(server.process.pid, set(before.values()))
        pattern = re.compile(
            rf'"worker": 1, "pid": {hung}, "phase": "start", .*"event": "worker.hung"'
        )
        await asyncio.to_thread(server.output.find, pattern, SECONDS)
        await until(lambda: workers(server)[1] not in (before[1], hung))
        assert not runs(hung)
        assert workers(server)[0] == before[0]
        await publish_and_read(server)
        server.output.lines[:] = [line for line in server.output.lines if "hung" not in line]


@pytest.mark.skipif(sys.platform != "linux", reason="children are found in /proc")
async def test_a_first_start_that_hangs_ends_the_command(redis_url: str) -> None:
    command = [
        *(sys.executable, "-m", "pushhub", "serve", "--dev", "--port", "0", "--workers", "2"),
        *("--store", redis_url, "--worker-start-seconds", "5"),
    ]
    process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
    hung = 0
    try:
        hung = await stop_a_start(process.pid, set())
        _, said = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
        if hung and runs(hung):
            os.kill(hung, signal.SIGKILL)
    assert process.returncode == 1
    sentence = "pushhub: A worker was not ready within 5 s of its start (worker_start_seconds)."
    assert sentence in said.decode()


async def publish_and_read(server: Server) -> None:
    channel = fresh()
    await server.publish(channel, "news")
    for _ in range(10):
        assert await server.log(channel) == ["news"]


# -- serving -----------------------------------------------------------------------------------


async def test_a_publish_at_one_wakes_the_holds_at_both(duo: Server) -> None:
    pids = workers(duo)
    assert sorted(pids) == [0, 1]
    assert len({*pids.values(), duo.process.pid}) == 3
    channel = fresh()
    clients = await hold(duo, channel, "now")
    receipt = await duo.publish(channel, "news")
    for answer in await answers(clients):
        assert answer is not None
        assert [event["cursor"] for event in answer.json()["events"]] == [receipt["cursor"]]


async def test_the_metrics_are_those_of_both(duo: Server) -> None:
    for _ in range(10):
        await duo.publish(fresh())
    clients = await hold(duo, fresh(), "now")
    async with await duo.connect() as client:
        # Whichever worker is asked.
        for _ in range(5):
            text = (await client.ask("GET", "/metrics")).body.decode()
            samples = {
                (sample.name, *sample.labels.values()): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
            assert samples["pushhub_workers",] == 2
            assert samples["pushhub_holds",] == HOLDS
            assert samples["pushhub_publish_total", "ok"] == 10
            assert samples["pushhub_store_ready",] == 1
    for client in clients:
        await client.leave()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("error", [ProcessLookupError, FileNotFoundError])
def test_a_process_that_ends_while_it_is_looked_at_does_not_run(
    error: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor reaps it after the open of its file (ESRCH), or before (ENOENT)."""
    assert runs(os.getpid())
    text = Path.read_text

    def late(path: Path, *arguments: Any) -> str:
        if path == Path(f"/proc/{os.getpid()}/stat"):
            raise error
        return text(path, *arguments)

    monkeypatch.setattr(Path, "read_text", late)
    assert not runs(os.getpid())


# -- a worker dies -----------------------------------------------------------------------------


async def test_a_killed_worker_costs_its_clients_a_reconnect_and_no_event(duo: Server) -> None:
    channel = fresh()
    cursor = (await duo.publish(channel, 0))["cursor"]
    clients = await hold(duo, channel, cursor)
    killed = workers(duo)[0]
    os.kill(killed, signal.SIGKILL)
    # Those of the other worker are still held: the news answers them, and nothing else does.
    pending = asyncio.create_task(answers(clients, 2 * SECONDS))
    await until(lambda: workers(duo)[0] != killed)
    assert "worker.died" in str(duo.output)
    assert f'"pid": {killed}, "status": -9' in str(duo.output)
    await duo.publish(channel, 1)
    got = await pending
    cut = [answer for answer in got if answer is None]
    assert 0 < len(cut) < HOLDS, "both workers had holds"
    for answer in got:
        assert answer is None or [e["data"] for e in answer.json()["events"]] == [1]
    # A client that was cut asks again from where it was, and has missed nothing.
    for _ in cut:
        again = await duo.get(f"{events_of(channel)}?since={cursor}")
        assert [event["data"] for event in again.json()["events"]] == [1]
    clients = await hold(duo, channel, "now")
    await duo.publish(channel, 2)
    assert None not in await answers(clients), "both workers serve again"


async def test_connections_during_a_restart_wait_for_the_next_worker(duo: Server) -> None:
    killed = workers(duo)[1]
    os.kill(killed, signal.SIGKILL)
    await until(lambda: not runs(killed))
    connected = await asyncio.gather(*(duo.get("/livez") for _ in range(HOLDS)))
    assert {answer.status for answer in connected} == {200}
    await until(lambda: workers(duo)[1] != killed)


async def test_a_worker_that_cannot_start_is_tried_until_it_can_and_the_other_serves(
    rack: Rack,
) -> None:
    redis = rack.start(KINDS["valkey9"])
    with serve("front", redis.url(), workers=2) as server:
        redis.kill()
        os.kill(workers(server)[0], signal.SIGKILL)
        died = re.compile(r'"error": "Redis cannot be reached: .*"event": "worker.died"')
        await until(lambda: len(died.findall(str(server.output))) >= 2)
        connected = await asyncio.gather(*(server.get("/livez") for _ in range(HOLDS)))
        assert {answer.status for answer in connected} == {200}, "nobody waits for the dead one"
        before = workers(server)[0]
        redis.start()
        await until(lambda: workers(server)[0] != before)


# -- starting ----------------------------------------------------------------------------------


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`pushhub serve` that is expected to end by itself."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    return subprocess.run(
        [sys.executable, "-m", "pushhub", "serve", "--dev", "--workers", "2", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environ,
        timeout=60,
        check=False,
    )


def test_workers_without_redis_end_with_one_sentence(tmp_path: Path) -> None:
    nobody = free_port()
    done = run("--port", "0", "--store", f"redis://127.0.0.1:{nobody}/0", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"pushhub: Redis cannot be reached: [^\n]+\.\n", done.stderr)


def test_one_process_without_redis_ends_with_the_same_sentence(tmp_path: Path) -> None:
    nobody = free_port()
    store = f"redis://127.0.0.1:{nobody}/0"
    done = run("--port", "0", "--workers", "1", "--store", store, folder=tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"pushhub: Redis cannot be reached: [^\n]+\.\n", done.stderr)


def test_a_taken_port_is_a_sentence(tmp_path: Path, redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port), "--store", redis_url, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"pushhub: 127.0.0.1:{port} is in use by another program. Stop that program, or choose "
        "another --port.\n"
    )


def test_the_port_of_other_workers_is_taken(tmp_path: Path, redis_url: str, duo: Server) -> None:
    # SO_REUSEPORT alone would let the two share it.
    done = run("--port", str(duo.port), "--store", redis_url, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"pushhub: A hub already runs at http://127.0.0.1:{duo.port}.")


@pytest.mark.parametrize("store", ["memory://", "sqlite:///hub.db"])
def test_workers_need_a_store_that_processes_share(store: str, tmp_path: Path) -> None:
    done = run("--port", "0", "--store", store, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "pushhub: 2 workers need a store that processes can share; use redis://, or one worker."
    )


# -- leaving -----------------------------------------------------------------------------------


async def test_both_drain_on_sigterm(redis_url: str) -> None:
    with serve("front", redis_url, workers=2, drain_seconds=1) as server:
        channel = fresh()
        clients = await hold(server, channel, "now")
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        for answer in await answers(clients):
            assert answer is not None
            assert answer.status == 200
            assert answer.json()["events"] == []
            assert answer.headers["connection"] == "close"
            assert answer.json()["retry_ms"] >= 200
        assert await server.left() == 0
        assert 0.5 < time.monotonic() - begun < 20


async def test_a_second_signal_hurries(redis_url: str) -> None:
    with serve("front", redis_url, workers=2, drain_delay=60) as server:
        clients = await hold(server, fresh(), "now")
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        await asyncio.to_thread(server.output.find, re.compile("server.draining"), SECONDS)
        server.signal(signal.SIGTERM)
        assert None not in await answers(clients), "hurried, but complete"
        assert await server.left() == 0
        assert time.monotonic() - begun < 30


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_all_of_them_drains_once(number: signal.Signals, redis_url: str) -> None:
    """Ctrl-C in a terminal reaches the whole group; and systemd tells every process."""
    with serve("front", redis_url, workers=2, drain_seconds=2) as server:
        # A hold is answered every 20 ms, at least: so few take half of the time.
        clients = await hold(server, fresh(), "now", 8 * HOLDS)
        begun = time.monotonic()
        for pid in [*workers(server).values(), server.process.pid]:
            os.kill(pid, number)
        moments = []

        async def one(client: Client) -> None:
            assert (await client.receive()).status == 200
            moments.append(time.monotonic() - begun)
            client.close()

        await asyncio.gather(*map(one, clients))
        assert await server.left() == 0
        assert max(moments) > 1, "nobody was hurried"


async def test_workers_do_not_outlive_their_supervisor(redis_url: str) -> None:
    with serve("front", redis_url, workers=2, drain_seconds=1) as server:
        pids = workers(server).values()
        await until(lambda: len(_sockets(server)) == 2)
        folders = {path.parent for path in _sockets(server)}
        clients = await hold(server, fresh(), "now")
        server.signal(signal.SIGKILL)
        assert None not in await answers(clients), "they leave as if they had been told to"
        await until(lambda: not any(map(runs, pids)))
        assert await server.left() == -signal.SIGKILL
        assert not any(folder.exists() for folder in folders)


async def test_a_worker_that_starts_does_not_outlive_its_supervisor() -> None:
    """It waits for a store that does not respond, and its loop never looks at the pipe."""
    rack = Rack()
    valkey = rack.start(KINDS["valkey9"])
    with closing(rack), serve("front", valkey.url(), workers=2, drain_seconds=1) as server:
        first = workers(server)[0]
        valkey.signal(signal.SIGSTOP)
        try:
            os.kill(first, signal.SIGKILL)
            await until(lambda: len(_children(server) - {first}) == 2)
            (new,) = _children(server) - {first, workers(server)[1]}
            # One of them waits for the end of the supervisor.
            await until(lambda: len(list(Path(f"/proc/{new}/task").iterdir())) > 1)
            server.signal(signal.SIGKILL)
            await until(lambda: not runs(new))
        finally:
            valkey.signal(signal.SIGCONT)
        assert await server.left() == -signal.SIGKILL


def _children(server: Server) -> set[int]:
    """The workers of a supervisor."""
    pid = server.process.pid
    pids = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return {child for child in pids if "spawn_main" in _command(child)}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


HANGS = """
import multiprocessing, sys, time
from pushhub.server.orphan import OrphanGuard

def worker():
    OrphanGuard(lambda: 0.2).start()
    print("watches", flush=True)
    time.sleep(60)

if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=worker)
    child.start()
    print(child.pid, flush=True)
    time.sleep(60)
"""


async def test_a_worker_whose_stop_hangs_ends_after_its_seconds(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, tmp_path / "hangs.py", stdout=subprocess.PIPE
    )
    try:
        assert supervisor.stdout
        lines = [(await supervisor.stdout.readline()).decode() for _ in range(2)]
        (pid,) = (int(line) for line in lines if line.strip().isdigit())
    finally:
        supervisor.kill()
        await supervisor.wait()
    await until(lambda: not runs(pid))


def _sockets(server: Server) -> list[Path]:
    """The sockets of the workers' figures."""
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[6]}]": Path(row[7]) for row in rows if len(row) == 8}
    links = [
        os.readlink(link)
        for pid in workers(server).values()
        for link in Path(f"/proc/{pid}/fd").iterdir()
    ]
    return [inodes[link] for link in links if link in inodes]


@contextmanager
def in_a_terminal_of_its_own(url: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PUSHHUB_")}
    command = [sys.executable, "-m", "pushhub", "serve", "--dev", "--workers", "2", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--store", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environ,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.6])
def test_ctrl_c_while_the_workers_start_is_quiet(
    seconds: float, redis_url: str, tmp_path: Path
) -> None:
    with in_a_terminal_of_its_own(redis_url, tmp_path) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        end = time.monotonic() + SECONDS
        while len(children.read_text().split()) < 3:  # what Python keeps beside them, and two
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=SECONDS)
        assert "Traceback" not in out
        assert process.returncode == 0
