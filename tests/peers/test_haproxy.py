"""Streams through a real HAProxy that compresses what it may."""

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests import outside
from tests.serving import SOON, Server, events_of, fresh, serve
from tests.wire import Client, EventStream

CONFIG = """
defaults
    mode http
    timeout connect 5s
    timeout client 120s
    timeout server 120s
frontend front
    bind 127.0.0.1:{port}
    filter compression
    compression algo gzip
    default_backend hub
backend hub
    server hub 127.0.0.1:{hub}
"""


@contextmanager
def haproxy(hub: Server, folder: Path) -> Iterator[int]:
    """A proxy in front of the hub; its port."""
    program = outside.require("haproxy")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / f"haproxy-{port}.cfg"
    config.write_text(CONFIG.format(port=port, hub=hub.port))
    process = subprocess.Popen(
        [program, "-db", "-f", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < end
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(20)
        assert process.stderr
        process.stderr.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as server:
        yield server


async def test_a_proxy_compresses_what_is_no_stream(server: Server, tmp_path: Path) -> None:
    """Without this, the next test would prove nothing."""
    channel = fresh()
    with haproxy(server, tmp_path) as port:
        await server.publish(channel, "x" * 5000)
        async with await Client.connect(port) as client:
            answer = await client.ask("GET", events_of(channel), {"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("many", [False, True], ids=["one channel", "many channels"])
async def test_events_arrive_promptly_through_a_proxy_that_compresses(
    server: Server, tmp_path: Path, many: bool
) -> None:
    channel = fresh()
    fields = {"accept": "text/event-stream", "accept-encoding": "gzip"}
    with haproxy(server, tmp_path) as port:
        async with await Client.connect(port) as client:
            if many:
                body = json.dumps({"channels": {channel: "now"}}).encode()
                client.send("POST", "/v1/poll", fields, body)
            else:
                client.send("GET", events_of(channel), fields)
            status, headers = await client.head()
            assert status == 200
            assert "content-encoding" not in headers
            assert headers["cache-control"] == "no-store, no-transform"
            stream = EventStream(client)
            async with asyncio.timeout(SOON):
                await stream.next()
            for number in range(3):
                await server.publish(channel, number)
                async with asyncio.timeout(SOON):
                    assert str(number) in ((await stream.next()).data or "")
