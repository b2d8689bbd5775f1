"""An account's client over BOSH: one request at a time, to any server on loopback."""

from __future__ import annotations

import base64
import http.client
import itertools
import time
from contextlib import closing
from typing import TYPE_CHECKING, Self

from pushhub import xml
from pushhub.xmpp.model import namespaces as ns

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.xml import Element

HTTPBIND = "http://jabber.org/protocol/httpbind"
XBOSH = "xmlns:xmpp='urn:xmpp:xbosh'"
DOMAIN = "localhost"
# A response on a machine that does much else.
SECONDS = 20.0


class User:
    """A session. `jid` is its full address, `seen` the stanzas that no test has taken yet."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._rids = itertools.count(1000)
        self._ids = itertools.count(1)
        self._sid = ""
        self.jid = ""
        self.seen: list[Element] = []

    @property
    def bare(self) -> str:
        return self.jid.partition("/")[0]

    @classmethod
    def login(
        cls, port: int, name: str, password: str, resource: str, mechanism: str = "PLAIN"
    ) -> Self:
        """Log in by PLAIN, or by another mechanism of this shape, and bind a resource."""
        user = cls(port)
        # A second is the shortest wait: an exchange without news ends after it.
        head = f"to='{DOMAIN}' wait='1' hold='1' ver='1.6' xmpp:version='1.0' {XBOSH}"
        opened = user._post(head)
        user._sid = opened.get("sid") or ""
        assert user._sid, opened
        secret = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
        user.exchange(f"<auth xmlns='{ns.SASL}' mechanism='{mechanism}'>{secret}</auth>")
        success = user.next(lambda e: e.namespace == ns.SASL)
        assert success.name == "success", success
        user._post(f"sid='{user._sid}' xmpp:restart='true' {XBOSH}")
        user.seen.clear()
        bound = user.ask(
            f"<bind xmlns='{ns.BIND}'><resource>{resource}</resource></bind>", kind="set"
        )
        (jid,) = (e for e in bound.elements[0].elements if e.name == "jid")
        user.jid = jid.text
        return user

    def exchange(self, inside: str = "") -> None:
        """Send a body, and take what its response carries."""
        self.seen += self._post(f"sid='{self._sid}'", inside).elements

    def next(
        self, matches: Callable[[Element], object], seconds: float = SECONDS, inside: str = ""
    ) -> Element:
        """The first stanza that matches; the others stay. `inside` is sent first."""
        if inside:
            self.exchange(inside)
        end = time.monotonic() + seconds
        while True:
            for index, element in enumerate(self.seen):
                if matches(element):
                    return self.seen.pop(index)
            assert time.monotonic() < end, self.seen
            self.exchange()

    def ask(self, payload: str, to: str = "", kind: str = "get") -> Element:
        """The response to an iq."""
        id = f"u{next(self._ids)}"
        addressed = f" to='{to}'" if to else ""
        iq = f"<iq xmlns='jabber:client' type='{kind}' id='{id}'{addressed}>{payload}</iq>"
        return self.next(lambda e: e.name == "iq" and e.get("id") == id, inside=iq)

    def settle(self) -> list[Element]:
        """Take everything that the server has sent before the response to a ping."""
        self.ask("<ping xmlns='urn:xmpp:ping'/>", to=DOMAIN)
        taken, self.seen = self.seen, []
        return taken

    def message(self, text: str) -> Element:
        """The next message with that body."""

        def matches(element: Element) -> bool:
            body = element.find("body", ns.CLIENT)
            return element.name == "message" and body is not None and body.text == text

        return self.next(matches)

    def leave(self) -> None:
        """End the session."""
        self._post(f"sid='{self._sid}' type='terminate'")

    def _post(self, attributes: str, inside: str = "") -> Element:
        rid = next(self._rids)
        raw = f"<body xmlns='{HTTPBIND}' rid='{rid}' {attributes}>{inside}</body>"
        # Each on a connection of its own: an idle one may be closed at any moment.
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        with closing(connection):
            headers = {"content-type": "text/xml; charset=utf-8"}
            connection.request("POST", "/http-bind", raw.encode(), headers)
            response = connection.getresponse()
            body = response.read()
        assert response.status == 200, (response.status, body)
        return xml.parse(body, own=True)

    def __repr__(self) -> str:
        return f"<User {self.jid}>"
