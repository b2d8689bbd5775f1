"""What pushhub, Prosody and ejabberd do with the same transcripts, and the table of differences.

`python -m tests.peers.bosh_differences` writes the table into docs/bosh-peers.md again; what it
says of who is right is kept.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pushhub import xml
from pushhub.bosh.body import HTTPBIND
from tests.bosh.echo import BIND, SASL
from tests.bosh.live import Live
from tests.bosh.machine import HOST
from tests.bosh.transcript import Case, Player, cases
from tests.peers.xmpp_servers import SERVERS, xmpp_server

if TYPE_CHECKING:
    from tests.bosh.machine import Reply

PAGE = Path(__file__).parents[2] / "docs" / "bosh-peers.md"
FILES = ("differential.txt", "prosody.txt")

# One case waits for a minute, which is for the state machine and its clock alone.
MOST_SECONDS = 15.0
AT_A_TIME = 32  # they wait, most of the time
# How often they are played for the table: with ejabberd, some depend on which of its processes is
# the quicker one.
ROUNDS = 8
OR = ", or "
# What has not been answered by then is held: servers answer in milliseconds.
GRACE_SECONDS = 1.0
TURN_SECONDS = 0.2

# All three servers ask polling sessions for 2 s or less between empty requests; Prosody asks for 5
# and does not mind.
POLLING_SECONDS = 2.2
POLLS = 3
LOGIN = {
    f"auth : <auth xmlns='{SASL}' mechanism='ANONYMOUS'/>": "<success",
    f"restart to={HOST} xmpp:restart=true": "<bind",
    f"bind : <iq xmlns='jabber:client' type='set' id='b'><bind xmlns='{BIND}'/></iq>": "<jid>",
}

ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
SAME = re.compile(r"^The same from all three: (.+)$", re.MULTILINE)


@dataclass
class Watcher(Player):
    """Plays a case for what comes, whatever was expected of it."""

    server: Live
    wanted: list[str] = field(default_factory=list)

    def line(self, line: str) -> None:
        head, _, tail = line.partition(" ")
        verb, _, rest = tail.partition(" ")
        if head in ("got", "any", "over", "alive"):
            return  # All that came is in the table, however it came.
        if head.startswith("+") or hasattr(self, f"do_{head}"):
            super().line(line)
        elif verb in ("held", "empty", "ends", "status", "has", "lacks", "equals", "content"):
            self.server.reply(head, 0 if verb == "held" else GRACE_SECONDS)
        elif verb == "attributes":
            names = re.findall(r"([\w-]+)", re.sub(r"=\S*", "", rest))
            self.wanted += [name for name in names if name not in (*self.wanted, "type")]
        else:
            raise AssertionError(f"Nobody knows what {line!r} means.")

    def do_login(self, text: str) -> None:
        """The login's steps; what a polling session is not told at once, it asks for again."""
        self.logins += 1
        mark = f"login{self.logins}"
        self.do_open(f"{mark}.open {text}")
        for step, expected in LOGIN.items():
            name = f"{mark}.{step.partition(' ')[0]}"
            self.do_send(f"{mark}.{step}")
            for poll in range(POLLS):
                reply = self.server.reply(name, GRACE_SECONDS)
                assert reply is not None, f"{name} is held"
                if expected in reply.body.decode():
                    break
                if reply.element.children or reply.element.get("type"):
                    raise AssertionError(f"login {_summary(reply, [])}")
                self.server.turn(POLLING_SECONDS)
                name = f"{mark}.{step.partition(' ')[0]}.{poll}"
                self.do_send(name)
            if found := re.search(rb"<jid>(.+?)</jid>", reply.body if reply else b""):
                self.server.jid = found[1].decode()
        self.base = self.rid

    def _ask(self, name: str, raw: bytes) -> None:
        super()._ask(name, raw)
        # What is answered at once is, before anything else is sent: so all runs are the same.
        self.server.reply(name, TURN_SECONDS)

    def came(self) -> str:
        """What each request was answered with, but those of a login."""
        end = time.monotonic() + GRACE_SECONDS
        said = []
        for name in self.sent:
            if name.startswith("login"):
                continue
            reply = self.server.reply(name, max(0.0, end - time.monotonic()))
            if reply is not None or name in self.server.requests:
                said.append(f"{name} {_summary(reply, self.wanted)}")
        return "; ".join(said)


def _summary(reply: Reply | None, wanted: list[str]) -> str:
    if reply is None:
        return "held"
    if reply.status != 200:
        return f"HTTP {reply.status}"
    if not reply.body:
        return "nothing"
    try:
        body = reply.element
    except xml.XmlError:
        return "not XML"
    if body.namespace != HTTPBIND:
        return "no body"
    found = [_child(child) for child in body.elements]
    if body.get("type") == "terminate":
        found.insert(0, f"ends {body.get('condition') or ''}".strip())
    elif body.get("type"):
        found.insert(0, f"type {body.get('type')}")
    found += [f"{name}={body.get(name) or '-'}" for name in wanted if body.get("wait")]
    return " ".join(found) or "empty"


def _child(child: xml.Element) -> str:
    if child.name in ("message", "presence"):
        return "error message" if child.get("type") == "error" else child.name
    if child.name == "iq" and child.get("type") == "result":
        return "result"
    if child.name in ("failure", "error", "iq"):
        conditions = [each.name for each in child.elements if each.name != "text"]
        for each in child.elements:
            if each.name == "error":
                conditions = [inner.name for inner in each.elements if inner.name != "text"]
        return f"{'error' if child.name == 'iq' else child.name} {' '.join(conditions)}".strip()
    return child.name


def listed() -> list[Case]:
    """The cases, those that are short enough."""
    found = []
    for case in (case for file in FILES for case in cases(file)):
        waits = [float(line[1:].rstrip("s")) for line in case.lines if line.startswith("+")]
        # A transcript writes `+3s`, and `send b +2 …`.
        if sum(waits) <= MOST_SECONDS:
            found.append(case)
    return found


def play(case: Case, port: int) -> str:
    """What one server does."""
    live = Live(port)
    watcher = Watcher(live)
    try:
        for line in case.lines:
            watcher.line(line)
        return watcher.came()
    except AssertionError as error:
        return str(error)
    finally:
        live.close()


def played(ports: dict[str, int]) -> dict[str, dict[str, str]]:
    """What each server, at its port, does in each case."""
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        waiting = {
            (case.name, name): pool.submit(play, case, port)
            for case in listed()
            for name, port in ports.items()
        }
        return {
            case.name: {name: waiting[case.name, name].result() for name in ports}
            for case in listed()
        }


def table() -> dict[str, dict[str, set[str]]]:
    """What the page says: of each case in which they differ, what each server may do."""
    found = {}
    for row in ROW.finditer(PAGE.read_text()):
        cells = zip(SERVERS, row.groups()[1:-1], strict=True)
        found[row[1]] = {server: set(cell.split(OR)) for server, cell in cells}
    return found


def write() -> None:
    """Write the table of the page anew."""
    text = PAGE.read_text()
    judged = {row[1]: row[5] for row in ROW.finditer(text)}
    said: dict[str, dict[str, set[str]]] = {}
    with ExitStack() as stack:
        ports = {name: stack.enter_context(xmpp_server(name)).port for name in SERVERS}
        for _ in range(ROUNDS):
            for case, each in played(ports).items():
                for server, came in each.items():
                    said.setdefault(case, {}).setdefault(server, set()).add(came)
    lines, same = [], []
    for case, cells in said.items():
        if len(set().union(*cells.values())) == 1:
            same.append(f"`{case}`")
        else:
            row = " | ".join(OR.join(sorted(cells[server])) for server in SERVERS)
            lines.append(f"| `{case}` | {row} | {judged.get(case, '?')} |")
    head, _, rest = text.partition("<!-- table -->\n")
    _, _, tail = rest.partition("<!-- end -->\n")
    titles = "| case | pushhub | Prosody 0.12.3 | ejabberd 23.01 | who is right |"
    rows = "\n".join([titles, "|---|---|---|---|---|", *lines])
    agreed = f"The same from all three: {', '.join(same)}"
    PAGE.write_text(f"{head}<!-- table -->\n{rows}\n\n{agreed}\n<!-- end -->\n{tail}")


if __name__ == "__main__":
    write()
