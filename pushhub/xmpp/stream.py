"""One client's stream (RFC 6120 §4): from its features over the login to a bound resource.

It knows no transport. What comes is handled in order, one after the other: at once where nothing
must be waited for, else by one short task, while the rest waits in a queue.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from pushhub.protocol.xml import Element
from pushhub.store.base import StoreError
from pushhub.xmpp import names
from pushhub.xmpp.bind import bind_result, wanted_resource
from pushhub.xmpp.features import features
from pushhub.xmpp.handover import dump_identity, dump_session, load_identity
from pushhub.xmpp.registers import TooLarge
from pushhub.xmpp.sasl import Failure
from pushhub.xmpp.stanza import (
    StanzaError,
    StreamError,
    described,
    failure,
    leaf,
    may_fail,
    result,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Sequence

    from pushhub.xmpp.sasl import Identity, Mechanism
    from pushhub.xmpp.server import Server
    from pushhub.xmpp.session import Session

log = structlog.get_logger(__name__)

# What a client may send ahead while one of its stanzas waits for the store. A body of BOSH carries
# a few; Converse's start is about twenty.
MAX_QUEUED = 200

# RFC 6120 §6.3.4 asks for 2 to 5 retries.
MAX_LOGINS = 5

NEVER = math.inf


class Transport(Protocol):
    """Who carries a stream's elements."""

    client: str
    """The address that the client's last request came from."""

    def send(self, payload: bytes) -> None:
        """Bring one element to the client, after those before it. It is UTF-8, and declares the
        namespaces that it uses."""

    def pending(self) -> list[Element]:
        """What was sent, and the client may not have."""

    def reclaim(self) -> tuple[Sequence[Element], Sequence[Element]]:
        """The stream is about to end. What was sent and surely has not reached the client, and what
        it may have: it is not brought any more. Nothing, where somebody is there to get it."""

    def end(self, error: Element | None) -> None:
        """The stream is over; `error` is its `<stream:error/>`, if it has one. What was sent is
        still brought."""


class State(Enum):
    """How far a stream has come."""

    CONNECTED = "connected"
    """Nobody knows who it is."""
    AUTHENTICATED = "authenticated"
    BOUND = "bound"
    CLOSED = "closed"


class Stream:
    """A stream of one client to `domain`, which the server serves."""

    __slots__ = (
        "_logins",
        "_mechanism",
        "_queue",
        "_resuming",
        "_server",
        "_transport",
        "busy",
        "domain",
        "identity",
        "login_by",
        "session",
        "state",
    )

    def __init__(self, server: Server, domain: str, transport: Transport) -> None:
        self._server = server
        self._transport = transport
        self._queue: deque[Element] = deque()
        self._mechanism: Mechanism | None = None
        self._logins = 0
        self._resuming = False
        self.domain = domain
        self.state = State.CONNECTED
        self.busy = False
        self.identity: Identity | None = None
        self.session: Session | None = None
        self.login_by = server.hub.now() + server.settings.xmpp_login_seconds
        """When the transport is to call `expire`, by the hub's clock; `NEVER` once the client has
        bound a resource."""

    @property
    def client(self) -> str:
        """The address that its client asks from."""
        return self._transport.client

    # What the transport says

    def open(self) -> None:
        """The stream begins: say what it can do."""
        self.send(features(self._server, self.state))

    def restart(self) -> None:
        """The client begins anew after its login (RFC 6120 §4.3.3)."""
        if self.state is not State.CLOSED:
            self.open()

    def receive(self, element: Element) -> None:
        """Take what the client sent."""
        if self.state is State.CLOSED:
            return
        if self.busy or self._queue:
            self._queue.append(element)
            if len(self._queue) > MAX_QUEUED:
                self.fail(
                    StreamError("policy-violation", "Too much was sent ahead of its answers.")
                )
            return
        self._handle(element)

    def closed(
        self, undelivered: Iterable[Element] = (), unconfirmed: Iterable[Element] = ()
    ) -> None:
        """The client has gone, or left. It was sent what is `undelivered`, and surely has it not;
        what is `unconfirmed` it may have."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.login_by = NEVER
        self._queue.clear()
        if self.session is not None:
            self._server.leave(self.session, tuple(undelivered), tuple(unconfirmed))

    def expire(self) -> None:
        """`login_by` has passed. A stream costs memory, and whoever has not said who it is must not
        keep it for ever; Prosody and ejabberd name the same condition (RFC 6120 §4.9.3.4)."""
        self.fail(StreamError("connection-timeout", "The login took too long."))

    def dump(self) -> dict[str, Any] | None:
        """All of it, as JSON takes it; None while something is under way. Times are durations:
        clocks differ."""
        if self.busy or self._queue or self._mechanism is not None or self.state is State.CLOSED:
            return None
        if self.session is not None and self.session.unsettled:
            return None
        return {
            "domain": self.domain,
            "state": self.state.value,
            "identity": dump_identity(self.identity),
            "session": dump_session(self.session),
            "login": None if self.session is not None else self.login_by - self._server.hub.now(),
        }

    async def load(self, record: Any) -> None:
        """Become what was dumped.

        Raises:
            StoreError: the store cannot be used now.
        """
        self.state = State(record["state"])
        self.identity = load_identity(record["identity"])
        if record["session"] is not None:
            self.login_by = NEVER
        elif (left := record.get("login")) is not None:
            self.login_by = self._server.hub.now() + left
        if self.identity is not None and record["session"] is not None:
            self.busy = True
            try:
                self.session = await self._server.adopt(self, self.identity, record["session"])
            finally:
                self.busy = False
            self.resume()

    def abandon(self) -> None:
        """It goes on elsewhere; nobody is told anything."""
        self.state = State.CLOSED
        self.login_by = NEVER
        if self.session is not None:
            self._server.suspend(self.session)

    # What the server says

    def send(self, element: Element) -> None:
        """Bring an element to the client."""
        self.write(element.xml().encode())

    def write(self, payload: bytes) -> None:
        """Bring an element to the client, as it stands on the wire."""
        if self.state is not State.CLOSED:
            self._transport.send(payload)

    def pending(self) -> list[Element]:
        """What the client was sent, and may not have."""
        return [] if self.state is State.CLOSED else self._transport.pending()

    def fail(self, error: StreamError) -> None:
        """End the stream with an error."""
        if self.state is not State.CLOSED:
            self.closed(*self._transport.reclaim())
            self._transport.end(error.element())

    def resume(self) -> None:
        """What had to be waited for is there: go on with what came meanwhile."""
        if self._resuming:
            # A store in memory settles a message while it is handled, and the loop below goes on.
            return
        self._resuming = True
        try:
            while self._queue and not self.busy and self.state is not State.CLOSED:
                session, stanza = self.session, self._queue[0]
                if session is not None and session.unsettled and not session.overlaps(stanza):
                    return
                self._handle(self._queue.popleft())
        finally:
            self._resuming = False

    def _handle(self, element: Element) -> None:
        session = self.session
        if session is not None and session.unsettled and not session.overlaps(element):
            # It must not overtake a message that is on its way into an archive.
            self._queue.append(element)
            return
        try:
            work = session.receive(element) if session is not None else self._begin(element)
        except StanzaError as error:
            self._refuse(element, error)
        except StreamError as error:
            self.fail(error)
        except StoreError as error:
            self._refuse(element, _unstored(error))
        except Exception:
            self._broken(element)
        else:
            if work is not None:
                self.busy = True
                self._server.spawn(self._finish(element, work))

    async def _finish(self, element: Element, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except StanzaError as error:
            self._refuse(element, error)
        except StreamError as error:
            self.fail(error)
        except StoreError as error:
            self._refuse(element, _unstored(error))
        except Exception:
            self._broken(element)
        self.busy = False
        self.resume()

    def _refuse(self, element: Element, error: StanzaError) -> None:
        if self.session is None and element.namespace == names.SASL:
            self._login_failed(Failure("temporary-auth-failure", error.text))
        elif may_fail(element):
            if self.session is not None:
                element = element.having({"from": self.session.jid.text})
            self.send(failure(element, error))

    def _broken(self, element: Element) -> None:
        self._server.hub.log.exception(log, "stanza.failed", stanza=element.name)
        self._refuse(element, StanzaError("internal-server-error"))

    # Before there is a session

    def _begin(self, element: Element) -> Coroutine[None, None, None] | None:
        if element.namespace == names.SASL:
            return self._sasl(element)
        if self.identity is None:
            raise StreamError("not-authorized", "Log in first.")
        iq = self._server.stanza(element)
        wanted = wanted_resource(iq)
        if wanted is None:
            raise StreamError("not-authorized", "Bind a resource first.")
        return self._bind(iq, wanted)

    def _sasl(self, element: Element) -> Coroutine[None, None, None] | None:
        if self.state is not State.CONNECTED:
            raise StreamError("not-authorized", "You have logged in already.")
        match element.name:
            case "auth":
                offered = self._server.mechanism(element.get("mechanism") or "")
                if offered is None:
                    self._login_failed(Failure("invalid-mechanism"))
                    return None
                self._mechanism = offered(self._server.gate(self.domain))
            case "response" if self._mechanism is not None:
                pass
            case "abort":
                self._login_failed(Failure("aborted"))
                return None
            case _:
                self._login_failed(Failure("malformed-request"))
                return None
        try:
            data = _decoded(element)
        except Failure as refused:
            self._login_failed(refused)
            return None
        if data is None and element.name == "auth" and _client_first(self._mechanism):
            self.send(Element("challenge", names.SASL))
            return None
        return self._step(data or b"")

    async def _step(self, data: bytes) -> None:
        mechanism = self._mechanism
        assert mechanism is not None
        try:
            step = await mechanism.step(data)
        except Failure as refused:
            self._login_failed(refused)
            return
        if step.identity is None:
            self.send(leaf("challenge", names.SASL, _encoded(step.data)))
            return
        self.identity = step.identity
        self.state = State.AUTHENTICATED
        self._mechanism = None
        self.send(leaf("success", names.SASL, _encoded(step.data) if step.data else ""))

    def _login_failed(self, refused: Failure) -> None:
        self._mechanism = None
        self._logins += 1
        said = described(refused.condition, names.SASL, refused.text)
        self.send(Element("failure", names.SASL, {}, said))
        if self._logins >= MAX_LOGINS:
            self.fail(StreamError("policy-violation", f"{MAX_LOGINS} logins have failed."))

    async def _bind(self, iq: Element, wanted: str) -> None:
        assert self.identity is not None
        session = await self._server.join(self, self.identity, wanted)
        if self.state is State.CLOSED:
            # The client left while its resource was bound.
            self._server.leave(session)
            return
        self.session = session
        self.state = State.BOUND
        self.login_by = NEVER
        self.send(result(iq.having({"from": None, "to": None}), bind_result(session.jid.text)))

    def __repr__(self) -> str:
        who = self.session.jid.text if self.session is not None else self.domain
        return f"<Stream {self.state.value} {who} {len(self._queue)} queued>"


def _unstored(error: StoreError) -> StanzaError:
    if isinstance(error, TooLarge):
        return StanzaError("resource-constraint", str(error), type="cancel")
    return StanzaError("internal-server-error", error.public, type="wait")


def _client_first(mechanism: Mechanism | None) -> bool:
    # A mechanism of an entry point may be older than this attribute.
    return getattr(mechanism, "client_first", False)


def _decoded(element: Element) -> bytes | None:
    """The data of a SASL element: None without any, and b"" for `=`, data of no length (RFC 6120
    §6.4.2)."""
    text = element.text.strip()
    if not text:
        return None
    try:
        return b"" if text == "=" else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Failure("incorrect-encoding") from None


def _encoded(data: bytes | None) -> str:
    return base64.b64encode(data).decode() if data else "="
