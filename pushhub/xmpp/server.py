"""The XMPP server of one process: everything of it, put together."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import structlog

from pushhub.auth.tokens import Tokens
from pushhub.protocol.grant import EVERYTHING, Grant
from pushhub.store.base import StoreError
from pushhub.xmpp import names
from pushhub.xmpp.accounts import Accounts
from pushhub.xmpp.archive import archived_as
from pushhub.xmpp.gate import Gate
from pushhub.xmpp.handover import load_session, resume_feeds
from pushhub.xmpp.home import Home
from pushhub.xmpp.jid import Jid, parse_jid
from pushhub.xmpp.messages import Messages
from pushhub.xmpp.nodes import Nodes
from pushhub.xmpp.presences import Presences
from pushhub.xmpp.queries import Queries
from pushhub.xmpp.registers import Registers
from pushhub.xmpp.roster import Rosters
from pushhub.xmpp.sasl import Identity, Mechanism, mechanisms
from pushhub.xmpp.session import Session
from pushhub.xmpp.stanza import StanzaError, StreamError, failure, may_fail
from pushhub.xmpp.stream import Stream, Transport
from pushhub.xmpp.xep import EXTENSIONS
from pushhub.xmpp.xep.caps import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from pushhub.hub.hub import Hub
    from pushhub.protocol.xml import Element
    from pushhub.xmpp.policy import Policy
    from pushhub.xmpp.xep.pubsub.feeds import Feeds

log = structlog.get_logger(__name__)

STANZAS = frozenset({"message", "presence", "iq"})

# How often it is written down up to where messages were delivered: what a crash brings again is at
# most what came in this time.
REMEMBER_SECONDS = 5.0

# Each domain has its PubSub service under this name; Prosody's and ejabberd's documentation use it.
PUBSUB_HOST = "pubsub"

TOKEN_MECHANISMS = frozenset({"OAUTHBEARER", "X-OAUTH2"})


class Server:
    """Serves the domains of the settings, on one hub.

    Args:
        random_bytes: draws so many unpredictable bytes.
    """

    def __init__(
        self,
        hub: Hub,
        settings: Policy,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.hub = hub
        self.settings = settings
        self.random_bytes = random_bytes
        self.retention = settings.retentions()
        local = ("localhost",) if settings.dev and not settings.xmpp_domains else ()
        self.domains = frozenset((*settings.xmpp_domains, *local))
        self.services = frozenset(map(self.service_of, self.domains))
        self._tokens = Tokens(
            settings.token_keys,
            now=hub.clock,
            audience=settings.token_audience,
            issuer=settings.token_issuer,
        )
        self._mechanisms = self._offer()
        self._secret = random_bytes(32)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.homes: dict[str, Home] = {}
        # Those whose last session has gone, until it is written down what it got.
        self._closing: dict[str, Home] = {}
        self.feeds: Feeds
        self.registers = Registers(hub)
        self.accounts = Accounts(self.registers, random_bytes)
        self.nodes = Nodes(self)
        self.rosters = Rosters(self.registers, self.nodes, settings.xmpp_roster_items)
        self.messages = Messages(self)
        self.presences = Presences(self)
        self.extensions = EXTENSIONS
        self.queries = Queries(self)
        for extension in self.extensions:
            if extension.begin is not None:
                extension.begin(self)
        self.caps_node = "https://pushhub.dev"
        self.caps_version = version_of(self)

    def _offer(self) -> dict[str, type[Mechanism]]:
        settings, known = self.settings, mechanisms()
        anonymous = settings.dev or settings.xmpp_anonymous
        offered = {name: known[name] for name in settings.xmpp_mechanisms if name in known}
        if missing := [name for name in settings.xmpp_mechanisms if name not in known]:
            log.warning("xmpp.unknown_mechanisms", names=missing)
        return {
            name: mechanism
            for name, mechanism in offered.items()
            if (name != "ANONYMOUS" or anonymous)
            and (name not in TOKEN_MECHANISMS or settings.token_keys)
        }

    @property
    def offered(self) -> list[str]:
        """The mechanisms that clients are offered, the best first."""
        return list(self._mechanisms)

    async def open(self) -> None:
        """Begin, on a hub that is open.

        Raises:
            StoreError: the store cannot be used now.
        """
        # Salts of accounts that do not exist must not change with the process.
        self._secret = await self._decoy_secret()
        await self.nodes.open()

    async def close(self) -> None:
        """End every stream, and finish what was begun."""
        if self._timer is not None:
            self._timer.cancel()
        for home in list(self.homes.values()):
            for session in list(home.sessions.values()):
                session.stream.fail(StreamError("system-shutdown"))
        await self.settle()
        await self.nodes.close()

    # For transports

    def stream(self, domain: str, transport: Transport) -> Stream | None:
        """A new stream of a client to `domain`, to be opened; None if that is not served here."""
        domain = domain.lower().removesuffix(".")
        return Stream(self, domain, transport) if domain in self.domains else None

    # For streams

    def stanza(self, element: Element) -> Element:
        """The stanza that a client sent.

        Raises:
            StreamError: it is none.
        """
        if element.namespace != names.CLIENT or element.name not in STANZAS:
            raise StreamError("unsupported-stanza-type", "A stanza is message, presence or iq.")
        return element

    def mechanism(self, name: str) -> type[Mechanism] | None:
        """The mechanism of a name, if it is offered."""
        return self._mechanisms.get(name)

    def gate(self, domain: str) -> Gate:
        """What a login at `domain` can ask."""
        return Gate(self, domain, self._tokens, self._secret)

    async def join(self, stream: Stream, identity: Identity, resource: str) -> Session:
        """Bind a resource; "" draws one. Whoever has it now is sent away (RFC 6120 §7.7.2.2).

        Raises:
            StanzaError: the account has as many as it may.
            StoreError: the store cannot be used now.
        """
        local = identity.local
        if identity.anonymous:
            local = self.nodes.mark(local)
        jid = Jid(local, stream.domain, resource or self.draw_id())
        home = self._home(jid, identity)
        old = home.sessions.get(jid.resource)
        if old is None and len(home.sessions) >= self.settings.xmpp_resources:
            text = f"An account has at most {self.settings.xmpp_resources} sessions."
            raise StanzaError("resource-constraint", text)
        session = Session(self, stream, home, jid, identity)
        home.sessions[jid.resource] = session
        if old is not None:
            old.stream.fail(_conflict())
        try:
            await home.open()
            await self.nodes.join(session)
            await self.feeds.arrived(session)
        except StoreError:
            self._forget(session)
            raise
        return session

    def _home(self, jid: Jid, identity: Identity) -> Home:
        home = self.homes.get(jid.bare)
        if home is None:
            bare = jid.with_resource("")
            home = self.homes[jid.bare] = Home(self, bare, anonymous=identity.anonymous)
            if self._timer is None:
                self._later()
        return home

    async def adopt(self, stream: Stream, identity: Identity, record: Any) -> Session:
        """Go on with a session that another node has left.

        Raises:
            StoreError: the store cannot be used now.
        """
        jid = parse_jid(record["jid"])
        home = self._home(jid, identity)
        session = load_session(self, stream, home, jid, identity, record)
        home.sessions[jid.resource] = session
        # To others of the account everything up to here came, while it was between two nodes.
        upto = home.delivered.offset if home.caught_up and home.delivered is not None else None
        paused = home.pause()
        try:
            await home.open()
            session.attend()
            await self.nodes.join(session, moved=True)
            await self.feeds.arrived(session)
            await resume_feeds(session, record)
            if session.takes_messages:
                if upto is None and home.delivered is not None:
                    # A session on another node got these, as the account's marker says.
                    upto = home.delivered.offset
                await home.bring(session, record["at"], upto or 0)
                await home.catch_up(session, paused=paused)
                paused = False
        except StoreError:
            self._forget(session)
            raise
        finally:
            if paused:
                home.go_on()
        return session

    def suspend(self, session: Session) -> None:
        """A session goes on elsewhere: it is not here any more, and nobody is told of an end."""
        self._forget(session)
        self.feeds.left(session)
        if not session.home.sessions:
            self.spawn(self._close(session.home))

    async def remembered(self, bare: str) -> None:
        """Wait until it is written down what the sessions of an account got that have gone."""
        if (home := self._closing.get(bare)) is not None:
            await home.remember()

    async def _close(self, home: Home) -> None:
        await home.remember()
        if self._closing.get(home.jid.bare) is home:
            del self._closing[home.jid.bare]

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def leave(
        self,
        session: Session,
        undelivered: Sequence[Element] = (),
        unconfirmed: Sequence[Element] = (),
    ) -> None:
        """A session's stream has ended; it was sent what it may not have."""
        home = session.home
        if home.sessions.get(session.jid.resource) is session:
            self._forget(session)
        self.feeds.left(session)
        home.undelivered((*unconfirmed, *undelivered))
        self.spawn(self._left(session, undelivered))

    def evict(self, jid: Jid) -> None:
        """A session's address has been bound by a client of another node."""
        home = self.homes.get(jid.bare)
        session = home.sessions.get(jid.resource) if home is not None else None
        if session is not None:
            session.stream.fail(_conflict())

    def _forget(self, session: Session) -> None:
        home = session.home
        del home.sessions[session.jid.resource]
        if not home.sessions:
            home.close()
            if self.homes.get(home.jid.bare) is home:
                del self.homes[home.jid.bare]
            if not home.anonymous:
                self._closing[home.jid.bare] = home

    async def _left(self, session: Session, undelivered: Sequence[Element]) -> None:
        if not session.home.sessions:
            await self._close(session.home)
        await self.presences.withdraw(session)
        await self.nodes.leave(session)
        for stanza in undelivered:
            await self._bounce(session, stanza)

    async def _bounce(self, session: Session, stanza: Element) -> None:
        """XEP-0206 §12: who sent something to a client that is gone hears of it. What is in an
        archive is not lost, and comes again."""
        if stanza.name == "presence" or not may_fail(stanza):
            return
        sender, bare = stanza.get("from"), session.jid.bare
        if sender is None or archived_as(stanza, bare) is not None:
            return
        to = parse_jid(sender)
        if to.bare != bare and to.resource and to.domain not in self.services:
            kind = "service-unavailable" if stanza.name == "iq" else "recipient-unavailable"
            await self.nodes.stanza(to, failure(stanza, StanzaError(kind)))

    # For all

    def service_of(self, domain: str) -> str:
        """The address of a domain's PubSub service."""
        return f"{PUBSUB_HOST}.{domain}"

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run what must be awaited; the server waits for it at its end."""
        task = asyncio.get_running_loop().create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except StoreError as error:
            self.hub.log.warning(log, "xmpp.store_failed", error=str(error))
        except StanzaError as error:
            condition = error.condition
            self.hub.log.info(log, "xmpp.refused", condition, condition=condition)
        except Exception:
            self.hub.log.exception(log, "xmpp.failed")

    def draw_id(self) -> str:
        """An id that nobody can guess: of a resource, of a request."""
        return self.random_bytes(9).hex()

    def grant(self, session: Session) -> Grant:
        """What a session may do with channels."""
        return EVERYTHING if self.settings.dev else session.identity.grant

    def _later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(REMEMBER_SECONDS, self._remember)

    def _remember(self) -> None:
        self._timer = None
        dirty = [home for home in self.homes.values() if home.dirty]
        if dirty:
            self.spawn(self._remember_all(dirty))
        if self.homes:
            self._later()

    async def _remember_all(self, homes: list[Home]) -> None:
        for home in homes:
            await home.inherit()
            await home.remember()

    async def _decoy_secret(self) -> bytes:
        drawn = self.random_bytes(32)
        secret = await self.registers.change("$xmpp:decoy", lambda old: None if old else drawn)
        assert secret is not None
        return secret

    def __repr__(self) -> str:
        return f"<Server {', '.join(sorted(self.domains))} {len(self.homes)} accounts>"


def _conflict() -> StreamError:
    return StreamError("conflict", "Another client has bound this resource.")
