"""One client's stream (RFC 6120 §4): from its features over the login to a bound resource.

A stream knows no transport. Elements are handled one after the other: immediately where no wait is
needed, else in one short task, while later elements wait in a queue.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Any

import structlog

from pushhub.store.base import StoreError
from pushhub.xml import Element
from pushhub.xmpp.cluster.serialize import dump_identity, load_identity
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.features import login_features, session_features
from pushhub.xmpp.model.stanza import (
    StanzaError,
    StreamError,
    check_stanza,
    described,
    failure,
    leaf,
    may_fail,
    result,
)
from pushhub.xmpp.routing.bind import bind_result, requested_resource
from pushhub.xmpp.sasl import SaslFailure
from pushhub.xmpp.sasl.data import decode_data, encode_data
from pushhub.xmpp.storage.key_value import store_failure
from pushhub.xmpp.transport.stanza_queue import StanzaQueue

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.sasl import Mechanism, SaslIdentity
    from pushhub.xmpp.sasl.credentials import AccountCredentials
    from pushhub.xmpp.transport.services import StreamServices, StreamTransport

log = structlog.get_logger(__name__)

# RFC 6120 §6.3.4 recommends 2 to 5 retries.
MAX_LOGINS = 5

NEVER = math.inf


class StreamState(Enum):
    """The progress of a stream."""

    CONNECTED = "connected"
    """The client is not authenticated."""
    AUTHENTICATED = "authenticated"
    BOUND = "bound"
    CLOSED = "closed"


class XmppStream:
    """A stream from one client to `domain`."""

    __slots__ = (
        "_credentials",
        "_failed_logins",
        "_mechanism",
        "_queue",
        "_resuming",
        "_services",
        "_transport",
        "busy",
        "domain",
        "identity",
        "login_deadline",
        "session",
        "state",
    )

    def __init__(self, services: StreamServices, domain: str, transport: StreamTransport) -> None:
        self._services = services
        self._transport = transport
        self._queue = StanzaQueue(self.resume)
        self._mechanism: Mechanism | None = None
        # Those of the login in progress.
        self._credentials: AccountCredentials | None = None
        self._failed_logins = 0
        self._resuming = False
        self.domain = domain
        self.state = StreamState.CONNECTED
        self.busy = False
        self.identity: SaslIdentity | None = None
        self.session: XmppSession | None = None
        context = services.context
        context = services.context
        self.login_deadline = context.hub.now() + context.policy.xmpp_login_seconds
        """When the transport must call `expire`, by the hub's clock; `NEVER` after the client has
        bound a resource."""

    @property
    def client(self) -> str:
        """The address of the client's last request."""
        return self._transport.client

    @property
    def held_bytes(self) -> int:
        """About how many bytes the stream holds."""
        held, session = self._queue.held_bytes, self.session
        return held if session is None else held + self._services.binder.held_bytes(session)

    # From the transport

    def open(self) -> None:
        """Start the stream: send its features."""
        if self.state is StreamState.CONNECTED:
            self.send(login_features(self._services.login.names(secure=self._transport.secure)))
        else:
            self.send(session_features(self._services.caps_version))

    def restart(self) -> None:
        """Restart the stream after the login (RFC 6120 §4.3.3)."""
        if self.state is not StreamState.CLOSED:
            self.open()

    def receive(self, element: Element) -> None:
        """Handle an element from the client."""
        if self.state is StreamState.CLOSED:
            return
        if self.busy or self._queue or self._must_follow(element) or self._must_wait():
            if not self._queue.append(element):
                self.fail(StreamError("policy-violation", "The client sent too much in advance."))
            return
        self._handle(element)

    def closed(
        self, undelivered: Iterable[Element] = (), unconfirmed: Iterable[Element] = ()
    ) -> None:
        """The client disconnected or ended the stream. It did not receive the `undelivered`
        elements, and may not have received the `unconfirmed` ones."""
        if self.state is StreamState.CLOSED:
            return
        self.state = StreamState.CLOSED
        self.login_deadline = NEVER
        self._queue.clear()
        if self.session is not None:
            self._services.binder.unbind(self.session, tuple(undelivered), tuple(unconfirmed))

    def expire(self) -> None:
        """End the stream after `login_deadline`: a stream costs memory, and an unauthenticated
        client must not keep it forever. Prosody and ejabberd send the same condition (RFC 6120
        §4.9.3.4)."""
        self.fail(StreamError("connection-timeout", "The login took too long."))

    def dump(self) -> dict[str, Any] | None:
        """The stream as JSON; None while it is busy. Times are durations, since clocks differ."""
        if self.busy or self._queue or self._mechanism is not None:
            return None
        session = self.session
        if self.state is StreamState.CLOSED or (session is not None and session.pending_appends):
            return None
        services = self._services
        remaining = self.login_deadline - services.context.hub.now()
        return {
            "domain": self.domain,
            "state": self.state.value,
            "identity": dump_identity(self.identity),
            "session": None if session is None else services.binder.dump(session),
            "login": None if session is not None else remaining,
        }

    async def load(self, record: Any) -> None:
        """Take the state of a dumped stream.

        Raises:
            StoreError: the store is unavailable.
        """
        services = self._services
        self.state = StreamState(record["state"])
        self.identity = load_identity(record["identity"])
        if record["session"] is not None:
            self.login_deadline = NEVER
        elif (remaining := record.get("login")) is not None:
            self.login_deadline = services.context.hub.now() + remaining
        if self.identity is not None and record["session"] is not None:
            self.busy = True
            try:
                self.session = await services.binder.resume(self, self.identity, record["session"])
            finally:
                self.busy = False
            self.resume()

    def detach(self) -> None:
        """Close the stream here, without an end for the client: it migrates to another node."""
        self.state = StreamState.CLOSED
        self.login_deadline = NEVER
        self._queue.clear()
        if self.session is not None:
            self._services.binder.suspend(self.session)

    # From the server

    def send(self, element: Element) -> None:
        """Send an element to the client."""
        self.write(element.xml().encode())

    def write(self, payload: bytes) -> None:
        """Send an element to the client, in its wire form."""
        if self.state is not StreamState.CLOSED:
            self._transport.send(payload)

    def pending(self) -> list[Element]:
        """The sent elements that the client may not have received."""
        return [] if self.state is StreamState.CLOSED else self._transport.pending()

    def fail(self, error: StreamError) -> None:
        """End the stream with an error."""
        if self.state is not StreamState.CLOSED:
            self.closed(*self._transport.reclaim())
            self._transport.end(error.element())

    def resume(self) -> None:
        """Handle the queued elements: the stream's wait is over."""
        if self._resuming:
            # A store in memory completes an append while the message is handled: the loop below
            # continues.
            return
        self._resuming = True
        try:
            while self._queue and not self.busy and self.state is not StreamState.CLOSED:
                if self._must_follow(self._queue.first()) or self._must_wait():
                    return
                self._handle(self._queue.take())
        finally:
            self._resuming = False

    def _must_follow(self, element: Element) -> bool:
        """Whether an element must not overtake a message that is being appended to an archive."""
        session = self.session
        if session is None or not session.pending_appends:
            return False
        return not session.can_pipeline(element)

    def _must_wait(self) -> bool:
        """Whether the account sends too fast, and its next stanza waits; else take it."""
        if self.session is None:
            return False
        rates = self._services.router.rates
        if not self._queue.is_paced and (wait := rates.wait(self.session.user)):
            self._queue.pace(wait)
        return self._queue.is_paced

    def _handle(self, element: Element) -> None:
        try:
            if self.session is not None:
                work = self._services.router.receive(self.session, element)
            else:
                work = self._handle_unbound(element)
        except Exception as error:
            self._failed(element, error)
        else:
            if work is not None:
                self.busy = True
                self._services.context.spawn(self._finish(element, work))

    async def _finish(self, element: Element, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Exception as error:
            self._failed(element, error)
        self.busy = False
        self.resume()

    def _refuse(self, element: Element, error: StanzaError) -> None:
        if self.session is None and element.namespace == ns.SASL:
            self._credentials = None  # The server failed, not the client.
            self._fail_login(SaslFailure("temporary-auth-failure", error.text))
        elif may_fail(element):
            if self.session is not None:
                element = element.having({"from": self.session.jid.text})
            self.send(failure(element, error))

    def _failed(self, element: Element, error: Exception) -> None:
        """Respond to an element whose handling ended with an error."""
        match error:
            case StanzaError():
                self._refuse(element, error)
            case StreamError():
                self.fail(error)
            case StoreError():
                self._refuse(element, store_failure(error))
            case _:
                self._services.context.hub.log.exception(log, "stanza.failed", stanza=element.name)
                self._refuse(element, StanzaError("internal-server-error"))

    # Before a resource is bound

    def _handle_unbound(self, element: Element) -> Coroutine[None, None, None] | None:
        if element.namespace == ns.SASL:
            return self._handle_sasl(element)
        if self.identity is None:
            raise StreamError("not-authorized", "Log in first.")
        check_stanza(element)
        resource = requested_resource(element)
        if resource is None:
            raise StreamError("not-authorized", "Bind a resource first.")
        return self._bind(element, resource)

    def _handle_sasl(self, element: Element) -> Coroutine[None, None, None] | None:
        if self.state is not StreamState.CONNECTED:
            raise StreamError("not-authorized", "You have logged in already.")
        match element.name:
            case "auth":
                login = self._services.login
                name = element.get("mechanism") or ""
                mechanism = login.mechanism(name)
                if mechanism is None:
                    self._fail_login(SaslFailure("invalid-mechanism"))
                    return None
                self._credentials = login.backend(self.domain, self.client)
                if name not in login.names(secure=self._transport.secure):
                    text = f"{name} sends a password, which needs TLS."
                    self._fail_login(SaslFailure("encryption-required", text))
                    return None
                self._mechanism = mechanism(self._credentials)
            case "response" if self._mechanism is not None:
                pass
            case "abort":
                self._fail_login(SaslFailure("aborted"))
                return None
            case _:
                self._fail_login(SaslFailure("malformed-request"))
                return None
        try:
            data = decode_data(element)
        except SaslFailure as error:
            self._fail_login(error)
            return None
        # A mechanism of another package may be older than this attribute.
        client_first = getattr(self._mechanism, "client_first", False)
        if data is None and element.name == "auth" and client_first:
            self.send(Element("challenge", ns.SASL))
            return None
        return self._step(data or b"")

    async def _step(self, data: bytes) -> None:
        mechanism = self._mechanism
        assert mechanism is not None
        try:
            step = await mechanism.step(data)
        except SaslFailure as error:
            self._fail_login(error)
            return
        if step.identity is None:
            self.send(leaf("challenge", ns.SASL, encode_data(step.data)))
            return
        self.identity = step.identity
        self.state = StreamState.AUTHENTICATED
        self._mechanism = None
        if self._credentials is not None:
            self._services.login.throttle.succeeded(self.client, self._credentials.tried)
            self._credentials = None
        self.send(leaf("success", ns.SASL, encode_data(step.data) if step.data else ""))

    def _fail_login(self, error: SaslFailure) -> None:
        self._mechanism = None
        self._failed_logins += 1
        credentials, self._credentials = self._credentials, None
        if credentials is not None and error.condition != "aborted":
            throttle = self._services.login.throttle
            throttle.failed(self.client, credentials.tried, error.condition)
        reason = described(error.condition, ns.SASL, error.text)
        self.send(Element("failure", ns.SASL, {}, reason))
        if self._failed_logins >= MAX_LOGINS:
            self.fail(StreamError("policy-violation", f"{MAX_LOGINS} logins have failed."))

    async def _bind(self, iq: Element, resource: str) -> None:
        assert self.identity is not None
        binder = self._services.binder
        session = await binder.bind(self, self.identity, self.domain, resource)
        if self.state is StreamState.CLOSED:
            # The client disconnected meanwhile.
            binder.unbind(session)
            return
        self.session = session
        self.state = StreamState.BOUND
        self.login_deadline = NEVER
        self.send(result(iq.having({"from": None, "to": None}), bind_result(session.jid.text)))

    def __repr__(self) -> str:
        name = self.session.jid.text if self.session is not None else self.domain
        return f"<XmppStream {self.state.value} {name} {len(self._queue)} queued>"


def open_stream(
    services: StreamServices, domain: str, transport: StreamTransport
) -> XmppStream | None:
    """A new stream from a client to `domain`; None if this server does not serve the domain."""
    domain = domain.lower().removesuffix(".")
    return XmppStream(services, domain, transport) if domain in services.context.domains else None
