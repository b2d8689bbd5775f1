"""A signal ends the server: its waits are completed, and the server need not wait for them."""

import asyncio
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.wire import Client

APPLICATION = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from pushhub import PushHub, Settings

push = PushHub(Settings(store="memory://", public=True, drain_seconds=1))


@push.waits("a")
async def page(request):
    return PlainTextResponse("one")


app = Starlette(routes=[Route("/page", page), Mount("/push", push)], lifespan=push.lifespan)
"""
# What the waits have left when the signal comes, less a generous end.
WAIT, BOUND = 50, 25.0


@pytest.mark.parametrize("form", ["embedded", "factory"])
async def test_a_signal_completes_the_waits(tmp_path: Path, form: str) -> None:
    port = free_port()
    (tmp_path / "hosting.py").write_text(APPLICATION)
    what = ["hosting:app"] if form == "embedded" else ["--factory", "pushhub.app:create_app"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", *what, "--port", str(port)),
        cwd=tmp_path,
        env={"PUSHHUB_DEV": "1", "PUSHHUB_STORE": "memory://", "PUSHHUB_DRAIN_SECONDS": "1"},
    )
    try:
        client = await _connected(port)
        async with client:
            root = "/push" if form == "embedded" else ""
            feed = f"{root}/v1/channels/a/events"
            cursor = (await client.ask("GET", feed)).json()["cursor"]
            headers = {"prefer": f"wait={WAIT}"}
            client.send("GET", f"{feed}?since={cursor}", headers)
            # The hub holds it: a request that was sent later has its response.
            async with await _connected(port) as other:
                await other.ask("GET", f"{root}/livez")
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert (await client.receive(BOUND)).status == 200
        assert await asyncio.wait_for(process.wait(), BOUND) in (0, -signal.SIGTERM)
        assert time.monotonic() - began < BOUND
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _connected(port: int) -> Client:
    async with asyncio.timeout(20):
        while True:
            try:
                return await Client.connect(port)
            except OSError:
                await asyncio.sleep(0.05)
