"""Conversations as text, and their player, for any kind of server.

A file has cases; each begins with `== name`. A line is one of

    open NAME [ATTRIBUTE=VALUE …] [: PAYLOAD]     a creation request
    login [ATTRIBUTE=VALUE …]                     that, ANONYMOUS, restart and bind
    send NAME [+N|-N] [ATTRIBUTE=VALUE …] [: PAYLOAD]
                       a request of the session; its rid is the next one, or so far from the last
                       one of the login
    raw NAME BYTES     these bytes, unchanged
    again NAME OF      the same bytes as another request
    put PAYLOAD        another user sends this to the session
    +SECONDS           time passes
    hangup NAME        the client of a request disconnects
    NAME held          the request has no response yet
    NAME empty         the response is empty
    NAME ends [CONDITION]
    NAME status NUMBER
    NAME attributes [NAME=VALUE|!NAME …]
    NAME has TEXT      the bytes of the response have it
    NAME lacks TEXT
    NAME equals OTHER  byte for byte
    got TEXT …         the bodies of all messages in all responses so far, in rid order
    any TEXT           a response so far, or one that arrives soon, has it
    over [REASON]      the session has ended (where its state is accessible)
    alive              the session has not ended

`$jid` and `$sid` are the session's; `$k1` to `$k9` a chain of keys; MESSAGE(x) a message to oneself
with the body x, and PING(x) a ping with that id.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pushhub import xml
from pushhub.bosh.body import EMPTY, HTTPBIND
from tests.bosh.echo import BIND, SASL
from tests.bosh.machine import HOST, Reply

FOLDER = Path(__file__).parent / "transcripts"
FIRST_RID = 1000
# The longest wait for an expected response, on a busy machine.
SECONDS = 15.0
DEFAULTS = {"to": HOST, "ver": "1.6", "wait": "60", "hold": "1", "xmpp:version": "1.0"}

_KEYS = ["seed"]
for _ in range(9):
    _KEYS.append(hashlib.sha1(_KEYS[-1].encode()).hexdigest())


class Server(Protocol):
    """A server that plays transcripts."""

    @property
    def jid(self) -> str: ...
    def ask(self, name: str, raw: bytes) -> None: ...
    def hang_up(self, name: str) -> None: ...
    def put(self, payload: str) -> None: ...
    def turn(self, seconds: float) -> None: ...
    def reply(self, name: str, seconds: float = 0) -> Reply | None: ...


@dataclass(frozen=True)
class Case:
    name: str
    lines: tuple[str, ...]


def cases(file: str) -> list[Case]:
    found: list[Case] = []
    for part in (FOLDER / file).read_text().split("\n== ")[1:]:
        name, *lines = part.splitlines()
        kept = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        found.append(Case(name.strip(), tuple(kept)))
    return found


def every() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.txt")):
        yield from cases(path.name)


@dataclass
class Player:
    """One case that is being played."""

    server: Server
    sid: str = ""
    rid: int = FIRST_RID
    base: int = FIRST_RID
    sent: dict[str, bytes] = field(default_factory=dict)
    rids: dict[str, int] = field(default_factory=dict)
    logins: int = 0

    def play(self, case: Case) -> None:
        for line in case.lines:
            try:
                self.line(line)
            except AssertionError as error:
                raise AssertionError(f"{case.name}: {line}\n{error}") from error

    def line(self, line: str) -> None:
        head, *rest = line.split(maxsplit=1)
        tail = rest[0] if rest else ""
        action = getattr(self, f"do_{head}", None)
        if head.startswith("+"):
            self.server.turn(float(head[1:].rstrip("s")))
        elif action is not None:
            action(tail)
        else:
            verb, _, argument = tail.partition(" ")
            getattr(self, f"see_{verb}")(head, argument)

    # What the client does

    def do_open(self, text: str) -> None:
        name, attributes, payload = self._request(text)
        self.rid = self.base = FIRST_RID
        self.sid = ""
        self._send(name, self.rid, {**DEFAULTS, **attributes}, payload)
        reply = self.server.reply(name, SECONDS)
        if reply is not None:
            self.sid = reply.element.get("sid") or "" if reply.body else ""

    def do_login(self, text: str) -> None:
        self.logins += 1
        mark = f"login{self.logins}"
        self.do_open(f"{mark}.open {text}")
        self.see_has(f"{mark}.open", "ANONYMOUS")
        self.do_send(f"{mark}.auth : <auth xmlns='{SASL}' mechanism='ANONYMOUS'/>")
        self.see_has(f"{mark}.auth", "<success")
        self.do_send(f"{mark}.restart to={HOST} xmpp:restart=true")
        self.see_has(f"{mark}.restart", "<bind")
        iq = f"<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='{BIND}'/></iq>"
        self.do_send(f"{mark}.bind : {iq}")
        self.see_has(f"{mark}.bind", "<jid>")
        self.base = self.rid

    def do_send(self, text: str) -> None:
        name, attributes, payload = self._request(text)
        offset = next((key for key in attributes if re.fullmatch(r"[+-]\d+", key)), None)
        if offset is None:
            rid = self.rid + 1
        else:
            del attributes[offset]
            rid = self.base + int(offset)
        self.rid = max(self.rid, rid) if rid < self.rid + 10 else self.rid
        self._send(name, rid, {"sid": self.sid, **attributes}, payload)

    def do_raw(self, text: str) -> None:
        name, _, raw = text.partition(" ")
        self._ask(name, self._filled(raw).encode())

    def do_again(self, text: str) -> None:
        name, other = text.split()
        self.rids[name] = self.rids[other]
        self._ask(name, self.sent[other])

    def do_put(self, text: str) -> None:
        self.server.put(self._filled(text))

    def do_hangup(self, text: str) -> None:
        self.server.hang_up(text)

    def _request(self, text: str) -> tuple[str, dict[str, str], str]:
        head, _, payload = f"{text} ".partition(" : ")
        name, *words = head.split()
        attributes: dict[str, str] = {}
        for word in words:
            key, _, value = word.partition("=")
            attributes[key] = self._filled(value).replace("~", " ")
        return name, attributes, self._filled(payload.strip())

    def _send(self, name: str, rid: int, attributes: dict[str, str], payload: str) -> None:
        named = {"rid": str(rid), **attributes}
        text = "".join(f" {key}='{value}'" for key, value in named.items() if value != "-")
        declared = " xmlns:xmpp='urn:xmpp:xbosh'" if "xmpp:" in text else ""
        self.rids[name] = rid
        body = f"<body xmlns='{HTTPBIND}'{declared}{text}>{payload}</body>"
        self._ask(name, body.encode())

    def _ask(self, name: str, raw: bytes) -> None:
        self.sent[name] = raw
        self.server.ask(name, raw)

    def _filled(self, text: str) -> str:
        text = re.sub(
            r"MESSAGE\((\w+)\)",
            r"<message xmlns='jabber:client' type='chat' to='$jid'><body>\1</body></message>",
            text,
        )
        text = re.sub(
            r"PING\((\w+)\)",
            r"<iq xmlns='jabber:client' type='get' id='\1'><ping xmlns='urn:xmpp:ping'/></iq>",
            text,
        )
        text = re.sub(r"\$k(\d)", lambda found: _KEYS[int(found[1])], text)
        if "$jid" in text:
            text = text.replace("$jid", self.server.jid)
        return text.replace("$sid", self.sid)

    # What the server says

    def see_held(self, name: str, _: str) -> None:
        reply = self.server.reply(name)
        assert reply is None, reply

    def see_empty(self, name: str, _: str) -> None:
        assert self._reply(name).body == EMPTY, self._reply(name)

    def see_ends(self, name: str, condition: str) -> None:
        element = self._reply(name).element
        assert element.get("type") == "terminate", element
        assert (element.get("condition") or "") == condition, element

    def see_status(self, name: str, status: str) -> None:
        assert self._reply(name).status == int(status), self._reply(name)

    def see_attributes(self, name: str, text: str) -> None:
        element = self._reply(name).element
        for word in text.split():
            key, _, value = word.partition("=")
            if key.startswith("!"):
                assert element.get(key[1:]) is None, element
            else:
                assert element.get(key) == value, element

    def see_content(self, name: str, content: str) -> None:
        assert self._reply(name).content == content

    def see_has(self, name: str, text: str) -> None:
        assert text in self._reply(name).body.decode(), self._reply(name)

    def see_lacks(self, name: str, text: str) -> None:
        assert text not in self._reply(name).body.decode(), self._reply(name)

    def see_equals(self, name: str, other: str) -> None:
        assert self._reply(name) == self._reply(other)

    def do_got(self, text: str) -> None:
        for name in self.rids:
            if self.received() == text.split():
                return
            self.server.reply(name, SECONDS)
        assert self.received() == text.split()

    def do_any(self, text: str) -> None:
        replies: list[Reply | None] = []
        # Responses that exist come first: a held request is awaited to its end.
        for seconds in (0, SECONDS):
            for name in self.rids:
                replies.append(self.server.reply(name, seconds))
                if replies[-1] is not None and text in replies[-1].body.decode():
                    return
        raise AssertionError(replies)

    def do_over(self, reason: str) -> None:
        ended = getattr(getattr(self.server, "last", None), "ended", None)
        if hasattr(self.server, "last"):
            assert ended is not None, "the session is alive"
            assert not reason or ended.reason == reason, ended

    def do_alive(self, _: str) -> None:
        if hasattr(self.server, "last"):
            assert self.server.last.ended is None, self.server.last.ended

    def received(self) -> list[str]:
        """The bodies of all received messages, each response counted once, in rid order."""
        bodies: dict[int, bytes] = {}
        for name, rid in self.rids.items():
            reply = self.server.reply(name)
            if reply is not None and reply.body not in (b"", EMPTY):
                bodies[rid] = reply.body
        return [
            text.text
            for _, raw in sorted(bodies.items())
            for message in xml.parse(raw, own=True).every("message", "jabber:client")
            for text in message.every("body")
        ]

    def _reply(self, name: str) -> Reply:
        reply = self.server.reply(name, SECONDS)
        assert reply is not None, f"{name} is held"
        return reply
