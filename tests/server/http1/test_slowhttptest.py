"""slowhttptest, a program made for it, against a serving hub: in each of its modes five hundred
holds go on as if nothing happened.
"""

import asyncio
import os
import time
from collections.abc import Iterator

import pytest

from tests import outside
from tests.server.http1.conftest import unharmed
from tests.server.http1.holding import Holds
from tests.serving import Server, events_of, fresh, serve

# scripts/attack makes these longer and larger.
SECONDS = float(os.environ.get("PUSHHUB_ATTACK_SECONDS", "5"))
CONNECTIONS = int(os.environ.get("PUSHHUB_ATTACK_CONNECTIONS", "1000"))
# Every one of these has the kernel keep megabytes for it, of which it has only so many (tcp_mem).
READERS = CONNECTIONS // 5
HOLDS = 500

MODES = {
    # Heads that never end (slowloris).
    "header": ["-H", "-i", "1", "-x", "24"],
    # Bodies that never end (r.u.d.y.).
    "body": ["-B", "-i", "1", "-s", "65536", "-x", "10"],
    # Answers that nobody reads.
    "read": ["-X", "-w", "1", "-y", "2", "-n", "1", "-z", "1", "-k", "3"],
    # A Range header of a thousand ranges (Apache's CVE-2011-3192).
    "range": ["-R", "-a", "1", "-b", "3000"],
}


@pytest.fixture(scope="module")
def _attacked() -> Iterator[Server]:
    with serve("front", head_seconds=2, body_seconds=2, write_seconds=2) as server:
        yield server


@pytest.fixture
def hub(_attacked: Server) -> Iterator[Server]:
    """A front with short deadlines, that the attack outlasts."""
    yield _attacked
    unharmed(_attacked)


@pytest.mark.timeout(60 + 3 * SECONDS)
@pytest.mark.parametrize("mode", MODES)
async def test_holds_are_not_disturbed(hub: Server, mode: str) -> None:
    program = outside.require("slowhttptest")
    large = fresh("large")
    for _ in range(4):
        await hub.publish(large, "x" * 250_000)
    target = events_of(large) + ("" if mode != "body" else "?since=now")
    async with Holds(hub, HOLDS) as holds:
        process = await asyncio.create_subprocess_exec(
            program,
            *MODES[mode],
            *(
                "-c",
                str(READERS if mode == "read" else CONNECTIONS),
                "-r",
                "500",
                "-l",
                str(int(SECONDS)),
                "-p",
                "3",
            ),
            *("-u", f"http://127.0.0.1:{hub.port}{target}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                await holds.publish()
                await asyncio.sleep(0.1)
            said, _ = await asyncio.wait_for(process.communicate(), SECONDS + 10)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await holds.publish()
        assert b"slow HTTP test status" in said or b"Exit status" in said, said.decode()
        assert b"service available:   NO" not in said.replace(b"\x1b[", b"")
        # Each within fifteen seconds, with 500 answers read by this process too, on a machine that
        # the attack and other tests share.
        assert holds.rounds >= 3
