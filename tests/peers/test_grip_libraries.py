"""GRIP libraries as they are, as publishers and as origins; versions are pinned in the locks."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gripcontrol
import pubcontrol
import pytest

from tests.peers.conftest import GATES, JS, SECRET, gate_before
from tests.peers.gate import KEY, SECONDS, Gate, fresh
from tests.peers.origin import Origin, script
from tests.ports import free_port
from tests.wire import Client, EventStream

ROOT = Path(__file__).parents[2]

HOLD = "Grip-Hold: response"


@pytest.mark.parametrize("slash", ["", "/"])
async def test_gripcontrol_publishes(gate: Gate, slash: str) -> None:
    if slash and not gate.is_ours:
        pytest.skip("Pushpin 1.36 does not know //publish/")
    uri = f"http://127.0.0.1:{gate.control}{slash}"
    publisher = gripcontrol.GripPubControl({"control_uri": uri, "control_iss": "me", "key": KEY})
    channel = fresh()
    async with gate.hold("/" + fresh("p"), HOLD, f"Grip-Channel: {channel}") as task:
        response = gripcontrol.HttpResponseFormat(code=201, headers={"X-A": "1"}, body=b"\x00\xff")
        item = pubcontrol.Item([response, gripcontrol.HttpStreamFormat("s")], "1", None)
        await asyncio.to_thread(publisher.publish, channel, item, True)
        told = await task
    assert (told.status, told.body) == (201, b"\x00\xff"), told
    assert told.headers["x-a"] == "1"
    # An item of the millisecond in which a stream begins is not older than it.
    await asyncio.sleep(0.05)
    async with gate.stream("/" + fresh("p"), f"Grip-Channel: {channel}") as stream:
        await asyncio.to_thread(publisher.publish_http_stream, channel, "more", None, None, True)
        assert await stream.read(4) == b"more"
    await asyncio.to_thread(publisher.finish)


async def test_gripcontrol_instructs(gate: Gate) -> None:
    """What the library makes of a hold, sent by an origin."""
    name = fresh()
    channel = gripcontrol.Channel(name)
    document = gripcontrol.create_hold_response(
        channel, gripcontrol.Response(code=200, body="nothing"), timeout=20
    )
    lines = "Content-Type: application/grip-instruct"
    publisher = gripcontrol.GripPubControl({"control_uri": f"http://127.0.0.1:{gate.control}"})
    async with gate.hold("/" + fresh("p"), lines, body=document) as task:
        await asyncio.to_thread(publisher.publish_http_response, name, "news", None, None, True)
        assert (await task).body == b"news"
    header = gripcontrol.create_grip_channel_header(gripcontrol.Channel(name))
    async with gate.hold("/" + fresh("p"), HOLD, f"Grip-Channel: {header}") as task:
        await asyncio.to_thread(publisher.publish_http_response, name, "more", None, None, True)
        assert (await task).body == b"more"
    await asyncio.to_thread(publisher.finish)


async def test_gripcontrol_validates_the_signature(gate: Gate) -> None:
    where = "/" + fresh("p")
    await gate.ask(script(where))
    (sig,) = gate.origin.at(where)[0].all("grip-sig")
    assert gripcontrol.validate_sig(sig, KEY)


@contextmanager
def serve_grip(node: str, name: str) -> Iterator[Gate]:
    """An origin with `serve-grip`, which must know the control endpoint before it starts; so the
    gate is told of the origin's port by a first one that only lends it.
    """
    with subprocess.Popen(
        [node, "origin.mjs"], cwd=JS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            port = int(process.stdout.readline())
            with gate_before(name, Origin(port)) as gate:
                process.stdin.write(f"http://127.0.0.1:{gate.control} {SECRET}\n")
                process.stdin.flush()
                assert process.stdout.readline() == "ready\n"
                yield gate
        finally:
            process.terminate()


@pytest.mark.parametrize("name", GATES)
async def test_serve_grip_holds_streams_and_publishes(node: str, name: str) -> None:
    with serve_grip(node, name) as gate:
        who = await gate.ask("/who")
        assert who.response.json() == {"proxied": True, "signed": True}
        channel = fresh()
        poll = asyncio.create_task(gate.ask(f"/poll?channel={channel}"))
        if gate.is_ours:
            # The origin keeps no log.
            async with asyncio.timeout(SECONDS):
                while not await _holds_one(gate):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        else:
            await gate.registered("/poll")
        published = await gate.ask(f"/publish?channel={channel}&text=news", "POST")
        assert published.body == b"published\n"
        told = await poll
        assert (told.status, told.body) == (200, b"news")
        assert told.headers["content-type"] == "text/plain"


async def _holds_one(gate: Gate) -> bool:
    return b"\npushhub_holds 1\n" in (await gate.ask("/_pushhub/metrics")).body


@contextmanager
def eventstream() -> Iterator[Gate]:
    """A Django project behind pushhub, each knowing where the other is."""
    port = free_port()
    with gate_before("pushhub", Origin(port)) as gate:
        grip_url = f"http://127.0.0.1:{gate.control}?iss=me&key={SECRET}"
        command = [sys.executable, "-m", "tests.peers.eventstream_app", str(port), grip_url]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        ) as process:
            try:
                assert process.stdout
                assert process.stdout.readline() == "ready\n"
                yield gate
            finally:
                process.terminate()


async def test_django_eventstream_streams_its_events() -> None:
    """The app does not know pushhub: it instructs a GRIP proxy, and publishes to one."""
    with eventstream() as gate:
        await _streams(gate)


async def _streams(gate: Gate) -> None:
    client = await Client.connect(gate.port)
    client.send("GET", "/events/", {"accept": "text/event-stream"})
    status, headers = await client.head()
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert not [name for name in headers if name.startswith("grip-")]
    reader = EventStream(client)
    message = await reader.next()
    assert message.type == "stream-open"
    assert (await gate.ask("/send", "POST", body=b"hello")).body == b"sent"
    message = await reader.next()
    assert (message.type, json.loads(message.data or "")) == ("message", {"text": "hello"})
    await client.leave()
