"""Strophe.js, as it is, over BOSH to a real server: it logs in, chats, and hears what REST says."""

from __future__ import annotations

import asyncio
import fcntl
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import outside
from tests.cli.running import pushhub
from tests.serving import fresh, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.serving import Server

JS = Path(__file__).parent / "js"
INSTALL_SECONDS = 100
STEP_SECONDS = 20
PASSWORD = "Neither, fair saint"
USER = "juliet@localhost"


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js, with the packages of the lock installed."""
    program, npm = outside.require("node"), outside.require("npm")
    with (JS / "package.json").open() as lock:
        # One of the processes that run tests installs; the others wait for it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (JS / "node_modules" / ".package-lock.json").exists():
            command = [npm, "ci", "--silent", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=JS, check=True, timeout=INSTALL_SECONDS)
    return program


@pytest.fixture(scope="module", params=["front", "asgi"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    store = f"sqlite:///{tmp_path_factory.mktemp('xmpp') / 'hub.db'}"
    environ = {"PUSHHUB_STORE": store, "PUSHHUB_DEV": "true"}
    added = pushhub("user", "add", USER, input=PASSWORD + "\n", **environ)
    assert added.exit_code == 0, added.output
    with serve(request.param, store) as server:
        yield server
        server.check()


class Strophe:
    """The script: what it says, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def said(self) -> Any:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), STEP_SECONDS)
        return json.loads(line)

    def go_on(self, word: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word.encode() + b"\n")


@pytest.fixture
async def start(node: str, server: Server) -> AsyncIterator[Any]:
    started: list[asyncio.subprocess.Process] = []

    async def start(version: str, jid: str, password: str = "") -> Strophe:
        address = f"http://127.0.0.1:{server.port}/http-bind"
        process = await asyncio.create_subprocess_exec(
            *(node, str(JS / "strophe.mjs"), version, address, jid, password),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        return Strophe(process)

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("version", ["5", "3"])
@pytest.mark.parametrize(("jid", "password"), [("localhost", ""), (USER, PASSWORD)])
async def test_two_clients_talk_and_share_a_channel(
    server: Server, start: Any, version: str, jid: str, password: str
) -> None:
    strophe = await start(version, jid, password)
    one, other = (await strophe.said())["connected"]
    assert one != other
    assert await strophe.said() == {"from": one, "body": "Wherefore art thou <&>?"}
    channel = fresh("strophe")
    strophe.go_on(channel)
    assert await strophe.said() == {"subscribed": channel}
    await server.publish(channel, {"by": "rest"})
    assert await strophe.said() == {"told": {"by": "rest"}}
    assert await strophe.said() == {"published": channel}
    assert await server.log(channel) == [{"by": "rest"}, {"by": "strophe"}]
    strophe.go_on()
    assert await strophe.said() == {"disconnected": True}
    assert await strophe.process.wait() == 0


async def test_a_wrong_password(start: Any) -> None:
    strophe = await start("5", USER, "wrong")
    # Its status AUTHFAIL.
    assert (await strophe.said())["failed"].startswith("status 4")
