"""One client's stream (RFC 6120 §4): from its features over the login to a bound resource.

A stream knows no transport. Elements are handled one after the other: immediately where no wait is
needed, else in one short task, while later elements wait in a queue.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Any

import structlog

from pushhub.log.grant import NOTHING
from pushhub.store.base import StoreError
from pushhub.xmpp.cluster.serialize import dump_identity, load_identity
from pushhub.xmpp.model import namespaces as ns
from pushhub.xmpp.model.features import login_features, session_features
from pushhub.xmpp.model.stanza import (
    StanzaError,
    StreamError,
    check_stanza,
    failure,
    may_fail,
    result,
)
from pushhub.xmpp.routing.bind import bind_result, requested_resource
from pushhub.xmpp.storage.key_value import store_failure
from pushhub.xmpp.transport.stanza_queue import StanzaQueue
from pushhub.xmpp.transport.stream_login import StreamLogin

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from pushhub.xml import Element
    from pushhub.xmpp.routing.session import XmppSession
    from pushhub.xmpp.sasl import SaslIdentity
    from pushhub.xmpp.transport.services import StreamServices, StreamTransport

log = structlog.get_logger(__name__)


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
        "_login",
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
        self._login = StreamLogin(self, services.login, transport)
        self._resuming = False
        self.domain = domain
        self.state = StreamState.CONNECTED
        self.busy = False
        self.identity: SaslIdentity | None = None
        self.session: XmppSession | None = None
        context = services.context
        self.login_deadline = context.hub.now() + context.policy.xmpp_login_seconds
        """When the login must be complete; `NEVER` after the client has bound a resource."""

    @property
    def deadline(self) -> float:
        """When the transport must call `expire`, by the hub's clock."""
        expires = self.identity.grant.expires if self.identity is not None else None
        if expires is None or self.state is StreamState.CLOSED:
            return self.login_deadline
        hub = self._services.context.hub
        return min(self.login_deadline, hub.now() + expires - hub.clock())

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
        if self.state is StreamState.CLOSED or self.end_by_grant():
            return
        if self.busy or self._queue or self._must_follow(element) or self._must_wait():
            if not self._queue.append(element):
                self.fail(StreamError("policy-violation", "The client sent too much in advance."))
            return
        self._handle(element)

    def closed(
        self, undelivered: Iterable[Element] = (), unconfirmed: Iterable[Element] = ()
    ) -> None:
        """The stream has ended. The client did not receive the `undelivered` elements, and may not
        have received the `unconfirmed` ones."""
        if self.state is StreamState.CLOSED:
            return
        self.state = StreamState.CLOSED
        self.login_deadline = NEVER
        self._queue.clear()
        if self.session is not None:
            self._services.binder.unbind(self.session, tuple(undelivered), tuple(unconfirmed))

    def expire(self) -> None:
        """End the stream after `deadline`: an unauthenticated client must not keep it forever, and
        Prosody and ejabberd send the same condition (RFC 6120 §4.9.3.4)."""
        if not self.end_by_grant() and self._services.context.hub.now() >= self.login_deadline:
            self.fail(StreamError("connection-timeout", "The login took too long."))

    def end_by_grant(self) -> bool:
        """Whether the grant has ended; the stream ends with it, as Prosody ends one by a token."""
        grant = self.identity.grant if self.identity is not None else NOTHING
        if not grant.can_end or not grant.has_ended(self._services.context.hub.clock()):
            return False
        self.fail(StreamError("not-authorized", "The token of this session is no longer valid."))
        return True

    def dump(self) -> dict[str, Any] | None:
        """The stream as JSON; None while it is busy. Times are durations, since clocks differ."""
        if self.busy or self._queue or self._login.is_in_progress:
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
        self.identity = load_identity(record["identity"], services.login.revocations)
        if record["session"] is not None:
            self.login_deadline = NEVER
        elif (remaining := record.get("login")) is not None:
            self.login_deadline = services.context.hub.now() + remaining
        if self.identity is not None and record["session"] is not None:
            self.busy = True
            try:
                session = await services.binder.resume(self, self.identity, record["session"])
            finally:
                self.busy = False
            if self.state is StreamState.CLOSED:
                # The stream has ended meanwhile, for example with a conflict.
                services.binder.unbind(session)
                return
            self.session = session
            self.resume()

    def detach(self) -> None:
        """Close the stream here: it migrates to another node."""
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
        if self.state is not StreamState.CLOSED and not self.end_by_grant():
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
            return  # A store in memory completes an append immediately: the loop below continues.
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
            self._login.failed_here(error.text)
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
            if self.state is not StreamState.CONNECTED:
                raise StreamError("not-authorized", "You have logged in already.")
            return self._login.handle(element)
        if self.identity is None:
            raise StreamError("not-authorized", "Log in first.")
        check_stanza(element)
        resource = requested_resource(element)
        if resource is None:
            raise StreamError("not-authorized", "Bind a resource first.")
        return self._bind(element, resource)

    def authenticated(self, identity: SaslIdentity) -> None:
        """The login has succeeded."""
        self.identity = identity
        self.state = StreamState.AUTHENTICATED

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
