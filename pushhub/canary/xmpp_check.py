"""The check of XMPP: a login over BOSH, and a message to the own session.

The account is the one of the settings; without one the login is ANONYMOUS, where that is allowed.
The message is a headline to the session's full address, so no archive keeps it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING

from pushhub.canary.check import CanaryFailure
from pushhub.canary.client import CanaryClient
from pushhub.canary.listener import BIND
from pushhub.canary.scram import HASHES, ScramClient
from pushhub.xml import Element, parse, quote
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.jid import prepare_password

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.canary.client import Dial

HTTPBIND = "http://jabber.org/protocol/httpbind"
STREAMS = "http://etherx.jabber.org/streams"
XBOSH = "urn:xmpp:xbosh"
# The session's longest wait for an element; the check ends sooner.
WAIT_SECONDS = 20


class XmppAccount:
    """The account of the canary. It keeps the keys that SCRAM derives, which take milliseconds."""

    def __init__(self, address: str = "", password: str = "") -> None:
        self.local, _, self.domain = address.rpartition("@")
        self._password = prepare_password(password) if password else ""
        self._salted: dict[tuple[str, bytes, int], bytes] = {}

    @property
    def has_password(self) -> bool:
        """Whether there is a password to log in with."""
        return bool(self._password)

    def salted(self, hash_name: str, salt: bytes, iterations: int) -> bytes:
        """The salted password."""
        key = (hash_name, salt, iterations)
        if key not in self._salted:
            self._salted.clear()  # The password was set again: its salt is another.
            self._salted[key] = hashlib.pbkdf2_hmac(
                hash_name, self._password.encode(), salt, iterations
            )
        return self._salted[key]


class XmppCheck:
    """One session."""

    def __init__(
        self,
        dial: Dial,
        prefix: str,
        account: XmppAccount,
        domain: str,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._dial = dial
        self._target = prefix + BIND
        self._account = account
        self._domain = domain
        self._random_bytes = random_bytes
        # XEP-0124 §14.1: a random number that grows by one with each request.
        self._rid = int.from_bytes(random_bytes(4))
        self._sid = ""

    async def run(self) -> None:
        """Log in, and send a message to the own session.

        Raises:
            CanaryFailure: the login is refused, or the message does not arrive.
        """
        client = CanaryClient(*await self._dial())
        try:
            await self._run(client)
        finally:
            if self._sid:
                client.send("POST", self._target, _HEADERS, self._body("type='terminate'"))
            client.close()

    async def _run(self, client: CanaryClient) -> None:
        stream = f"to='{quote(self._domain)}' xml:lang='en' xmpp:version='1.0' xmlns:xmpp='{XBOSH}'"
        body = await self._send(
            client, f"{stream} ver='1.6' wait='{WAIT_SECONDS}' hold='1' content='text/xml'"
        )
        self._sid = body.get("sid") or ""
        features = await self._next(client, body, "features")
        await self._log_in(client, features)
        body = await self._send(client, f"{stream} xmpp:restart='true'")
        await self._next(client, body, "features")
        request = f"<iq xmlns='{ns.CLIENT}' type='set' id='b'><bind xmlns='{ns.BIND}'/></iq>"
        result = await self._next(client, await self._send(client, "", request), "iq")
        bind = result.find("bind", ns.BIND)
        jid = None if bind is None else bind.find("jid", ns.BIND)
        if jid is None:
            raise CanaryFailure("The session got no address.")
        token = self._random_bytes(8).hex()
        message = (
            f"<message xmlns='{ns.CLIENT}' to='{quote(jid.text)}' type='headline' id='{token}'>"
            "<body>canary</body></message>"
        )
        received = await self._next(client, await self._send(client, "", message), "message")
        if received.get("id") != token or received.get("type") == "error":
            raise CanaryFailure("Another message arrived, or an error.")

    async def _log_in(self, client: CanaryClient, features: Element) -> None:
        found = features.find("mechanisms", ns.SASL)
        offered = [] if found is None else [one.text for one in found.elements]
        if self._account.local and not self._account.has_password:
            raise CanaryFailure("The setting canary_password is missing.")
        if not self._account.local:
            reply = await self._authenticate(client, "auth", b"", " mechanism='ANONYMOUS'")
        else:
            name = next((name for name in HASHES if name in offered), None)
            if name is None:
                raise CanaryFailure("No SCRAM mechanism is offered.")
            reply = await self._scram(client, name)
        if reply.name != "success":
            why = reply.elements[0].name if reply.elements else reply.name
            raise CanaryFailure(f"The login was refused: {why}.")

    async def _scram(self, client: CanaryClient, name: str) -> Element:
        account, nonce = self._account, self._random_bytes(18).hex()
        scram = ScramClient(name, account.local, nonce)
        reply = await self._authenticate(client, "auth", scram.first(), f" mechanism='{name}'")
        if reply.name != "challenge":
            return reply
        challenge = base64.b64decode(reply.text)

        def salted(salt: bytes, iterations: int) -> bytes:
            return account.salted(HASHES[name], salt, iterations)

        # Ten milliseconds of hashing, the first time, would block the event loop.
        final = await asyncio.to_thread(scram.final, challenge, salted)
        reply = await self._authenticate(client, "response", final)
        if reply.name == "success":
            scram.verify(base64.b64decode(reply.text))
        return reply

    async def _authenticate(
        self, client: CanaryClient, name: str, data: bytes, more: str = ""
    ) -> Element:
        text = base64.b64encode(data).decode()
        body = await self._send(client, "", f"<{name} xmlns='{ns.SASL}'{more}>{text}</{name}>")
        return await self._next(client, body, "success", "failure", "challenge")

    async def _next(self, client: CanaryClient, body: Element, *names: str) -> Element:
        """The next element of one of these names; empty responses are left out."""
        while True:
            for element in body.elements:
                if element.name in names:
                    return element
            if body.get("type") == "terminate":
                raise CanaryFailure(f"The session ended: {body.get('condition') or 'no reason'}.")
            body = await self._send(client, "")

    async def _send(self, client: CanaryClient, attributes: str, payload: str = "") -> Element:
        sent = self._body(attributes, payload)
        response = await client.ask("POST", self._target, _HEADERS, sent)
        if response.status != 200:
            raise CanaryFailure(f"The status was {response.status}, not 200.")
        return parse(response.body, own=True)

    def _body(self, attributes: str, payload: str = "") -> bytes:
        self._rid += 1
        sid = f" sid='{quote(self._sid)}'" if self._sid else ""
        return (
            f"<body xmlns='{HTTPBIND}' rid='{self._rid}'{sid} {attributes}>{payload}</body>"
        ).encode()


_HEADERS = {"content-type": "text/xml; charset=utf-8"}
