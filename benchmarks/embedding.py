"""What a waiting request of an embedded hub costs, beside one of a naive endpoint.

    python -m benchmarks.embedding [--holds 1000] [--rounds 5] [--json]

The naive endpoint awaits a condition of its channel and then responds: what an application without
pushhub would do. It has no ETag, no 304, no jitter, no drain, and keeps its dependencies open. Both
are endpoints of one Starlette application on uvicorn with h11, in a process of its own. The figures
are the process's memory for each request that waits, and its processor time, with the kernel's
part, for each request that is woken, responds and waits again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from pushhub import PushHub, Settings

if TYPE_CHECKING:
    from starlette.requests import Request

_TICK = os.sysconf("SC_CLK_TCK")
# A woken request has run and responded by then, on a busy machine too.
_SECONDS = 60.0

state = {"n": 0}
changed = asyncio.Condition()
push = PushHub(Settings(store="memory://", public=True))


@push.waits("orders:7")
async def waiting(request: Request) -> JSONResponse:
    return JSONResponse(state)


async def naive(request: Request) -> JSONResponse:
    if request.headers.get("prefer"):
        async with changed:
            await changed.wait()
    return JSONResponse(state)


async def change(request: Request) -> JSONResponse:
    state["n"] += 1
    async with changed:
        changed.notify_all()
    await push.publish("orders:7", state)
    return JSONResponse(state)


app = Starlette(
    routes=[
        Route("/waits", waiting),
        Route("/naive", naive),
        Route("/change", change, methods=["POST"]),
    ],
    lifespan=push.lifespan,
)


class Held:
    """A client whose request waits."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._etag = ""

    def send(self, path: str) -> None:
        tag = f"if-none-match: {self._etag}\r\n" if self._etag else ""
        self._writer.write(
            f"GET {path} HTTP/1.1\r\nhost: a\r\nprefer: wait=55\r\n{tag}\r\n".encode()
        )

    async def receive(self) -> None:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        if found := re.search(r"content-length: (\d+)", head):
            await self._reader.readexactly(int(found[1]))
        if found := re.search(r"etag: (\S+)", head):
            self._etag = found[1]

    def close(self) -> None:
        self._writer.close()


def _memory(process: int) -> int:
    """The resident bytes of a process."""
    text = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s*(\d+)", text)
    assert found
    return int(found[1]) * 1024


def _cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


async def measured(path: str, holds: int, rounds: int) -> dict[str, float]:
    """The figures of one endpoint, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "benchmarks.embedding:app", "--http", "h11"),
        *("--port", "0", "--no-access-log", "--timeout-keep-alive", "300"),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    assert process.stderr
    try:
        async with asyncio.timeout(_SECONDS):
            while not (found := re.search(rb":(\d+) ", await process.stderr.readline())):
                pass
        return await _measure(process.pid, int(found[1]), path, holds, rounds)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _measure(process: int, port: int, path: str, holds: int, rounds: int) -> dict[str, float]:
    async def connect() -> Held:
        return Held(*await asyncio.open_connection("127.0.0.1", port))

    async def wake() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /change HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        await reader.read()
        writer.close()

    idle = [await connect() for _ in range(holds)]
    for held in idle:
        # A first response, so that the connection's own memory is there; for the tag, too.
        if path == "/waits":
            held.send(path)
            await held.receive()
    await asyncio.sleep(1.0)
    before = _memory(process)
    for held in idle:
        held.send(path)
    await asyncio.sleep(2.0)
    bytes_each = (_memory(process) - before) / holds
    costs = []
    async with asyncio.timeout(_SECONDS * rounds):
        for _ in range(rounds):
            begun = _cpu(process)
            await wake()
            await asyncio.gather(*(held.receive() for held in idle))
            for held in idle:
                held.send(path)
            await asyncio.sleep(1.0)
            costs.append((_cpu(process) - begun) / holds)
    for held in idle:
        held.close()
    return {"bytes": bytes_each, "microseconds": statistics.median(costs) * 1e6}


async def compared(holds: int, rounds: int) -> dict[str, Any]:
    return {path: await measured(path, holds, rounds) for path in ("/naive", "/waits")}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--holds", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = asyncio.run(compared(options.holds, options.rounds))
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{options.holds} requests wait, medians of {options.rounds} rounds")
    for path, each in figures.items():
        print(
            f"{path:8} {each['bytes'] / 1024:6.1f} KiB for each that waits,"
            f" {each['microseconds']:6.0f} µs of processor time for each that is woken"
        )


if __name__ == "__main__":
    main()
