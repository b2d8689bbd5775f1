"""BOSH and who means harm: each attack gets the condition that the XEP names, everybody else is
served meanwhile, and nothing of it stays in memory: it is counted.

The hub is a real one that listens, in the tests' own process, so that what it keeps can be seen.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import itertools
import re
import socket
import tracemalloc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from pushhub.app import create_app
from pushhub.bosh.body import HTTPBIND
from pushhub.server.http1.factory import ConnectionFactory
from pushhub.settings import Settings
from pushhub.settings.limits import Limit
from pushhub.store.memory import MemoryStore
from pushhub.xml import XBOSH
from pushhub.xmpp.model import namespaces as ns
from tests.waiting import until
from tests.wire import Client, Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pushhub.app import App
    from pushhub.xmpp.transport.bosh_transport import BoshTransport

BOSH = "/http-bind"
ANONYMOUS = f"<auth xmlns='{ns.SASL}' mechanism='ANONYMOUS'/>"
BIND = f"<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>"
AVAILABLE = "<presence xmlns='jabber:client'/>"

pytestmark = pytest.mark.slow

# What a refused attack may leave allocated: interned names, a parsed head, caches that are full.
KEPT_BYTES = 256 * 1024


class House:
    """A hub that listens on `port`."""

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.port = port

    async def ask(self, raw: bytes, headers: dict[str, str] | None = None) -> Response:
        async with await Client.connect(self.port) as client:
            return await client.ask("POST", BOSH, headers or {}, raw)

    def counts(self) -> dict[str, int]:
        """What is kept for sessions."""
        server = self.app.xmpp
        assert server is not None
        sessions, hub = server.bosh, self.app.service.hub
        return {
            "sessions": len(sessions.transports),
            "requests": len(sessions._held),
            "homes": len(server.users.by_jid),
            "follows": sum(map(len, server.subscribers._subscriptions.values())),
            "tasks": len(server.tasks),
            "holds": hub.parked,
            # A process itself waits for requests of consoles and for revocations.
            "waiting": sum(
                bool(c.holds)
                for c in hub.channels
                if not c.name.startswith(("$console:", "$revoked:"))
            ),
            "deadlines": sum(
                type(entry).__name__ == "BoshTransport" for entry in hub.wheel.entries()
            ),
        }

    def registers(self) -> set[str]:
        """The channels of pushhub's own that the store has."""
        store = self.app.service.hub.store
        assert isinstance(store, MemoryStore)
        return {name for name in store._channels if name.startswith("$xmpp:")}

    async def empty(self) -> None:
        """Wait until everything that sessions had is gone."""
        async with asyncio.timeout(10):
            while any(self.counts().values()):  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def house(**settings: Any) -> AsyncIterator[House]:
    given = {"store": "memory://", "dev": True, "drain_seconds": 0, **settings}
    app = create_app(Settings(**given))
    await app.open()
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    config.load()
    state, factory = ServerState(), ConnectionFactory(app)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1000)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: factory(config, state, {}), sock=listening)
    try:
        yield House(app, listening.getsockname()[1])
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await app.close()


@pytest.fixture
async def hub() -> AsyncIterator[House]:
    async with house() as running:
        yield running


def vanish(carrier: BoshTransport) -> None:
    """Let the inactivity of a session pass, and a second."""
    carrier.session._seen -= carrier.session.negotiated.inactivity + 1
    carrier.expire()


def creation(rid: int = 100, **attributes: str) -> bytes:
    named = {"to": "localhost", "ver": "1.6", "wait": "60", "hold": "1", **attributes}
    text = "".join(f" {name}='{value}'" for name, value in named.items())
    return f"<body xmlns='{HTTPBIND}' rid='{rid}'{text}/>".encode()


class Session:
    """One client's session, its rids counted."""

    def __init__(self, hub: House) -> None:
        self.hub = hub
        self.rids = itertools.count(100)
        self.sid = self.jid = ""

    async def begin(self, **attributes: str) -> Session:
        answer = await self.hub.ask(creation(next(self.rids), **attributes))
        found = re.search(rb" sid='([^']+)'", answer.body)
        assert found, answer
        self.sid = found[1].decode()
        return self

    async def login(self) -> Session:
        await self.begin()
        await self.say(ANONYMOUS)
        await self.say("", 0, **{"xmlns:x": XBOSH, "x:restart": "true"})
        answer = await self.say(BIND)
        found = re.search(rb"<jid>(.+?)</jid>", answer.body)
        assert found, answer
        self.jid = found[1].decode()
        return self

    def body(self, inside: str = "", rid: int = 0, **attributes: str) -> bytes:
        text = "".join(f" {name}='{value}'" for name, value in attributes.items())
        rid = rid or next(self.rids)
        head = f"<body xmlns='{HTTPBIND}' rid='{rid}' sid='{self.sid}'{text}>"
        return f"{head}{inside}</body>".encode()

    async def say(self, inside: str = "", rid: int = 0, **attributes: str) -> Response:
        return await self.hub.ask(self.body(inside, rid, **attributes))

    async def ping(self) -> None:
        """It is served."""
        ping = f"<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='{ns.PING}'/></iq>"
        answer = await self.say(ping)
        assert b"type='result'" in answer.body, answer


def condition(answer: Response) -> str:
    assert answer.status == 200, answer
    found = re.search(rb"type='terminate'(?: condition='([a-z-]+)')?", answer.body)
    assert found, answer
    return (found[1] or b"").decode()


# -- what is in a body ---------------------------------------------------------

BILLION = (
    "<!DOCTYPE body [<!ENTITY a 'lol'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9))
    + f"]><body xmlns='{HTTPBIND}' rid='1' to='&j;'/>"
)

BODIES = {
    "malformed": b"<body xmlns='%b' rid='1'><a></b></body>" % HTTPBIND.encode(),
    "billion laughs": BILLION.encode(),
    "external entity": b"<!DOCTYPE b SYSTEM 'file:///etc/passwd'><b/>",
    "10,000 attributes": b"<body %b/>" % b" ".join(b"a%d='1'" % n for n in range(10_000)),
    "depth 10,000": creation()[:-2] + b">" + b"<a>" * 10_000 + b"</a>" * 10_000 + b"</body>",
    "10,000 namespaces": creation()[:-2]
    + b">"
    + b"".join(b"<a xmlns='urn:%d'/>" % n for n in range(10_000))
    + b"</body>",
    "no UTF-8": b"\xff\xfe<\x00b\x00/\x00>\x00",
    "a long sid": creation()[:-2] + b" sid='%b'/>" % (b"9" * 200_000),
}


@pytest.mark.parametrize("within", [False, True], ids=["to begin with", "in a session"])
@pytest.mark.parametrize("name", BODIES)
async def test_a_harmful_body(hub: House, name: str, within: bool) -> None:
    raw = BODIES[name]
    if within:
        # Who attacks has a session, and somebody else's is not ended by what names no session.
        session = await Session(hub).login()
        raw = raw.replace(b" rid='1'", b" rid='104' sid='%b'" % session.sid.encode(), 1)
    before = hub.registers()
    answer = await hub.ask(raw)
    wanted = "item-not-found" if name == "a long sid" else "bad-request"
    assert condition(answer) == wanted
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    assert hub.registers() == before
    if within:
        await session.say(type="terminate")
    await hub.empty()


@pytest.mark.parametrize("name", BODIES)
async def test_a_harmful_body_leaves_no_memory_behind(hub: House, name: str) -> None:
    raw = BODIES[name]
    for _ in range(3):
        await hub.ask(raw)
    gc.collect()  # What other tests left would be collected, and warned of, meanwhile.
    tracemalloc.start()
    try:
        first, _ = tracemalloc.get_traced_memory()
        for _ in range(20):
            await hub.ask(raw)
        last, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last - first < KEPT_BYTES
    # Both the test's copy of what is sent and the hub's are in it.
    assert most - first < 16 * 1024 * 1024


async def test_a_body_that_trickles_in(hub: House) -> None:
    """What never ends is dropped after its time, which `body_seconds` is; 20 MB that say no length
    are refused as soon as they are too much."""
    async with house(body_seconds=0.5) as impatient:
        session = await Session(impatient).login()
        reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
        writer.write(
            b"POST /http-bind HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n<body"
        )
        # A byte at a time does not help: the time is for the whole body.
        trickle = asyncio.create_task(_trickle(writer))
        line = await asyncio.wait_for(reader.readline(), 10)
        trickle.cancel()
        writer.close()
        # Strophe.js sends a request again after a 503, but not after a 408.
        assert line == b"" or b" 503 " in line, line
        await session.ping()
        await session.say(type="terminate")
        await impatient.empty()
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    writer.write(
        b"POST /http-bind HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"a" * 0x10000 + b"\r\n"
    sent = 0
    try:
        while sent < 20_000_000 and not reader.at_eof():
            writer.write(chunk)
            await writer.drain()
            sent += 0x10000
            await asyncio.sleep(0)
            if reader._buffer:  # type: ignore[attr-defined]
                break
    except ConnectionError:
        pass
    assert sent < 5_000_000, "it was refused long before its end"
    writer.close()
    await hub.empty()


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b" ")
        await asyncio.sleep(0.02)


# -- sessions of others --------------------------------------------------------


@pytest.mark.parametrize("jump", [3, 50, 2**40])
async def test_a_rid_that_jumps_ends_its_session_and_no_other(hub: House, jump: int) -> None:
    one, other = await Session(hub).login(), await Session(hub).login()
    assert condition(await one.say(rid=104 + jump)) == "item-not-found"
    assert condition(await one.say()) == "item-not-found"
    await other.ping()
    assert hub.counts()["sessions"] == 1
    await other.say(type="terminate")
    await hub.empty()


async def test_a_request_that_is_repeated_for_ever(hub: House) -> None:
    session = await Session(hub).login()
    ping = f"<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='{ns.PING}'/></iq>"
    first = await session.say(ping, rid=104)
    answers = [await session.say(ping, rid=104) for _ in range(30)]
    assert first.body == answers[0].body
    assert "policy-violation" in [condition(each) for each in answers if b"terminate" in each.body]
    await hub.empty()


async def test_wrong_keys_end_the_session(hub: House) -> None:
    session = await Session(hub).begin(newkey="ca393b51b682f61f98e7877d61146407f3d0a770")
    for _ in range(2):
        assert condition(await session.say(key="wrong")) == "item-not-found"
    await hub.empty()


async def test_sids_are_guessed(hub: House) -> None:
    """Two that are made at once have nothing in common: 128 bits, each drawn for itself."""
    sessions = [await Session(hub).begin() for _ in range(200)]
    bits = [int.from_bytes(base64.urlsafe_b64decode(s.sid + "=="), "big") for s in sessions]
    assert all(len(base64.urlsafe_b64decode(s.sid + "==")) == 16 for s in sessions)
    for place in range(128):
        ones = sum(number >> place & 1 for number in bits)
        # Below one in 10^9 for each, were they not random.
        assert 55 < ones < 145, place
    sid = sessions[0].sid
    guesses = (sid[:-1], sid + "A", sid.swapcase(), sid[::-1], "A" * 22, "", "*", "../" * 7, "%00")
    for guess in guesses:
        answer = await hub.ask(f"<body xmlns='{HTTPBIND}' rid='101' sid='{guess}'/>".encode())
        # Without a sid it asks for a session, without saying for which domain.
        wanted = "item-not-found" if guess else "improper-addressing"
        if guess or answer.status == 200:
            assert condition(answer) == wanted
    assert hub.counts()["sessions"] == 200
    for session in sessions:
        await session.say(type="terminate")
    await hub.empty()


@pytest.mark.parametrize(
    ("stanza", "wanted"),
    [
        (
            "<message xmlns='jabber:client' from='juliet@localhost' to='a@localhost'/>",
            "invalid-from",
        ),
        ("<presence xmlns='jabber:client' from='localhost'/>", "invalid-from"),
        (BIND.replace("id='b'", "id='b' from='juliet@localhost/x'"), "invalid-from"),
    ],
)
async def test_a_spoofed_sender(hub: House, stanza: str, wanted: str) -> None:
    session = await Session(hub).login()
    answer = await session.say(stanza)
    assert condition(answer) == "remote-stream-error"
    assert wanted.encode() in answer.body
    await hub.empty()


@pytest.mark.parametrize("stanza", [AVAILABLE, BIND, "<message xmlns='jabber:client' to='a@b'/>"])
async def test_stanzas_before_the_login(hub: House, stanza: str) -> None:
    before = hub.registers()
    session = await Session(hub).begin()
    answer = await session.say(stanza)
    assert condition(answer) == "remote-stream-error"
    assert b"not-authorized" in answer.body
    assert hub.registers() == before
    await hub.empty()


@pytest.mark.parametrize(
    "to", ["elsewhere.example", "localhost.example", "pubsub.localhost", "a b"]
)
async def test_unknown_hosts(hub: House, to: str) -> None:
    for _ in range(20):
        assert condition(await hub.ask(creation(to=to))) == "host-unknown"
    await hub.empty()


@pytest.mark.parametrize(
    "content", ["text/html", "image/svg+xml", "text/xml\u2028x: y", "x" * 5000]
)
async def test_a_content_that_would_do_harm(hub: House, content: str) -> None:
    answer = await hub.ask(creation(content=content))
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    if b" sid='" not in answer.body:
        assert condition(answer) == "bad-request"
        await hub.empty()


# -- floods --------------------------------------------------------------------


async def flood(hub: House, count: int, headers: dict[str, str] | None = None) -> int:
    """Creation requests as fast as they can be sent, on a few connections; how many are let in."""
    raw = creation()

    async def one(share: int) -> int:
        admitted = 0
        async with await Client.connect(hub.port) as client:
            for _ in range(share):
                answer = await client.ask("POST", BOSH, headers or {}, raw)
                if b" sid='" in answer.body:
                    admitted += 1
                else:
                    assert condition(answer) == "policy-violation"
        return admitted

    return sum(await asyncio.gather(*(one(count // 10) for _ in range(10))))


async def test_ten_thousand_sessions_begin_at_once() -> None:
    """One address is limited; others, and sessions that there are, are served meanwhile."""
    async with house(bosh_rate=0.1, trusted_proxies=["127.0.0.0/8"]) as hub:
        session = await Session(hub).login()
        before = hub.registers()
        attack = asyncio.create_task(flood(hub, 10_000, {"x-forwarded-for": "192.0.2.1"}))
        loop, slowest = asyncio.get_running_loop(), 0.0
        others = 0
        while not attack.done():
            begun = loop.time()
            await session.ping()
            headers = {"x-forwarded-for": f"198.51.100.{others % 250}"}
            answer = await hub.ask(creation(), headers)
            if others < 250:
                assert b" sid='" in answer.body, "another client of the same proxy"
                others += 1
            slowest = max(slowest, loop.time() - begun)
        # 0.1 a second, and ten times that at once, in as long as the attack took.
        assert 1 <= await attack <= 5
        assert others >= 3
        assert slowest < 10, "they are served in between, and not after it"
        assert hub.registers() == before
        assert hub.app.xmpp is not None
        assert len(hub.app.xmpp.bosh.limit) <= others + 2


async def test_who_has_a_network_is_one_address() -> None:
    """An IPv6 client has 2^64 addresses, and draws one for each connection."""
    async with house(bosh_rate=0.1, trusted_proxies=["127.0.0.0/8"]) as hub:

        async def begun(address: str) -> bool:
            return b" sid='" in (await hub.ask(creation(), {"x-forwarded-for": address})).body

        admitted = [await begun(f"2001:db8:1:2::{number:x}") for number in range(1, 21)]
        assert 1 <= sum(admitted) <= 2
        assert await begun("2001:db8:1:3::1"), "somebody else"
        assert await begun("::ffff:192.0.2.1")
        assert await begun("::ffff:192.0.2.2")
        assert hub.app.xmpp is not None
        assert len(hub.app.xmpp.bosh.limit) == 4


async def test_an_address_has_a_largest_number_of_sessions() -> None:
    limits = {"address-sessions": Limit(most=3)}
    async with house(limits=limits, trusted_proxies=["127.0.0.0/8"]) as hub:
        mine = {"x-forwarded-for": "192.0.2.1"}
        for _ in range(3):
            assert b" sid='" in (await hub.ask(creation(), mine)).body
        assert condition(await hub.ask(creation(), mine)) == "policy-violation"
        assert b" sid='" in (await hub.ask(creation(), {"x-forwarded-for": "192.0.2.2"})).body
        assert hub.app.xmpp is not None
        sessions = hub.app.xmpp.bosh
        vanish(next(iter(sessions.transports.values())))
        await until(lambda: len(sessions) == 3)
        assert b" sid='" in (await hub.ask(creation(), mine)).body, "an ended one counts no more"
        for transport in list(sessions.transports.values()):
            vanish(transport)
        await hub.empty()
        counts = hub.app.callers.limits.counts["address-sessions"]
        assert len(counts) == 0


async def test_who_is_no_proxy_cannot_choose_the_address() -> None:
    async with house(bosh_rate=0.1, trusted_proxies=[]) as hub:
        said = [{"x-forwarded-for": f"192.0.2.{number % 2}"} for number in range(20)]
        answers = [await hub.ask(creation(), headers) for headers in said]
        assert all(b" sid='" in answer.body for answer in answers), "loopback does not count"
        assert hub.app.xmpp is not None
        bosh = hub.app.xmpp.bosh
        assert len(bosh.limit) == 0
        assert {transport.client for transport in bosh.transports.values()} == {"127.0.0.1"}


async def test_a_proxy_that_names_no_clients_does_not_use_up_the_rate() -> None:
    """All users behind it have its address."""
    for proxies in ([], ["127.0.0.0/8"]):
        async with house(bosh_rate=0.1, trusted_proxies=proxies) as hub:
            answers = [await hub.ask(creation()) for _ in range(20)]
            assert all(b" sid='" in answer.body for answer in answers)


async def test_sessions_that_nobody_keeps_up_are_forgotten() -> None:
    """10,000 sessions and nobody who polls: after the inactivity nothing of them is left."""
    async with house(bosh_rate=100_000) as hub:
        assert await flood(hub, 2000) == 2000
        assert hub.counts()["sessions"] == 2000
        assert hub.app.xmpp is not None
        for carrier in list(hub.app.xmpp.bosh.transports.values()):
            vanish(carrier)
        await hub.empty()


async def test_a_process_is_full() -> None:
    async with house(bosh_sessions=5) as hub:
        sessions = [await Session(hub).begin() for _ in range(5)]
        assert condition(await hub.ask(creation())) == "policy-violation"
        await sessions[0].say(type="terminate")
        await Session(hub).begin()


async def test_preflights_leave_nothing(hub: House) -> None:
    asked = {"access-control-request-method": "POST"}
    async with await Client.connect(hub.port) as client:
        for number in range(200):
            origin = {"origin": f"http://{number}.localhost"}
            answer = await client.ask("OPTIONS", BOSH, asked | origin)
            assert answer.status == 204
    await hub.empty()


async def test_sessions_with_everything_leave_nothing(hub: House) -> None:
    """Subscribed, available, held, in the middle of a stanza: however they end."""
    before = hub.registers()
    subscribe = "<subscribe node='news' jid='{}'/>"
    for end in ("terminate", "vanish", "rid"):
        session = await Session(hub).login()
        pubsub = f"<pubsub xmlns='{ns.PUBSUB}'>{subscribe.format(session.jid)}</pubsub>"
        iq = f"<iq xmlns='jabber:client' type='set' id='s' to='pubsub.localhost'>{pubsub}</iq>"
        await session.say(AVAILABLE + iq)
        assert hub.counts()["follows"] == 1
        if end == "terminate":
            await session.say(type="terminate")
        elif end == "rid":
            await session.say(rid=10_000)
        else:
            async with await Client.connect(hub.port) as client:
                client.send("POST", BOSH, {}, session.body())
                await asyncio.sleep(0.05)
            assert hub.app.xmpp is not None
            (carrier,) = hub.app.xmpp.bosh.transports.values()
            async with asyncio.timeout(5):
                while hub.counts()["requests"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            vanish(carrier)
        await hub.empty()
    assert hub.registers() == before
