"""The load of the BOSH comparison: anonymous sessions in a ring, each of which passes what it hears
on to the next.

A client is a raw protocol with one kept connection and one request on it, which is held until a
message comes; the next request carries that message on. So a message costs the server one request
and one answer, whichever server it is. Every message carries its number and its hop, so what is
lost, comes twice or overtakes is counted.
"""

from __future__ import annotations

import asyncio
import random
import re
import statistics
import time
from dataclasses import dataclass, field

HTTPBIND = "http://jabber.org/protocol/httpbind"
WAIT = 50
# Sessions that log in at a time: few enough that no server's queue of connections runs over.
AT_A_TIME = 20
# As long as what people write.
TEXT = " and this is what somebody wrote, in about sixty letters or more"
MESSAGE = re.compile(rb"<body[^>]*>(\d+)\.(\d+)\.(\d+) and")

SASL = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>"
BIND = (
    "<iq xmlns='jabber:client' type='set' id='b'>"
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
)
PRESENCE = "<presence xmlns='jabber:client'/>"


class RingError(Exception):
    """A server did not do its part; the message says what."""


class Client(asyncio.Protocol):
    """One session on one connection."""

    def __init__(self, ring: Ring, number: int) -> None:
        self.ring = ring
        self.number = number
        self.sid = ""
        self.jid = ""
        self.rid = random.randrange(1 << 30)
        self.transport: asyncio.Transport | None = None
        self.buffer = b""
        self.waiting: asyncio.Future[bytes] | None = None
        self.port = 0
        self.closing = False
        self.last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop has its own

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.buffer = b""
        if not self.closing:
            # As a client does: the same request again, on another connection.
            self.ring.reconnects += 1
            self.ring.spawn(self.again())

    async def again(self) -> None:
        await self.connect()
        if self.last and self.transport is not None:
            self.transport.write(self.last)

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self.ring.port)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            if at < 0:
                raise RingError(f"An answer has no length: {head[:200]!r}")
            stop = head.find(b"\r\n", at)
            length = int(head[at + 15 : stop if stop > 0 else None])
            total = end + 4 + length
            if len(self.buffer) < total:
                return
            if not head.startswith(b"http/1.1 200"):
                self.ring.errors.append(head[:40].decode())
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.last = b""
            self.answered(body)

    def answered(self, body: bytes) -> None:
        if self.waiting is not None:
            waiting, self.waiting = self.waiting, None
            waiting.set_result(body)
        elif b"terminate" in body:
            self.ring.errors.append(body[:200].decode())
        else:
            self.ring.heard(self, body)

    def send(self, inside: str = "", attributes: str = "") -> None:
        self.rid += 1
        sid = f" sid='{self.sid}'" if self.sid else ""
        body = f"<body xmlns='{HTTPBIND}' rid='{self.rid}'{sid}{attributes}>{inside}</body>"
        raw = body.encode()
        self.last = (
            b"POST /http-bind HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: text/xml; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % len(raw)
        ) + raw
        if self.transport is not None:
            self.transport.write(self.last)

    async def ask(self, inside: str = "", attributes: str = "") -> bytes:
        """Send, and return the answer, which comes at once."""
        self.waiting = asyncio.get_running_loop().create_future()
        self.send(inside, attributes)
        return await asyncio.wait_for(self.waiting, self.ring.patience)

    async def login(self) -> None:
        """Creation, ANONYMOUS, restart, bind."""
        await self.connect()
        answer = await self.ask(
            "",
            f" to='localhost' ver='1.6' wait='{WAIT}' hold='1' xml:lang='en'"
            " xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'",
        )
        self.sid = _found(rb" sid='([^']+)'", answer)
        _found(rb"(ANONYMOUS)", answer)
        _found(rb"(<success)", await self.ask(SASL))
        restart = " to='localhost' xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'"
        _found(rb"(<bind)", await self.ask("", restart))
        self.jid = _found(rb"<jid>([^<]+)</jid>", await self.ask(BIND))

    def leave(self) -> None:
        """Hang up."""
        self.closing = True
        if self.transport is not None:
            self.transport.close()


@dataclass
class Ring:
    """All clients of one server.

    Args:
        patience: for an answer that is due at once, in seconds.
    """

    port: int
    count: int
    patience: float = 30.0
    clients: list[Client] = field(default_factory=list)
    outsider: Client | None = None
    """Who begins to pass messages on: those of the ring have a request that is held."""
    errors: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    twice: int = 0
    heard_messages: int = 0
    reconnects: int = 0
    most: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def spawn(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def gather(self) -> None:
        """Everybody logs in."""
        room = asyncio.Semaphore(AT_A_TIME)

        async def one(number: int) -> Client:
            client = Client(self, number)
            async with room:
                await client.login()
            return client

        self.clients = list(await asyncio.gather(*map(one, range(self.count))))
        self.outsider = await one(-1)

    def wait(self) -> None:
        """Everybody has one request at the server, which is held."""
        for client in self.clients:
            client.send(PRESENCE)

    async def turn(self, tokens: int, messages: int, seconds: float) -> None:
        """Pass `tokens` messages on and on, until `messages` have been heard.

        Raises:
            RingError: they stopped before.
        """
        self.seen = [0] * tokens
        self.delays.clear()
        self.heard_messages, self.most = 0, messages
        self.finished.clear()
        assert self.outsider is not None
        step = max(1, len(self.clients) // tokens)
        places = [token * step % len(self.clients) for token in range(tokens)]
        said = [self.message(self.clients[place], token, 0) for token, place in enumerate(places)]
        self.outsider.send("".join(said))
        try:
            await asyncio.wait_for(self.finished.wait(), seconds)
        except TimeoutError:
            raise RingError(
                f"{self.heard_messages} of {messages} messages came; {self.errors[:3]}"
            ) from None

    def message(self, client: Client, token: int, hop: int) -> str:
        to = self.clients[(client.number + 1) % len(self.clients)].jid
        body = f"{token}.{hop}.{time.monotonic_ns()}{TEXT}"
        return (
            f"<message xmlns='jabber:client' type='chat' id='m{hop}' to='{to}'>"
            f"<body>{body}</body></message>"
        )

    def heard(self, client: Client, body: bytes) -> None:
        """Messages, which go on; or nothing, at the end of a wait."""
        now = time.monotonic_ns()
        onward: list[str] = []
        for token_text, hop_text, sent in MESSAGE.findall(body):
            token, hop = int(token_text), int(hop_text)
            if hop != self.seen[token]:
                self.twice += 1
                continue
            self.seen[token] = hop + 1
            self.heard_messages += 1
            self.delays.append((now - int(sent)) / 1e6)
            if self.heard_messages < self.most:
                onward.append(self.message(client, token, hop + 1))
        client.send("".join(onward))
        if self.heard_messages >= self.most:
            self.finished.set()

    def leave(self) -> None:
        """Everybody hangs up."""
        for client in (*self.clients, self.outsider):
            if client is not None:
                client.leave()

    def percentile(self, share: float) -> float:
        """Of the delays, in ms."""
        if len(self.delays) < 2:
            return 0.0
        return statistics.quantiles(self.delays, n=100)[int(share) - 1]


def _found(pattern: bytes, answer: bytes) -> str:
    found = re.search(pattern, answer)
    if found is None:
        raise RingError(f"Not the answer that was expected: {answer[:300]!r}")
    return found[1].decode()
