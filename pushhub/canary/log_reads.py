"""A wait and a stream of the canary, which expect an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pushhub.canary.check import CanaryFailure
from pushhub.canary.listener import EVENTS
from pushhub.canary.messages import MessageReader
from pushhub.log.cursor import Cursor, parse_cursor

if TYPE_CHECKING:
    from pushhub.canary.client import CanaryClient, CanaryResponse
    from pushhub.canary.messages import StreamMessage
    from pushhub.canary.sequence import EventSequence

# Longer than a check, and short enough for each setting of `max_wait`.
_WAIT = {"prefer": "wait=25"}


def expect_200(response: CanaryResponse) -> CanaryResponse:
    """The response, if it is a success.

    Raises:
        CanaryFailure: it is none.
    """
    if response.status != 200:
        raise CanaryFailure(f"The status was {response.status}, not 200.")
    return response


class CanaryWait:
    """A long-poll from the end of the channel."""

    def __init__(self, client: CanaryClient, prefix: str) -> None:
        self._client = client
        self._path = f"{prefix}{EVENTS}?since="

    async def open(self) -> None:
        """Find the end of the channel, and begin to wait there."""
        response = expect_200(await self._client.ask("GET", self._path + "now"))
        self._send(str(orjson.loads(response.body)["cursor"]))

    def _send(self, cursor: str) -> None:
        self._client.send("GET", self._path + cursor, _WAIT)

    async def reach(self, cursor: Cursor) -> None:
        """Wait for the event at `cursor`. Canaries of other processes may publish before it."""
        while True:
            page = orjson.loads(expect_200(await self._client.receive()).body)
            if any(parse_cursor(event["cursor"]) == cursor for event in page["events"]):
                return
            if parse_cursor(page["cursor"]).offset >= cursor.offset:
                raise CanaryFailure("The wait ended without the event.")
            self._send(page["cursor"])


class CanaryStream:
    """A stream of Server-Sent Events. It goes on where the last one has ended."""

    def __init__(self, client: CanaryClient, prefix: str, sequence: EventSequence) -> None:
        self._client = client
        self._path = f"{prefix}{EVENTS}?since=now"
        self._sequence = sequence
        self._messages = MessageReader()

    async def open(self) -> None:
        """Open the stream, and read its position."""
        headers = {"accept": "text/event-stream"}
        if (last := self._sequence.cursor) is not None:
            headers["last-event-id"] = str(last)
        self._client.send("GET", self._path, headers)
        if (status := await self._client.receive_head()) != 200:
            raise CanaryFailure(f"The status was {status}, not 200.")
        await self._read()

    async def reach(self, cursor: Cursor) -> None:
        """Read until the event at `cursor`."""
        while not self._sequence.has(cursor):
            await self._read()

    async def _read(self) -> None:
        piece = await self._client.piece()
        if not piece:
            raise CanaryFailure("The stream ended.")
        for message in self._messages.feed(piece):
            self._take(message)

    def _take(self, message: StreamMessage) -> None:
        cursor = parse_cursor(message.id)
        if message.event == "gap":
            self._sequence.gap(cursor)
        elif message.data is None:
            self._sequence.begin(cursor)
        else:
            self._sequence.take(cursor)
