"""Finch, the console client of libpurple, as Pidgin and Adium are: it logs in over BOSH and chats.

libpurple labels each request `Content-Encoding: text/xml; charset=utf-8`.
"""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from tests import outside
from tests.peers.accounts import PASSWORD, make_accounts
from tests.peers.bosh_user import User
from tests.serving import serve

# Its login takes about ten round trips, each after a pause of a second that libpurple makes.
LOGIN_SECONDS = 60.0
# The key that goes to the next window: Alt+n.
NEXT_WINDOW = "\x1bn"
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]")

ACCOUNTS = """<?xml version='1.0' encoding='UTF-8' ?>
<account version='1.0'><account>
<protocol>prpl-jabber</protocol><name>{jid}</name><password>{password}</password>
<statuses><status type='available' name='Available' active='true'><attributes/></status></statuses>
<settings>
<setting name='bosh_url' type='string'>{url}</setting>
<setting name='connection_security' type='string'>opportunistic_tls</setting>
<setting name='auth_plain_in_clear' type='bool'>1</setting>
</settings>
<settings ui='gnt-purple'><setting name='auto-login' type='bool'>1</setting></settings>
</account></account>
"""


class Terminal:
    """A program's terminal: what the program wrote, and keys for it."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._written = b""

    @property
    def text(self) -> str:
        return _CONTROLS.sub("", self._written.decode(errors="replace"))

    def wait_for(self, text: str, seconds: float) -> None:
        """Read until the program has written `text`."""
        end = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < end, self.text[-2000:]
            readable, _, _ = select.select([self._master], [], [], 1.0)
            if readable:
                self._written += os.read(self._master, 65536)

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())


@contextmanager
def finch(home: Path, jid: str, url: str) -> Iterator[Terminal]:
    """Finch with one account, which logs in by itself."""
    program = outside.require("finch")
    folder = home / "purple"
    folder.mkdir()
    accounts = ACCOUNTS.format(jid=jid, password=escape(PASSWORD), url=url)
    (folder / "accounts.xml").write_text(accounts)
    master, slave = pty.openpty()
    environ = {"HOME": str(home), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    process = subprocess.Popen(
        [program, "-c", str(folder)],
        stdin=slave,
        stdout=slave,
        stderr=subprocess.DEVNULL,
        env=os.environ | environ | {"LANG": "C.UTF-8"},
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(master)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        os.close(master)


@pytest.mark.parametrize("driver", ["front", "asgi"])
def test_finch_logs_in_and_chats(driver: str, tmp_path: Path) -> None:
    outside.require("finch")
    store = f"sqlite:///{tmp_path / 'hub.db'}"
    make_accounts(store, "romeo", "juliet")
    with serve(driver, store) as server:
        juliet = User.login(server.port, "juliet", PASSWORD, "balcony")
        juliet.exchange("<presence xmlns='jabber:client'/>")
        # Romeo is not there yet: the message waits for his client.
        juliet.exchange(
            "<message xmlns='jabber:client' to='romeo@localhost' type='chat' id='m1'>"
            "<body>wherefore art thou</body></message>"
        )
        url = f"http://127.0.0.1:{server.port}/http-bind"
        with finch(tmp_path, "romeo@localhost/finch", url) as terminal:
            terminal.wait_for("wherefore art thou", LOGIN_SECONDS)
            terminal.press(NEXT_WINDOW)
            terminal.press("She speaks\r")
            answer = juliet.message("She speaks")
        assert answer.get("from") == "romeo@localhost/finch"
        juliet.leave()
        server.check()
