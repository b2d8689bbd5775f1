"""A fast origin for Pushpin: it keeps the last events, and tells Pushpin to hold who has them all.

Every poll comes here, again and again: that is how GRIP works. Its CPU is not counted as Pushpin's.
The token is only compared, as in the other peers.
"""

import asyncio
import json
import os
import re
import sys
from collections import defaultdict
from typing import ClassVar, cast

import uvloop

TOKEN = ("Bearer " + os.environ["ORIGIN_TOKEN"]).encode()
KEY = ("Bearer " + os.environ["ORIGIN_KEY"]).encode()
CORS = os.environ["ORIGIN_ORIGIN"].encode()

_TARGET = re.compile(rb"(GET|POST) /channels/([\w-]+)/events(?:\?since=(\d+)&wait=(\d+))? ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_AUTHORIZATION = re.compile(rb"\r\nauthorization: *([^\r]+)", re.IGNORECASE)

HEADERS = {
    "Content-Type": "application/json",
    "Access-Control-Allow-Origin": CORS.decode(),
    "Access-Control-Allow-Credentials": "true",
    "Cache-Control": "no-store",
}
_LINES = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()


def answer(status: bytes, body: bytes, lines: bytes = b"") -> bytes:
    """A response."""
    head = b"HTTP/1.1 %b\r\n%b%bContent-Length: %d\r\n\r\n"
    return head % (status, _LINES, lines, len(body)) + body


def document(events: list[bytes], first: int) -> bytes:
    """Events after `first`, and the number of the last."""
    items = b",".join(
        b'{"offset":%d,"data":%b}' % (number, data) for number, data in enumerate(events, first + 1)
    )
    return b'{"events":[%b],"cursor":"%d"}' % (items, first + len(events))


class Control:
    """Pushpin's control port, one publish after another."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.turn = asyncio.Lock()
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def publish(self, channel: str, number: int, body: bytes) -> None:
        """Hand an event to Pushpin."""
        response = {"headers": HEADERS, "body": body.decode()}
        item = {
            "channel": channel,
            "id": str(number),
            "prev-id": str(number - 1),
            "formats": {"http-response": response},
        }
        data = json.dumps({"items": [item]}).encode()
        head = b"POST /publish/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        async with self.turn:
            if self.streams is None:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self.streams
            writer.write(head % len(data) + data)
            told = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(told)
            await reader.readexactly(int(length[1]) if length else 0)
            if b"connection: close" in told.lower():
                writer.close()
                self.streams = None


class Origin(asyncio.Protocol):
    """One connection."""

    logs: ClassVar[defaultdict[bytes, list[bytes]]] = defaultdict(list)
    control: Control
    tasks: ClassVar[set[asyncio.Task[None]]] = set()

    def __init__(self) -> None:
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n") + 4) > 3:
            length = _LENGTH.search(self.data[:end])
            whole = end + (int(length[1]) if length else 0)
            if len(self.data) < whole:
                return
            head, body, self.data = self.data[:end], self.data[end:whole], self.data[whole:]
            self.request(head, body)

    def request(self, head: bytes, body: bytes) -> None:
        target = _TARGET.match(head)
        sent = _AUTHORIZATION.search(head)
        who = sent[1] if sent else b""
        if target is None:
            self.write(answer(b"200 OK", b"a page\n"))
        elif target[1] == b"POST":
            if who != KEY:
                self.write(answer(b"401 Unauthorized", b"{}"))
                return
            task = asyncio.get_running_loop().create_task(self.publish(target[2], body))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif who != TOKEN:
            self.write(answer(b"401 Unauthorized", b"{}"))
        else:
            self.poll(target[2], int(target[3]), int(target[4]))

    def poll(self, channel: bytes, since: int, wait: int) -> None:
        news = self.logs[channel][since:]
        hold = b""
        if not news and wait:
            hold = b"Grip-Hold: response\r\nGrip-Channel: %b; prev-id=%d\r\nGrip-Timeout: %d\r\n"
            hold %= (channel, since, wait)
        self.write(answer(b"200 OK", document(news, since), hold))

    async def publish(self, channel: bytes, data: bytes) -> None:
        log = self.logs[channel]
        log.append(data)
        number = len(log)
        await self.control.publish(channel.decode(), number, document([data], number - 1))
        self.write(answer(b"200 OK", b'{"offset":%d}' % number))

    def write(self, data: bytes) -> None:
        self.transport.write(data)


async def main() -> None:
    """Listen on the first port; the second is Pushpin's control port."""
    Origin.control = Control(int(sys.argv[2]))
    server = await asyncio.get_running_loop().create_server(
        Origin, "127.0.0.1", int(sys.argv[1]), backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
