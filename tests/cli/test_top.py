"""`pushhub top`: once, in a pipe, and live in a pseudo-terminal, on a real hub."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pushhub.cli.top_nodes import LONGEST_PAUSE, WatchedNode
from tests.cli.running import answer, pushhub, scripted
from tests.ports import free_port

SECONDS = 30.0


def publish(url: str) -> None:
    request = urllib.request.Request(f"{url}/v1/channels/top/events", data=b"1", method="POST")
    urllib.request.urlopen(request, timeout=SECONDS).close()


@contextmanager
def publishing(url: str) -> Iterator[None]:
    """Events all the time, from the first one on."""
    stop, publisher = threading.Event(), threading.Thread(target=lambda: publish_until(url, stop))
    publish(url)
    publisher.start()
    try:
        yield
    finally:
        stop.set()
        publisher.join()


def publish_until(url: str, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        publish(url)


def test_once_as_json(hub_url: str) -> None:
    with publishing(hub_url):
        result = pushhub("top", "--once", "--json", "--interval", "1", hub_url)
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    (node,) = told["nodes"]
    assert (node["url"], node["away"], node["workers"]) == (hub_url, None, 1)
    assert re.fullmatch(r"\d+\.\d+.*", node["version"])
    assert node["published_rate"] > 0
    assert 0 < node["append_p99"] < SECONDS
    assert told["sum"]["published_rate"] == node["published_rate"]


def test_once_as_a_table_with_a_node_that_is_away(hub_url: str) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    result = pushhub("top", "--once", "--interval", "0.2", hub_url, away, COLUMNS="80")
    assert result.exit_code == 1
    assert re.search(r"^NODE +holds +chans +in/s", result.stdout, re.MULTILINE)
    name = hub_url.removeprefix("http://")
    assert len(re.findall(rf"^{name} .*ok *$", result.stdout, re.MULTILINE)) == 1
    assert f"{away.removeprefix('http://'):24} away: Connection refused" in result.stdout
    assert "\x1b" not in result.stdout


def test_all_nodes_together(hub_url: str) -> None:
    host = hub_url.replace("127.0.0.1", "localhost")
    result = pushhub("top", "--once", "--interval", "0.2", hub_url, host)
    assert result.exit_code == 0
    assert re.search(r"^all .*ok *$", result.stdout, re.MULTILINE)


def test_a_key_that_is_refused_and_a_site_that_is_no_hub() -> None:
    refusal = {"title": "The credential does not allow this", "detail": "It needs manage '*'."}
    with scripted(answer(403, refusal), answer(403, refusal)) as site:
        refused = pushhub("top", "--once", "--json", site.url, PUSHHUB_KEY="phk_x")
    assert refused.exit_code == 1
    assert "It needs manage '*'" in json.loads(refused.stdout)["nodes"][0]["away"]
    assert all(headers["authorization"] == "Bearer phk_x" for _, headers, _ in site.asked)
    with scripted(answer(404, {}), answer(200, b"up 1\n")) as site:
        other = pushhub("top", "--once", "--json", site.url)
    assert json.loads(other.stdout)["nodes"][0]["away"] == "its /metrics are not a hub's"
    assert pushhub("top", "ftp://x").exit_code == 2


def test_a_node_that_is_away_is_tried_with_growing_pauses() -> None:
    now = [100.0]
    node = WatchedNode(
        f"http://127.0.0.1:{free_port()}", None, clock=lambda: now[0], jitter=lambda low, high: low
    )
    pauses = []
    for _ in range(10):
        node.read(0.2)
        pauses.append(node.due - now[0])
    assert node.away == "Connection refused"
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.25)
    assert pauses[-1] == LONGEST_PAUSE / 2


# -- a terminal ----------------------------------------------------------------------------------


_RUN = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from pushhub.cli import main
main()
"""


class Terminal:
    """A command in a pseudo-terminal."""

    def __init__(self, *arguments: str, columns: int = 80) -> None:
        self.output = ""
        self._master, slave = pty.openpty()
        self._resize(slave, columns)
        # These name the size of the tests' own terminal.
        environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        # A session of its own, whose terminal this is: Ctrl-C becomes a signal there.
        self.process = subprocess.Popen(
            [sys.executable, "-c", _RUN, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environ | {"TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(slave)
        os.set_blocking(self._master, False)

    @staticmethod
    def _resize(descriptor: int, columns: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def resize(self, columns: int) -> None:
        self._resize(self._master, columns)

    def until(self, pattern: str) -> re.Match[str]:
        """Read until the text of the output, without its colours, has the pattern."""
        end = time.monotonic() + SECONDS
        while True:
            if found := re.search(pattern, self.text, re.MULTILINE):
                self.output = ""
                return found
            assert time.monotonic() < end, self.text
            self._read()

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.output).replace("\r", "")

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 65536)
        except BlockingIOError:
            time.sleep(0.02)
            return True
        except OSError:  # the other side is closed
            return False
        self.output += data.decode()
        return bool(data)

    def press(self, key: str) -> None:
        os.write(self._master, key.encode())

    def ended(self) -> int:
        """The exit code."""
        end = time.monotonic() + SECONDS
        while self._read():
            assert time.monotonic() < end, self.text
        return self.process.wait(SECONDS)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(hub_url: str) -> Iterator[Terminal]:
    terminal = Terminal("top", "--interval", "0.5", hub_url, f"http://127.0.0.1:{free_port()}")
    yield terminal
    terminal.close()


def test_live_in_a_terminal(hub_url: str, terminal: Terminal) -> None:
    with publishing(hub_url):
        terminal.until(r"^pushhub top  \d\d:\d\d:\d\d  q quits")
        row = rf"^{hub_url.removeprefix('http://')} +\d+ +\d+ +[1-9][\d.]*k? .* ok"
        terminal.until(row)
    assert "away: Connection refused" in terminal.text or terminal.until("away: Connection refused")
    assert all(len(line) <= 80 for line in terminal.text.splitlines())
    terminal.resize(120)
    terminal.until(r"^.{100,120}$")
    terminal.press("q")
    assert terminal.ended() == 0


def test_ctrl_c_ends_it_and_restores_the_terminal(terminal: Terminal) -> None:
    terminal.until("NODE")
    terminal.press("\x03")
    assert terminal.ended() == 0
    assert "\x1b[?1049l" in terminal.output
