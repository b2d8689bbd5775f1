"""Sends raw bytes over TCP, and says what came back, strictly."""

import asyncio
import socket
from dataclasses import dataclass, field

import h11

from tests.server.http1.table import get
from tests.wire import opened

QUIET_SECONDS = 0.3
PATIENCE_SECONDS = 10.0

# Another request, to see whether the connection serves it. Its answer cannot be another's.
PROBE = get(b"/v1/channels/%00probe", b"Connection: close")


@dataclass
class Seen:
    """What came back on a connection."""

    statuses: list[int] = field(default_factory=list)
    answers: list[tuple[h11.Response | h11.InformationalResponse, bytes]] = field(
        default_factory=list
    )
    ended: bool = False
    rest: bytes = b""


def parse(data: bytes, methods: tuple[str, ...] = (), *, ended: bool = False) -> Seen:
    """Read responses, one after the other, as h11 understands them.

    Raises:
        h11.RemoteProtocolError: this is not HTTP.
    """
    seen = Seen(ended=ended)
    while data:
        index = len([status for status in seen.statuses if status >= 200])
        method = methods[index] if index < len(methods) else "GET"
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(data)
        if ended:
            connection.receive_data(b"")
        head: h11.Response | None = None
        body = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                seen.rest = data
                return seen
            if isinstance(event, h11.InformationalResponse):
                seen.statuses.append(event.status_code)
                seen.answers.append((event, b""))
                # Do not read it again if the answer proper is not all there.
                data = data.partition(b"\r\n\r\n")[2]
                if not data:
                    return seen
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                seen.statuses.append(head.status_code)
                seen.answers.append((head, body))
                data = connection.trailing_data[0]
                break
            else:
                raise AssertionError(f"the responses end with {event!r}: {data[:200]!r}")
    return seen


class Talk:
    """One TCP connection, and everything that came back on it so far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.data = b""
        self.ended = False
        opened(writer)

    @classmethod
    async def open(cls, port: int) -> "Talk":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(reader, writer)

    async def send(self, *pieces: bytes) -> None:
        """Write the pieces, each as a segment of its own."""
        for piece in pieces:
            self.writer.write(piece)
            try:
                await asyncio.wait_for(self.writer.drain(), PATIENCE_SECONDS)
            except ConnectionError:
                return  # It has closed; what it said before that is still to be read.
            if len(pieces) > 1:
                await asyncio.sleep(0)

    async def more(self, seconds: float) -> bool:
        """Wait for more bytes, or the end; False if neither came."""
        if self.ended:
            return False
        try:
            async with asyncio.timeout(seconds):
                data = await self.reader.read(1 << 20)
        except TimeoutError:
            return False
        except ConnectionError:
            data = b""
        self.data += data
        self.ended = not data
        return True

    async def answers(self, count: int, methods: tuple[str, ...] = ()) -> Seen:
        """Read until `count` answers are there, or the end, or nothing more comes."""
        while True:
            seen = parse(self.data, methods, ended=self.ended)
            if len(seen.statuses) >= count or self.ended:
                return seen
            if not await self.more(QUIET_SECONDS if count == 0 else PATIENCE_SECONDS):
                return seen

    async def end(self) -> None:
        """Read on to the end."""
        while await self.more(PATIENCE_SECONDS):
            pass

    def close(self) -> None:
        self.writer.close()

    async def __aenter__(self) -> "Talk":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


async def outcome(
    port: int, pieces: list[bytes], expected: str, methods: tuple[str, ...] = ()
) -> tuple[str, Seen]:
    """Send `pieces`, and describe what came back in the words of the table.

    `expected` only says how long to wait for what: the description is of what was seen.
    """
    words = expected.split()
    count = sum(word.isdigit() for word in words)
    async with await Talk.open(port) as talk:
        await talk.send(*pieces)
        seen = await talk.answers(count, methods)
        if "close" in words:
            await talk.end()
        elif "waits" in words or len(seen.statuses) < count:
            while await talk.more(QUIET_SECONDS):
                pass
        seen = parse(talk.data, methods, ended=talk.ended)
        said = [str(status) for status in seen.statuses]
        if talk.ended:
            return " ".join([*said, "close"]), seen
        if seen.rest:
            return " ".join([*said, "half an answer"]), seen
        if "waits" in words or not said:
            return " ".join([*said, "waits"]), seen
        before = len(talk.data)
        await talk.send(PROBE)
        await talk.end()
        probed = parse(talk.data[before:], ended=talk.ended)
        if probed.statuses != [400] or b"bad-channel" not in probed.answers[0][1]:
            return " ".join([*said, f"then to a probe {probed.statuses}"]), seen
        return " ".join(said), seen
