"""What a process weighs after it has read much, by every endpoint, on SQLite and Valkey.

The collector of cycles hardly ever runs in a hub (`server/collector.py`), so whatever keeps a page
in a cycle keeps its megabyte. Here as much is read as would show: five times what the tails may
keep, which is less here than it is in use.

With a closure in a cycle around each cold read a process on SQLite grows by 14 MiB for feeds and
20 MiB for polls, one on Valkey by 14 MiB in all. One on the memory store does not, since the log
itself holds the events: `test_pages_kept.py` counts the pages there.
"""

from __future__ import annotations

import asyncio
import base64
import socket
from typing import TYPE_CHECKING

import pytest

from tests import serving
from tests.serving import Server, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.redis_servers import Shelf
    from tests.wire import Client

OWN = "/_pushhub"
EVENT_BYTES = 200_000
CHANNELS = 25
TAILS_BYTES = 2 * 2**20
LIGHT = (
    "import pushhub.hub.channels as shelf; import pushhub.server.collector as collector; "
    "from pushhub.cli import main; "
    # No collection but those before a freeze, wherever in its count the process is.
    f"shelf.MAX_TAILS_BYTES = {TAILS_BYTES}; collector.THRESHOLDS = (10**9, 50, 100); main()"
)
# Each endpoint reads 10 MB. If all together keep half of that, something keeps pages.
MOST_GROWTH = CHANNELS * EVENT_BYTES
AT_A_TIME = 25
# Each keeps its last response, to send it again (XEP-0124 §14.3).
SESSIONS = 4
HTTPBIND = "http://jabber.org/protocol/httpbind"

Visit = "Callable[[Server, str], Awaitable[None]]"


def names() -> list[str]:
    return [f"c{number}" for number in range(CHANNELS)]


async def feed(server: Server, name: str) -> None:
    answer = await server.get(f"{OWN}/v1/channels/{name}/events")
    assert len(answer.body) > 2 * EVENT_BYTES


async def value(server: Server, name: str) -> None:
    answer = await server.get(f"{OWN}/v1/channels/{name}")
    assert len(answer.body) > EVENT_BYTES


async def poll(server: Server, name: str) -> None:
    answer = await server.post(f"{OWN}/v1/poll", {"channels": {name: "earliest"}, "wait": 1})
    assert len(answer.body) > 2 * EVENT_BYTES


async def stream(server: Server, name: str) -> None:
    async with server.streaming(f"{OWN}/v1/channels/{name}/events?since=earliest") as events:
        for _ in range(3):
            await events.next()


async def grip(server: Server, name: str) -> None:
    """A hold of an origin's response; its client leaves as soon as it has the answer."""
    async with await server.connect() as client:
        client.send("GET", f"/hold/{name}")
        answer = await client.receive()
        assert answer.status == 200, answer


class Bosh:
    """A session that asks for a node's items."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._rid = 100
        self._sid = ""

    @classmethod
    async def login(cls, server: Server) -> Bosh:
        bosh = cls(await server.connect())
        answer = await bosh._send("to='localhost' wait='5' hold='1' ver='1.6' xmpp:version='1.0'")
        bosh._sid = (
            answer.partition("sid='")[2].partition("'")[0]
            or (answer.partition('sid="')[2].partition('"')[0])
        )
        sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
        assert "<success" in await bosh.post(f"<auth xmlns='{sasl}' mechanism='ANONYMOUS'/>")
        await bosh._send(f"sid='{bosh._sid}' xmpp:restart='true'")
        bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
        await bosh.post(f"<iq xmlns='jabber:client' type='set' id='b'>{bind}</iq>")
        return bosh

    async def post(self, inside: str) -> str:
        return await self._send(f"sid='{self._sid}'", inside)

    async def items(self, name: str) -> None:
        inside = (
            "<iq xmlns='jabber:client' type='get' id='i' to='pubsub.localhost'><pubsub "
            f"xmlns='http://jabber.org/protocol/pubsub'><items node='{name}'/></pubsub></iq>"
        )
        answer = await self.post(inside)
        while "<iq" not in answer:
            answer = await self.post("")
        assert len(answer) > EVENT_BYTES, answer[:300]

    async def _send(self, attributes: str, inside: str = "") -> str:
        self._rid += 1
        body = (
            f"<body xmlns='{HTTPBIND}' rid='{self._rid}' xmlns:xmpp='urn:xmpp:xbosh' "
            f"{attributes}>{inside}</body>"
        )
        answer = await self._client.ask("POST", f"{OWN}/http-bind", {}, body.encode())
        assert answer.status == 200, answer
        return answer.body.decode()

    async def leave(self) -> None:
        await self.post("<presence xmlns='jabber:client' type='unavailable'/>")
        await self._client.leave()


async def answer_holds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An origin whose responses are held for a second, on the channel of the path's last part."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            name = head.split(" ")[1].rpartition("/")[2]
            fields = f"Grip-Hold: response\r\nGrip-Channel: {name}\r\nGrip-Timeout: 1\r\n"
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok".encode())
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(answer_holds, sock=sock)
    async with server:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


async def everywhere(
    server: Server, visit: Callable[[Server, str], Awaitable[None]], at_a_time: int = AT_A_TIME
) -> None:
    """Visit every channel, a few at a time."""
    left = names()

    async def visits() -> None:
        while left:
            await visit(server, left.pop())

    await asyncio.gather(*(visits() for _ in range(at_a_time)))


async def weight(server: Server) -> int:
    answer = await server.get(f"{OWN}/metrics")
    for line in answer.body.decode().splitlines():
        if line.startswith("process_resident_memory_bytes "):
            return int(line.split(" ")[1])
    raise AssertionError("The metrics have no weight.")


async def publish(server: Server, name: str) -> None:
    body = b'"' + base64.b64encode(name.encode() * 3)[:4] * (EVENT_BYTES // 4) + b'"'
    for _ in range(2):
        fields = {"content-type": "application/json"}
        answer = await server.ask("POST", f"{OWN}/v1/channels/{name}/events", fields, body)
        assert answer.status == 200, answer


@pytest.mark.parametrize("store", ["sqlite", "valkey9"])
async def test_read_pages_are_freed(
    store: str,
    tmp_path: Path,
    redis_shelf: Shelf,
    origin: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(serving.DRIVERS, "light", ["-c", LIGHT, "serve", "--port", "0"])
    url = f"sqlite:///{tmp_path}/log.db" if store == "sqlite" else redis_shelf.url(store)
    with serve(
        "light", url, grip_min_seconds=1, origin=origin, routes=[{"path": "/*", "step": "grip"}]
    ) as server:
        await everywhere(server, publish)
        grown: dict[str, int] = {}

        async def weigh(
            what: str,
            visit: Callable[[Server, str], Awaitable[None]],
            at_a_time: int = AT_A_TIME,
        ) -> None:
            # The first time the allocator grows, by what is under way at a time.
            await everywhere(server, visit, at_a_time)
            before = await weight(server)
            await everywhere(server, visit, at_a_time)
            grown[what] = await weight(server) - before

        await weigh("feed", feed)
        await weigh("value", value)
        await weigh("poll", poll)
        await weigh("stream", stream)
        await weigh("grip", grip)
        sessions = [await Bosh.login(server) for _ in range(SESSIONS)]

        async def items(server: Server, name: str) -> None:
            session = sessions.pop()
            await session.items(name)
            sessions.append(session)

        await weigh("bosh", items, SESSIONS)
        for session in sessions:
            await session.leave()
    print(store, {what: f"{bytes / 2**20:.0f} MiB" for what, bytes in grown.items()})
    assert sum(max(0, bytes) for bytes in grown.values()) < MOST_GROWTH, grown
