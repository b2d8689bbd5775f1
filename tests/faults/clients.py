"""Publishers and readers that never give up, and write down all they are told."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

import h11

from tests.faults.nodes import Session
from tests.serving import events_of, value_of
from tests.wire import EventStream, Message, Response

if TYPE_CHECKING:
    from tests.faults.book import Book
    from tests.faults.nodes import Node

# What a client does after a broken connection, in seconds.
PAUSE = 0.05
LIMIT = 1000
# How long a reader is away that has more to do than to read.
LATE_SECONDS = 0.7


async def pause_for(response: Response) -> None:
    """Wait as long as a 503 asks for."""
    await asyncio.sleep(float(response.headers.get("retry-after", PAUSE)))


class Publisher:
    """Publishes events of unique content, one after the other. With keys it repeats until it knows;
    without it repeats only what was refused.
    """

    def __init__(self, book: Book, nodes: list[Node], name: str, channels: list[str]) -> None:
        self.name = name
        self.keyed = not name.endswith("0")
        self._book = book
        self.session = Session(nodes, random.randrange(2))
        self._channels = channels
        self._random = random.Random(name)

    async def run(self, pause: float) -> None:
        number = 0
        while True:
            channel = self._random.choice(self._channels)
            await self._publish(channel, f"{self.name}-{number}")
            number += 1
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.5))

    async def _publish(self, channel: str, id: str) -> None:
        book = self._book
        body = json.dumps({"id": id}).encode()
        headers = {"content-type": "application/json"}
        if self.keyed:
            headers["idempotency-key"] = id
        while True:
            book.invoke(channel, id, key=self.keyed)
            begun = book.now()
            try:
                response = await self.session.ask("POST", events_of(channel), headers, body)
            except OSError:
                book.write("fail", channel=channel, id=id, why="no answer")
                if not self.keyed:
                    return
                await asyncio.sleep(PAUSE)
                continue
            if response.status == 200:
                return book.ok(channel, id, response.json())
            book.write("fail", channel=channel, id=id, why=response.status)
            if response.status != 503 or "retry-after" not in response.headers:
                book.complaints.append(f"a publish was answered {response}")
            book.refusals.append(book.now() - begun)
            # Sooner than it was told to, so that the outage is seen from close by.
            await asyncio.sleep(0.1)
            self.session.drop()


class Reader:
    """What all readers share: a name, a position in each channel, catching up at the end."""

    wait = 3

    def __init__(self, book: Book, nodes: list[Node], name: str, channels: list[str]) -> None:
        self.name = name
        self.book = book
        self.cursors: dict[str, str | None] = dict.fromkeys(channels)
        roams = name.startswith("roaming")
        self.session = Session(nodes, random.randrange(2), roams=roams)
        self.skips = name.endswith("-skips")

    async def begin(self) -> None:
        """Take a position in each channel: at its end."""
        for channel in self.cursors:
            answer = (await self.session.ask("GET", f"{events_of(channel)}?since=now")).json()
            self.took(channel, answer["cursor"], [], since=answer["cursor"])

    async def run(self) -> None:
        """Read for ever."""
        while True:
            try:
                await self.turn()
            except OSError:
                await asyncio.sleep(PAUSE * random.uniform(0.5, 1.5))

    async def turn(self) -> None:
        raise NotImplementedError

    async def finish(self) -> None:
        """Read what there is, without waiting, to the end."""
        for channel in self.cursors:
            while not await self.poll(channel, ""):
                pass

    async def poll(self, channel: str, wait: str) -> bool:
        """One poll of a feed; whether it was the end."""
        since, asked = self.cursors[channel], self.book.now()
        target = f"{events_of(channel)}?since={since}&limit={LIMIT}{wait}"
        response = await self.session.ask("GET", target, seconds=self.wait + 5)
        self.in_time(asked)
        if response.status == 410:
            self.lost(channel, response.json())
            return False
        if response.status != 200:
            return await self.refused(response)
        page = response.json()
        ended = bool(page.get("up_to_date"))
        if page["events"] or not wait:
            self.took(channel, page["cursor"], page["events"])
        else:
            self.took(channel, page["cursor"], [], asked=asked, up_to_date=ended)
        return ended

    def in_time(self, asked: float) -> None:
        self.book.overdue = max(self.book.overdue, self.book.now() - asked - self.wait)

    async def refused(self, response: Response) -> bool:
        if response.status != 503 or "retry-after" not in response.headers:
            self.book.complaints.append(f"{self.name} was answered {response}")
        await pause_for(response)
        return False

    def took(
        self, channel: str, cursor: str, events: list[Any], since: str | None = None, **more: Any
    ) -> None:
        since = since or self.cursors[channel]
        self.cursors[channel] = cursor
        self.book.read(self.name, channel, since, cursor, events, **more)

    def took_message(self, channel: str, message: Message) -> None:
        """Take the next message of a stream."""
        if message.type == "gap":
            self.lost(channel, json.loads(message.data or ""), message.id)
        elif message.data is not None:
            event = {"cursor": message.id, "data": json.loads(message.data)}
            self.took(channel, message.id, [event])
        elif message.id != self.cursors[channel]:
            self.took(channel, message.id, [])

    def lost(self, channel: str, gap: dict[str, Any], cursor: str | None = None) -> None:
        since = self.cursors[channel]
        assert since is not None
        cursor = cursor or gap["latest" if self.skips else "oldest"]
        self.cursors[channel] = cursor
        self.book.gap(self.name, channel, since, cursor, gap)


class FeedReader(Reader):
    """Long-polls one channel; one that is late stays away for a while after each answer."""

    async def turn(self) -> None:
        (channel,) = self.cursors
        await self.poll(channel, f"&wait={self.wait}")
        if self.name.startswith("late"):
            await asyncio.sleep(LATE_SECONDS)


class Sleeper(Reader):
    """Polls as ever, and is away whenever something is broken: it compares what it had with what is
    there after.
    """

    def __init__(
        self, book: Book, nodes: list[Node], name: str, channels: list[str], awake: asyncio.Event
    ) -> None:
        super().__init__(book, nodes, name, channels)
        self._awake = awake

    async def turn(self) -> None:
        (channel,) = self.cursors
        await self._awake.wait()
        await self.poll(channel, "")
        await asyncio.sleep(0.05)


class ManyReader(Reader):
    """Long-polls many channels in one request."""

    async def turn(self) -> None:
        asked = self.book.now()
        document = {"channels": self.cursors, "wait": self.wait, "limit": LIMIT}
        headers = {"content-type": "application/json"}
        body = json.dumps(document).encode()
        response = await self.session.ask("POST", "/v1/poll", headers, body, self.wait + 5)
        self.in_time(asked)
        if response.status != 200:
            await self.refused(response)
            return
        answer = response.json()
        for channel, cursor in answer["cursors"].items():
            if gap := answer.get("gaps", {}).get(channel):
                self.lost(channel, gap, cursor)
            else:
                events = [event for event in answer["events"] if event["channel"] == channel]
                self.took(channel, cursor, events)


class StreamReader(Reader):
    """Reads one channel as an event stream."""

    async def turn(self) -> None:
        (channel,) = self.cursors
        try:
            client = await self.session.connect()
            since = self.cursors[channel]
            assert since is not None
            headers = {"accept": "text/event-stream", "last-event-id": since}
            client.send("GET", events_of(channel), headers)
            status, _ = await client.head()
            if status != 200:
                await asyncio.sleep(PAUSE)
                return
            stream = EventStream(client)
            while True:
                message = await stream.next(20)
                self.took_message(channel, message)
        except h11.RemoteProtocolError as error:
            self.session.torn += 1
            raise OSError(repr(error)) from error
        except (StopAsyncIteration, AssertionError, TimeoutError) as error:
            raise OSError(repr(error)) from error
        finally:
            self.session.drop()


class ValueReader(Reader):
    """Polls the value of one channel: as ever, or with a wait."""

    etag = ""

    async def turn(self) -> None:
        waits = self.name.startswith("waiting")
        headers = {"if-none-match": self.etag} if self.etag else {}
        if waits:
            headers["prefer"] = f"wait={self.wait}"
        await self._ask(headers)
        if not waits:
            await asyncio.sleep(0.05)

    async def finish(self) -> None:
        while not await self._ask({}):
            pass

    async def _ask(self, headers: dict[str, str]) -> bool:
        (channel,) = self.cursors
        asked = self.book.now()
        response = await self.session.ask("GET", value_of(channel), headers, seconds=self.wait + 5)
        self.in_time(asked)
        if response.status == 200:
            self.etag = response.headers["etag"]
            epoch, _, offset = self.etag.strip('"').rpartition("-")
            id, place = response.json()["id"], {"epoch": epoch, "offset": int(offset)}
            self.book.write("value", reader=self.name, channel=channel, id=id, **place)
        elif response.status not in (304, 404):
            return await self.refused(response)
        return True
