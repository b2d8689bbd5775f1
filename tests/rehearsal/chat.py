"""People who chat over BOSH, in a ring: each writes to the next one.

The history has a channel for each pair of sessions, whose events are numbered. A session that ends
is a gap: its client knows that messages may be lost.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING

from tests.rehearsal.diary import CHAT
from tests.rehearsal.line import Line

if TYPE_CHECKING:
    from tests.deploy.proxies import RunningProxy
    from tests.rehearsal.diary import Diary
    from tests.wire import Response

HTTPBIND = "http://jabber.org/protocol/httpbind"
STREAM = "xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'"
AUTH = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>"
BIND = (
    "<iq xmlns='jabber:client' type='set' id='b'>"
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
)
MESSAGE = re.compile(rb"<message(?![^>]*type=['\"]error)[^>]*>.*?<body>(\S+) (\d+)</body>", re.S)
# Without it a session receives no messages that were stored (RFC 6121 §4.2).
PRESENCE = "<presence xmlns='jabber:client'/>"
# A message that comes back: its writer knows that it did not arrive.
BOUNCE = re.compile(rb"<message(?=[^>]*type=['\"]error)[^>]*>")
ID, FROM = re.compile(rb" id=['\"](\d+)"), re.compile(rb" from=['\"]([^'\"]+)")
JID = re.compile(rb"<jid>([^<]+)</jid>")
SID = re.compile(rb" sid=['\"]([^'\"]+)")
WAIT = 5


class Over(Exception):
    """The session has ended."""


class Chatter:
    """One person: one session after another."""

    def __init__(self, proxy: RunningProxy, diary: Diary, name: str, pause: float) -> None:
        self.name = name
        self.next: Chatter = self
        self.jid = self.sid = ""
        self._book = diary.books[CHAT]
        self._line = Line(proxy, diary, name, "BOSH")
        self._pause = pause
        self._rid = 0
        self._at: dict[str, int] = {}
        self._sent: dict[str, int] = {}
        self._wrote_to: dict[str, str] = {}
        self._due = 0.0
        self.writes = True
        self.ended = 0

    async def begin(self) -> None:
        """Log in."""
        while not self.jid:
            try:
                await self._login()
            except OSError:
                await asyncio.sleep(random.uniform(0.2, 0.6))
            except Over:
                self._end()

    async def run(self) -> None:
        """Chat for ever."""
        while True:
            try:
                await self._turn()
            except Over:
                self.ended += 1
                self._end()
                await self.begin()

    async def _turn(self) -> None:
        now, other = self._book.now(), self.next
        channel = id = ""
        inside, number = "", 0
        if self.writes and now >= self._due and other.jid:
            self._due = now + self._pause * random.uniform(0.5, 1.5)
            channel = f"{self.sid}>{other.sid}"
            number = self._sent[channel] = self._sent.get(channel, 0) + 1
            id = f"{channel}-{number}"
            if number == 1:
                other.expect(channel)
            self._wrote_to[other.jid] = channel
            self._book.invoke(channel, id, key=False)
            body = f"{channel.replace('>', '&gt;')} {number}"
            inside = (
                f"<message xmlns='jabber:client' type='chat' id='{number}' to='{other.jid}'>"
                f"<body>{body}</body></message>"
            )
        response = await self._send(inside)
        if channel:
            self._book.ok(channel, id, {"epoch": channel, "offset": number})
        self._receive(response)

    def expect(self, channel: str) -> None:
        """From now on a missing message of this pair is a loss."""
        self._at[channel] = 0
        self._book.read(self.name, channel, f"{channel}-0", f"{channel}-0", [])

    def _receive(self, response: Response) -> None:
        for tag in BOUNCE.findall(response.body):
            self._bounced(tag)
        for raw, digits in MESSAGE.findall(response.body):
            channel, number = raw.decode().replace("&gt;", ">"), int(digits)
            since, id = self._at.get(channel, 0), f"{channel}-{number}"
            event = {"cursor": id, "epoch": channel, "data": {"id": id}}
            self._book.read(self.name, channel, f"{channel}-{since}", id, [event])
            self._at[channel] = max(since, number)

    def _bounced(self, tag: bytes) -> None:
        id, sender = ID.search(tag), FROM.search(tag)
        if id and sender and (channel := self._wrote_to.get(sender[1].decode())):
            self._book.write("bounce", channel=channel, id=f"{channel}-{int(id[1])}")

    def _end(self) -> None:
        for channel, at in self._at.items():
            gap = {"reason": "session", "oldest": "", "latest": ""}
            since, until = f"{channel}-{at}", f"{channel}-{10**9}"
            self._book.gap(self.name, channel, since, until, gap)
        self._at.clear()
        self.jid = self.sid = ""

    async def _login(self) -> None:
        self.sid, self._rid = "", random.randrange(1 << 30)
        creation = f"to='localhost' ver='1.6' wait='{WAIT}' hold='1' {STREAM}"
        found = SID.search((await self._send("", creation)).body)
        if found is None:
            raise OSError("no session")
        self.sid = found[1].decode()
        await self._send(AUTH)
        await self._send("", f"xmpp:restart='true' {STREAM}")
        jid = JID.search((await self._send(BIND)).body)
        if jid is None:
            raise OSError("no name")
        await self._send(PRESENCE)
        self.jid = jid[1].decode()

    async def _send(self, inside: str = "", attributes: str = "") -> Response:
        """A request, repeated with the same number until there is a response."""
        self._rid += 1
        sid = f" sid='{self.sid}'" if self.sid else ""
        raw = (
            f"<body xmlns='{HTTPBIND}' rid='{self._rid}'{sid} {attributes}>{inside}</body>".encode()
        )
        headers = {"content-type": "text/xml; charset=utf-8"}
        while True:
            try:
                response = await self._line.ask("POST", "/http-bind", headers, raw, WAIT + 30)
            except OSError:
                await asyncio.sleep(random.uniform(0.05, 0.2))
                continue
            if response.status == 200:
                if re.match(rb"<body[^>]*type=['\"]terminate", response.body):
                    raise Over
                return response
            if response.status == 503:
                await asyncio.sleep(float(response.headers.get("retry-after", "0.2")))
                continue
            raise Over

    def drop(self) -> None:
        """Disconnect."""
        self._line.drop()
