"""What a message costs the XMPP server itself, in microseconds of CPU: from the parsed stanza to
the bytes for the other session, without HTTP and BOSH. Run as `python benchmarks/stanzas.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING

from pushhub.hub.hub import Hub
from pushhub.settings import Settings
from pushhub.store.memory import MemoryStore
from pushhub.xml import Element, parse
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.sasl import SaslIdentity
from pushhub.xmpp.server import XmppServer
from pushhub.xmpp.transport.stream import StreamState, XmppStream

if TYPE_CHECKING:
    from pushhub.xmpp.routing.session import XmppSession

# A server's loop has other things to do, too.
TURN = 50


class Wire:
    """A transport that counts."""

    client = ""
    secure = True

    def __init__(self) -> None:
        self.sent = 0

    def send(self, payload: bytes) -> None:
        self.sent += 1

    def pending(self) -> list[Element]:
        return []

    def reclaim(self) -> tuple[list[Element], list[Element]]:
        return [], []

    def end(self, error: Element | None) -> None: ...


# A benchmark sends faster than any client.
SETTINGS = Settings(dev=True, xmpp_stanza_rate=1_000_000, xmpp_pair_rate=1_000_000)


async def session(
    server: XmppServer, local: str, *, anonymous: bool
) -> tuple[Wire, XmppStream, XmppSession]:
    """An available session with its stream, without the work of a login."""
    wire = Wire()
    stream = server.stream("localhost", wire)
    assert stream is not None
    identity = SaslIdentity(local, anonymous=anonymous)
    stream.session = await server.services.binder.bind(stream, identity, "localhost", "")
    stream.state = StreamState.BOUND
    stream.receive(parse(f"<presence xmlns='{ns.CLIENT}'/>".encode()))
    await server.settle()
    wire.sent = 0
    return wire, stream, stream.session


async def measure(count: int, *, anonymous: bool) -> float:
    """Microseconds of CPU for each of `count` messages."""
    hub = Hub(MemoryStore())
    await hub.open()
    server = XmppServer(hub, SETTINGS)
    await server.open()
    if not anonymous:
        for local in ("romeo", "juliet"):
            await server.accounts.add(local, "localhost", "password")
    _, romeo, _ = await session(server, "romeo", anonymous=anonymous)
    wire, _, juliet = await session(server, "juliet", anonymous=anonymous)
    text = (
        f"<message xmlns='{ns.CLIENT}' to='{juliet.jid.text}' type='chat' id='m1'>"
        "<body>Wherefore art thou Romeo?</body>"
        f"<active xmlns='{ns.CHAT_STATES}'/></message>"
    )
    stanzas = [parse(text.encode()) for _ in range(count)]
    begun = time.process_time()
    for number, stanza in enumerate(stanzas):
        romeo.receive(stanza)
        if number % TURN == 0:
            await asyncio.sleep(0)
    spent = time.process_time() - begun
    assert wire.sent == count, f"{wire.sent} of {count} arrived"
    await server.close()
    await hub.close()
    return spent / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="messages of each kind")
    count: int = parser.parse_args().count
    for what, anonymous in (("between strangers", True), ("between accounts", False)):
        print(f"{what}: {asyncio.run(measure(count, anonymous=anonymous)):.1f} µs")


if __name__ == "__main__":
    main()
