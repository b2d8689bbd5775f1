"""A real server, for the transcripts."""

import http.client
import re
import threading

from tests.bosh.machine import Reply
from tests.bosh.transcript import Player

# The longest wait for an immediate response.
SECONDS = 10.0

HEADERS = {"content-type": "text/xml; charset=utf-8"}


class Request:
    """One HTTP request on a connection of its own, read by a thread of its own."""

    def __init__(self, port: int, raw: bytes) -> None:
        self.reply: Reply | None = None
        self.answered = threading.Event()
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.request("POST", "/http-bind", raw, HEADERS)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        try:
            response = self.connection.getresponse()
            content = response.headers["content-type"]
            self.reply = Reply(response.status, response.read(), content)
            self.answered.set()
        except (OSError, http.client.HTTPException, AttributeError, ValueError):
            pass  # The connection was closed.

    def hang_up(self) -> None:
        if self.connection.sock is not None:
            self.connection.sock.shutdown(2)
        self.connection.close()


class Live:
    """The server that listens on a port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.jid = ""
        self.requests: dict[str, Request] = {}
        self._friend: Player | None = None

    def ask(self, name: str, raw: bytes) -> None:
        self.requests[name] = Request(self.port, raw)
        self._settle()
        if found := re.search(rb"<jid>(.+?)</jid>", self._body(name, raw)):
            self.jid = found[1].decode()

    def _body(self, name: str, raw: bytes) -> bytes:
        if b"urn:ietf:params:xml:ns:xmpp-bind" not in raw:
            return b""
        reply = self.reply(name, SECONDS)
        return reply.body if reply is not None else b""

    def hang_up(self, name: str) -> None:
        self.requests.pop(name).hang_up()
        self._settle()

    def put(self, payload: str) -> None:
        if self._friend is None:
            self._friend = Player(Live(self.port))
            self._friend.do_login("")
        payload = payload.replace("xmlns='jabber:client'", f"xmlns='jabber:client' to='{self.jid}'")
        name = f"put{self._friend.rid}"
        self._friend.do_send(f"{name} : {payload}")
        self._settle()

    def turn(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def reply(self, name: str, seconds: float = 0) -> Reply | None:
        request = self.requests.get(name)
        if request is None:
            return None
        request.answered.wait(seconds)
        return request.reply

    def _settle(self) -> None:
        """Wait until the server has read all sent requests: it responds to two later ones."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        for _ in range(2):
            connection.request("GET", "/livez")
            connection.getresponse().read()
        connection.close()

    def close(self) -> None:
        for request in self.requests.values():
            request.hang_up()
        if self._friend is not None:
            friend = self._friend.server
            assert isinstance(friend, Live)
            friend.close()
