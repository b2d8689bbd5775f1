"""Clients that change something: publishers with receipts, writers of the origin, an abuser."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING

from tests.faults.clients import Publisher, pause_for
from tests.rehearsal.diary import LOG, ORIGIN
from tests.rehearsal.line import Line, path
from tests.serving import events_of, value_of

if TYPE_CHECKING:
    from tests.deploy.proxies import RunningProxy
    from tests.rehearsal.diary import Diary


def publisher(
    proxy: RunningProxy, diary: Diary, name: str, channels: list[str], secret: str
) -> Publisher:
    """A publisher with a key, that repeats with its idempotency key until it has a receipt."""
    made = Publisher(diary.books[LOG], [], name, channels)
    fields = {"authorization": f"Bearer {secret}"}
    made.session = Line(proxy, diary, name, "publisher", fields)  # type: ignore[assignment]
    made.keyed = True
    return made


class Writer:
    """Changes a resource of the origin through pushhub; for GRIP publishes the change, too."""

    def __init__(self, proxy: RunningProxy, diary: Diary, resource: str, secret: str) -> None:
        self.name = f"writer-{resource}"
        self._resource = resource
        self._book = diary.books[ORIGIN]
        self._line = Line(proxy, diary, self.name, "writer")
        fields = {"authorization": f"Bearer {secret}"}
        self._publisher = Line(proxy, diary, f"{self.name}-grip", "publisher", fields)

    async def run(self, pause: float) -> None:
        """Change the resource again and again."""
        number = 0
        while True:
            number += 1
            await self._change(f"{self._resource}-{number}")
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))

    async def _change(self, id: str) -> None:
        self._book.invoke(self._resource, id, key=False)
        document = json.loads(await self._send(self._line, self._resource, id.encode()))
        if self._resource.startswith("/grip/"):
            name = self._resource.removeprefix("/grip/")
            formats = {"http-response": {"body": json.dumps(document)}}
            items = [{"channel": f"grip-{name}", "id": id, "formats": formats}]
            await self._send(self._publisher, "/publish", json.dumps({"items": items}).encode())
        receipt = {"epoch": "origin", "offset": document["version"]}
        self._book.ok(self._resource, id, receipt)

    async def _send(self, line: Line, target: str, body: bytes) -> bytes:
        """The body of the response, after as many repetitions as it takes."""
        while True:
            try:
                response = await line.ask("POST", target, {}, body)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            if response.status == 200:
                return response.body
            await pause_for(response)


class Abuser:
    """Sends as fast as it can, with a token, over several connections."""

    CONNECTIONS = 8

    def __init__(self, proxy: RunningProxy, diary: Diary, token: str) -> None:
        self._proxy, self._abuse = proxy, diary.abuse
        self._fields = {"authorization": f"Bearer {token}"}

    async def run(self, seconds: float) -> None:
        """Flood until the time is over."""
        floods = (self._flood(number) for number in range(self.CONNECTIONS))
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*floods)
        except TimeoutError:
            pass

    async def _flood(self, number: int) -> None:
        while True:
            client = await self._proxy.connect()
            try:
                while True:
                    if number % 2:
                        client.send("GET", path(value_of("abuse:a")), self._fields)
                    else:
                        client.send("POST", path(events_of("abuse:a")), self._fields, b"1")
                    status = (await client.receive()).status
                    self._abuse[status] = self._abuse.get(status, 0) + 1
            except (OSError, AssertionError):
                self._abuse[0] = self._abuse.get(0, 0) + 1
                await asyncio.sleep(0.1)
            finally:
                client.writer.transport.abort()
