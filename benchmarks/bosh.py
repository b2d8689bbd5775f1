"""What a BOSH request costs without HTTP and without XMPP, and what a session takes.

Run as `python -m benchmarks.bosh`. The figures are of one thread of this machine.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

from pushhub.bosh.body import HTTPBIND, parse
from pushhub.bosh.session import Session
from pushhub.bosh.terms import Policy
from pushhub.protocol.xml import STREAMS, Element

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT = "jabber:client"
TEXT = "Hello there, this is a message of about sixty characters, no more"

CREATION = (
    f"<body content='text/xml; charset=utf-8' hold='1' rid='1000' to='localhost' ver='1.6'"
    f" wait='60' xml:lang='en' xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0' xmlns='{HTTPBIND}'/>"
).encode()
BODY = (
    f"<body rid='%d' sid='uKQ6MLmcFBWP3eIXl8cX3g' xmlns='{HTTPBIND}'><message xmlns='{CLIENT}'"
    f" to='juliet@localhost/garden' type='chat' id='m1'><body>{TEXT}</body></message></body>"
)
STANZA = Element(
    "message",
    CLIENT,
    {"from": "romeo@localhost/street", "to": "juliet@localhost/garden", "type": "chat", "id": "m1"},
    (Element("body", CLIENT, {}, (TEXT,)),),
)


def opened() -> Session:
    """A session whose creation is answered."""
    session, _ = Session.create("sid", parse(CREATION), CREATION, Policy(), 0.0, "creation")
    session.put(Element("features", STREAMS))
    session.flush(now=0.0)
    return session


class Chat:
    """A session that gets a message with each request, and has sent one."""

    def __init__(self) -> None:
        self.session = opened()
        self.rid = 1000
        self.now = 0.0

    def exchange(self) -> None:
        """A request with a message comes, and is answered with a message."""
        self.rid += 1
        self.now += 0.001
        raw = (BODY % self.rid).encode()
        body = parse(raw)
        self.session.request(body.rid, body, raw, self.now, self)
        self.session.put(STANZA)
        self.session.flush(self.now)
        _ = self.session.deadline


def microseconds(work: Callable[[], object], seconds: float) -> float:
    """The best of five rounds."""
    count = 1000
    best = float("inf")
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.process_time()
        for _ in range(count):
            work()
        best = min(best, (time.process_time() - begun) / count)
    return best * 1e6


def session_bytes(count: int = 2000) -> float:
    """The memory of a session that holds a request and has answered two."""

    def busy() -> Session:
        chat = Chat()
        chat.exchange()
        chat.exchange()
        raw = f"<body rid='1003' sid='sid' xmlns='{HTTPBIND}'/>".encode()
        chat.session.request(1003, parse(raw), raw, 1.0, None)
        return chat.session

    gc.collect()
    tracemalloc.start()
    sessions = [busy() for _ in range(count)]
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return used / len(sessions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    seconds = parser.parse_args().seconds
    raw = (BODY % 1).encode()
    element = parse(raw).children[0]
    found = {
        "parse a body with a message, us": microseconds(lambda: parse(raw), seconds),
        "write a message, us": microseconds(lambda: element.xml(HTTPBIND).encode(), seconds),
        "a request with a message, answered with one, us": microseconds(Chat().exchange, seconds),
        "create a session, us": microseconds(opened, seconds),
        "an idle session, bytes": session_bytes(),
    }
    json.dump({name: round(value, 1) for name, value in found.items()}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
