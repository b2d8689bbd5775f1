"""The login of a stream (RFC 6120 §6): SASL elements in, challenges, success or failure out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pushhub.xml import Element
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.stanza import StreamError, described, leaf
from pushhub.xmpp.sasl import SaslFailure
from pushhub.xmpp.sasl.data import decode_data, encode_data

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from pushhub.xmpp.sasl import Mechanism, SaslIdentity
    from pushhub.xmpp.sasl.credentials import AccountCredentials
    from pushhub.xmpp.sasl.login import SaslLogin
    from pushhub.xmpp.transport.services import StreamTransport

# RFC 6120 §6.3.4 recommends 2 to 5 retries.
MAX_LOGINS = 5


class LoginStream(Protocol):
    """The stream, as its login uses it."""

    domain: str

    @property
    def client(self) -> str:
        """The address of the client's last request."""

    def send(self, element: Element) -> None:
        """Send an element to the client."""

    def fail(self, error: StreamError) -> None:
        """End the stream with an error."""

    def authenticated(self, identity: SaslIdentity) -> None:
        """The login has succeeded."""


class StreamLogin:
    """The login of one stream: at most `MAX_LOGINS` attempts, one at a time."""

    __slots__ = ("_credentials", "_failed", "_login", "_mechanism", "_stream", "_transport")

    def __init__(self, stream: LoginStream, login: SaslLogin, transport: StreamTransport) -> None:
        self._stream = stream
        self._login = login
        self._transport = transport
        self._mechanism: Mechanism | None = None
        # Those of the attempt in progress.
        self._credentials: AccountCredentials | None = None
        self._failed = 0

    @property
    def is_in_progress(self) -> bool:
        """Whether an attempt has begun and not ended."""
        return self._mechanism is not None

    def handle(self, element: Element) -> Coroutine[None, None, None] | None:
        """Handle a SASL element; the work that waits, or None."""
        match element.name:
            case "auth":
                login = self._login
                name = element.get("mechanism") or ""
                mechanism = login.mechanism(name)
                if mechanism is None:
                    self._fail(SaslFailure("invalid-mechanism"))
                    return None
                self._credentials = login.backend(self._stream.domain, self._stream.client)
                if name not in login.names(secure=self._transport.secure):
                    text = f"{name} sends a password, which needs TLS."
                    self._fail(SaslFailure("encryption-required", text))
                    return None
                self._mechanism = mechanism(self._credentials)
            case "response" if self._mechanism is not None:
                pass
            case "abort":
                self._fail(SaslFailure("aborted"))
                return None
            case _:
                self._fail(SaslFailure("malformed-request"))
                return None
        try:
            data = decode_data(element)
        except SaslFailure as error:
            self._fail(error)
            return None
        if data is None and element.name == "auth" and _client_first(self._mechanism):
            self._stream.send(Element("challenge", ns.SASL))
            return None
        return self._step(data or b"")

    def failed_here(self, text: str) -> None:
        """The server failed, and not the client: the attempt ends, and the throttle counts none."""
        self._credentials = None
        self._fail(SaslFailure("temporary-auth-failure", text))

    async def _step(self, data: bytes) -> None:
        mechanism, stream = self._mechanism, self._stream
        assert mechanism is not None
        try:
            step = await mechanism.step(data)
        except SaslFailure as error:
            self._fail(error)
            return
        if step.identity is None:
            stream.send(leaf("challenge", ns.SASL, encode_data(step.data)))
            return
        self._mechanism = None
        stream.authenticated(step.identity)
        if self._credentials is not None:
            credentials, self._credentials = self._credentials, None
            self._login.throttle.succeeded(
                credentials.client, credentials.tried, charged=credentials.charged
            )
        stream.send(leaf("success", ns.SASL, encode_data(step.data) if step.data else ""))

    def _fail(self, error: SaslFailure) -> None:
        stream = self._stream
        self._mechanism = None
        self._failed += 1
        credentials, self._credentials = self._credentials, None
        if credentials is not None and error.condition != "aborted":
            throttle = self._login.throttle
            throttle.failed(
                credentials.client,
                credentials.tried,
                error.condition,
                charged=credentials.charged,
            )
        reason = described(error.condition, ns.SASL, error.text)
        stream.send(Element("failure", ns.SASL, {}, reason))
        if self._failed >= MAX_LOGINS:
            stream.fail(StreamError("policy-violation", f"{MAX_LOGINS} logins have failed."))

    def __repr__(self) -> str:
        return f"<StreamLogin {self._failed} failed>"


def _client_first(mechanism: Mechanism | None) -> bool:
    return getattr(mechanism, "client_first", False)  # Another package's may be older than this.
