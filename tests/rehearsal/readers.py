"""Readers of every kind, through the proxy."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from tests.faults.clients import FeedReader, ManyReader, Reader, ValueReader, pause_for
from tests.rehearsal.diary import ORIGIN
from tests.rehearsal.line import Line, path
from tests.serving import events_of
from tests.wire import EventStream

if TYPE_CHECKING:
    from tests.deploy.proxies import RunningProxy
    from tests.rehearsal.diary import Diary

WAIT = 20
POLL_SECONDS = 4.0


def seated(reader: Reader, proxy: RunningProxy, diary: Diary, kind: str) -> Reader:
    """The reader, with a line to the proxy and the wait of the rehearsal."""
    reader.session = Line(proxy, diary, reader.name, kind)  # type: ignore[assignment]
    reader.wait = WAIT
    return reader


class PlainPoller(FeedReader):
    """Polls without a wait, as before pushhub."""

    async def turn(self) -> None:
        (channel,) = self.cursors
        await self.poll(channel, "")
        await asyncio.sleep(POLL_SECONDS * random.uniform(0.75, 1.25))

    def took(
        self, channel: str, cursor: str, events: list[Any], since: str | None = None, **more: Any
    ) -> None:
        super().took(channel, cursor, events, since, plain=True, **more)


class LongPoller(FeedReader):
    """Long-polls one channel, and follows the retry hint."""


class WaitingValue(ValueReader):
    """Waits for each change of a value."""


class ManyPoller(ManyReader):
    """Waits on some channels with one request."""


class SseReader(Reader):
    """Reads one channel as an event stream."""

    async def turn(self) -> None:
        (channel,) = self.cursors
        line: Line = self.session  # type: ignore[assignment]
        begun, opened = self.book.now(), False
        try:
            client = await line.connect()
            since = self.cursors[channel] or "now"
            client.send(
                "GET",
                path(events_of(channel)),
                {"accept": "text/event-stream", "last-event-id": since},
            )
            async with asyncio.timeout(20):
                status, headers = await client.head()
            opened = True
            ours = headers.get("content-type") == "application/problem+json"
            line.wrote("GET", begun, status, retry_after="retry-after" in headers, ours=ours)
            if status != 200:
                return await asyncio.sleep(float(headers.get("retry-after", "0.2")))
            await self._read(channel, EventStream(client))
        except StopAsyncIteration:
            return None  # the hub ended the stream, as in a drain
        except Exception as error:
            line.wrote("GET", self.book.now() if opened else begun, 0, text=repr(error)[:120])
            await asyncio.sleep(random.uniform(0.05, 0.2))
        finally:
            line.drop()

    async def _read(self, channel: str, stream: EventStream) -> None:
        while True:
            # A comment comes every 15 s.
            message = await stream.next(60)
            self.took_message(channel, message)


class OriginReader:
    """Waits on a resource of the origin: with `Prefer`, or held by GRIP."""

    def __init__(self, proxy: RunningProxy, diary: Diary, name: str, resource: str) -> None:
        self.name = name
        self._resource = resource
        self._is_grip = resource.startswith("/grip/")
        self._book = diary.books[ORIGIN]
        self._tag = ""
        self.version = 0
        self.session = Line(proxy, diary, name, "GRIP" if self._is_grip else "origin")

    async def begin(self) -> None:
        """Read the present version."""
        await self.finish()

    async def run(self) -> None:
        """Read for ever."""
        while True:
            try:
                await self._ask(waits=True)
            except OSError:
                await asyncio.sleep(random.uniform(0.05, 0.2))

    async def finish(self) -> None:
        """Read the last version."""
        while not await self._ask(waits=False):
            pass

    async def _ask(self, *, waits: bool) -> bool:
        target, headers = self._resource, {}
        if self._is_grip:
            # With -1 the origin always has something newer.
            target += f"?after={self.version if waits else -1}"
        elif waits:
            headers = {"prefer": f"wait={WAIT}", "if-none-match": self._tag}
        response = await self.session.ask("GET", target, headers, seconds=WAIT + 10)
        if response.status == 304:
            return True
        if response.status != 200:
            await pause_for(response)
            return False
        document = response.json()
        self._tag = response.headers.get("etag", "")
        version = document["version"]
        if version and version != self.version:
            place = {"epoch": "origin", "offset": version, "id": document["id"]}
            self._book.write("value", reader=self.name, channel=self._resource, **place)
        self.version = version
        return True
