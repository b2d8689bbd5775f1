"""A server in this process, on a real socket, for many inputs; and the checks after each input."""

import asyncio
import itertools
import logging
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import structlog
import uvicorn
import uvloop
from uvicorn.server import ServerState

from pushhub.api.endpoints import Decision, Match
from pushhub.app import create_app
from pushhub.http.request import Request
from pushhub.server.http1.factory import ConnectionFactory
from pushhub.server.http1.head import Head
from pushhub.settings import Settings
from tests.server.http1.exchange import parse
from tests.server.http1.table import CASES

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 5.0


@dataclass
class Taken:
    """A request that the server has parsed; `body` is None if it never was complete."""

    method: str
    target: str
    body: bytes | None = None


class NoCache:
    """A cache of polls that is always empty."""

    def headers(self, *_: object) -> None: ...
    def add(self, *_: object) -> None: ...


class InProcessServer:
    """A server on a loop of its own. Each input gets a connection of its own, up to the end of the
    responses.
    """

    def __init__(self, *, caches: bool = True) -> None:
        self.loop = uvloop.new_event_loop()
        self.complaints: list[object] = []
        self.taken: list[Taken] = []
        self.asked = 0
        self.caches = caches
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        logging.getLogger("uvicorn.error").addFilter(self._overheard)
        self.loop.run_until_complete(self._start(caches))

    def _overheard(self, record: logging.LogRecord) -> bool:
        # uvicorn may detect a malformed chunk earlier; it logs that, and the connection refuses it.
        if record.getMessage() != "Invalid HTTP request received.":
            self.complaints.append(record.getMessage())
        return False

    async def _start(self, caches: bool) -> None:
        self.app = create_app(Settings(store="memory://", dev=True))
        await self.app.open()
        config = uvicorn.Config(self.app, log_config=None, lifespan="off")
        config.load()
        state = ServerState()
        factory = ConnectionFactory(self.app)
        self.context = factory.context
        self._watch(caches)
        listening = socket.create_server(("127.0.0.1", 0))
        self.address = listening.getsockname()
        self.connections = state.connections
        self.server = await self.loop.create_server(
            lambda: factory(config, state, {}), sock=listening
        )

    def _watch(self, caches: bool) -> None:
        """Record every parsed head, and every body that reaches an endpoint."""
        context = self.context
        parse_head, decide = context.head, context.endpoints.decide

        def parsed(head: bytes) -> Head:
            found = parse_head(head)
            self.taken.append(Taken(found.method, f"{found.path}?{found.query}"))
            return found

        def decided(request: Request, match: Match) -> Decision:
            if self.taken:
                self.taken[-1].body = request.body
            return decide(request, match)

        context.head = parsed  # type: ignore[method-assign, assignment]
        context.endpoints.decide = decided  # type: ignore[method-assign]
        if not caches:
            context.poll_cache = NoCache()  # type: ignore[assignment]

    def close(self) -> None:
        async def close() -> None:
            self.server.close()
            for connection in list(self.connections):
                connection.transport.abort()
            await self.app.close()
            await asyncio.sleep(0.1)

        self.loop.run_until_complete(close())
        self.loop.close()
        logging.getLogger("uvicorn.error").removeFilter(self._overheard)

    def feed(self, pieces: Sequence[bytes], *, ends: bool = True) -> bytes:
        """Send the pieces, say that there are no more if it `ends`, and return what comes back."""
        self.taken.clear()
        return self.loop.run_until_complete(asyncio.wait_for(self._feed(pieces, ends), SECONDS))

    async def _feed(self, pieces: Sequence[bytes], ends: bool) -> bytes:
        loop = self.loop
        answer = b""
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, self.address)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reading = loop.create_task(self._read(client))
            try:
                for piece in pieces:
                    await loop.sock_sendall(client, piece)
                    if len(pieces) > 1:
                        await asyncio.sleep(0)
                if ends:
                    client.shutdown(socket.SHUT_WR)
            except (ConnectionError, OSError):
                pass  # The server has closed before the end of a malformed input.
            answer = await reading
        return answer

    async def _read(self, client: socket.socket) -> bytes:
        answer = b""
        while True:
            try:
                data = await self.loop.sock_recv(client, 1 << 20)
            except ConnectionError:
                return answer
            if not data:
                return answer
            answer += data

    def check(self, pieces: Sequence[bytes]) -> None:
        """Feed an input, and check the responses, the log and the holds."""
        raw = b"".join(pieces)
        with structlog.testing.capture_logs() as logs:
            answer = self.feed(pieces)
        assert not self.complaints, self.complaints
        errors = [log for log in logs if log["log_level"] in ("error", "critical")]
        assert not errors, errors
        if b"HEAD" not in raw:  # Its responses have a length but no body.
            self._read_all(answer, b"event-stream" in raw)
        # A cached request is not parsed, so there is nothing to compare with h11.
        taken = [] if self.caches else self.taken
        for one, (method, target, body) in zip(taken, h11_requests(raw), strict=False):
            if target.startswith("/"):
                assert one.method == method
                assert one.target == (target if "?" in target else f"{target}?")
                assert one.body is None or body is None or one.body == body
        self.loop.run_until_complete(self._let_go())

    def _read_all(self, answer: bytes, streams: bool) -> None:
        try:
            seen = parse(answer, ended=True)
        except h11.RemoteProtocolError as error:
            # A stream ends abruptly after the FIN of its client.
            if not streams or "incomplete chunked read" not in str(error):
                raise
        else:
            assert not seen.rest, f"half an answer: {seen.rest[:200]!r}"

    async def _let_go(self) -> None:
        for _ in range(200):
            if not self.context.hub.parked:
                return
            await asyncio.sleep(0.005)
        raise AssertionError(f"{self.context.hub.parked} requests are held without a client")


def h11_requests(raw: bytes) -> list[tuple[str, str, bytes | None]]:
    """What h11 takes out of the bytes, up to what it refuses."""
    found: list[tuple[str, str, bytes | None]] = []
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    # It knows no empty lines between requests (RFC 9112 §2.2).
    connection.receive_data(raw.lstrip(b"\r\n"))
    try:
        while True:
            event: Any = connection.next_event()
            if isinstance(event, h11.Request):
                body = b""
                found.append((event.method.decode(), event.target.decode("latin-1"), None))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                method, target, _ = found[-1]
                found[-1] = (method, target, body)
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                rest = connection.trailing_data[0]
                if connection.their_state is h11.MUST_CLOSE:
                    return found
                connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
                connection.receive_data(rest.lstrip(b"\r\n"))
            else:
                return found
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return found


def seeds() -> list[bytes]:
    """The requests of the table that are small, and whatever once found a mistake."""
    kept = [path.read_bytes() for path in sorted(CORPUS.iterdir())]
    return kept + [case.raw for case in CASES if len(case.raw) < 3000]


# What means something to somebody who parses HTTP.
WORDS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"\r\n\r\n", b"0\r\n\r\n"),
    *(b"GET", b"POST", b"OPTIONS", b"DELETE", b"HTTP/1.1", b"HTTP/1.0", b"*", b"http://x"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n"),
    *(b"Connection: upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n"),
    *(b"Prefer: wait=5\r\n", b"Accept: text/event-stream\r\n", b"Proxy-Connection: close\r\n"),
    *(
        b"Host: localhost\r\n",
        b"chunked",
        b"identity",
        b"5\r\nhello\r\n",
        b"fffffffffffffffff",
        b"-1",
    ),
)


def mutate(raw: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """An input like `raw`, a little different."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5))):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(8):
            case 0:
                raw = raw[:at] + chance.choice(WORDS) + raw[at:]
            case 1:
                raw = raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
            case 2:
                raw = raw[:at] + raw[at + chance.randrange(1, 9) :]
            case 3:
                raw = raw + chance.choice(others)
            case 4:
                lines = raw.split(b"\r\n")
                lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
                raw = b"\r\n".join(lines)
            case 5:
                raw = raw[:at] + chance.choice(others)[-at:]
            case 6:
                end = at + chance.randrange(1, 30)
                raw = raw[:end] + raw[at:end] + raw[end:]
            case _:
                word = chance.choice(WORDS)
                raw = raw.replace(chance.choice(WORDS), word, 1)
    return raw[:20_000]


def split(raw: bytes, chance: random.Random) -> list[bytes]:
    """Cut at random places, as a network may."""
    if chance.random() < 0.4:
        return [raw]
    cuts = sorted({0, len(raw), *(chance.randrange(len(raw) + 1) for _ in range(4))})
    return [raw[a:b] for a, b in itertools.pairwise(cuts)]
