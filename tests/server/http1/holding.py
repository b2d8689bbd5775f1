"""Many holds on one channel that must each receive all events during an attack by other clients."""

import asyncio
import json
import re
from typing import Any

from tests.serving import Server, events_of, fresh

_LENGTH = re.compile(rb"content-length: (\d+)")


class Holds:
    """`count` clients that long-poll one channel from the same cursor on."""

    def __init__(self, server: Server, count: int) -> None:
        self.server = server
        self.count = count
        self.rounds = 0
        self.channel = fresh("bystanders")
        self._clients: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._cursor = ""

    async def __aenter__(self) -> "Holds":
        for _ in range(self.count):
            client = await asyncio.open_connection("127.0.0.1", self.server.port)
            self._clients.append(client)
        self._cursor = (await self.server.get(events_of(self.channel))).json()["cursor"]
        self._ask()
        await self.server.held(self.count)
        return self

    async def __aexit__(self, *_: object) -> None:
        for _reader, writer in self._clients:
            writer.close()

    def _ask(self) -> None:
        for _, writer in self._clients:
            writer.write(
                f"GET {events_of(self.channel)}?since={self._cursor} HTTP/1.1\r\n"
                "Host: localhost\r\nPrefer: wait=55\r\n\r\n".encode()
            )

    async def publish(self, seconds: float = 15.0) -> None:
        """Publish an event: every client receives only this event, and polls again."""
        self.rounds += 1
        await self.server.publish(self.channel, self.rounds)
        async with asyncio.timeout(seconds):
            answers = await asyncio.gather(*[self._answer(client[0]) for client in self._clients])
        for answer in answers:
            assert [event["data"] for event in answer["events"]] == [self.rounds]
            self._cursor = answer["cursor"]
        self._ask()

    async def _answer(self, reader: asyncio.StreamReader) -> Any:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = _LENGTH.search(head)
        assert length
        return json.loads(await reader.readexactly(int(length[1])))
