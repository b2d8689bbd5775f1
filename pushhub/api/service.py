"""The context of every endpoint: the hub, the authority, the settings. `app.py` makes it once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from pushhub.api.audit import audit_log
from pushhub.api.listener_guard import ListenerGuard
from pushhub.api.webhooks import webhooks_of
from pushhub.auth.caller import Callers
from pushhub.auth.limits import Limits
from pushhub.http.byte_budget import ByteBudget
from pushhub.http.client_address import counted_network
from pushhub.http.connection_record import MAX_RECORDS, ConnectionRecords
from pushhub.http.forwarded import TrustedProxies
from pushhub.http.problem import Problem, retry_after
from pushhub.http.rate_limit_fields import rate_limit_fields
from pushhub.hub.hold import Hold
from pushhub.runtime import Runtime
from pushhub.store.base import NamespaceFull, SharedTokens, StoreError
from pushhub.store.namespace_bytes import SWEEP_SECONDS
from pushhub.tasks import TaskSet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from pushhub.api.bosh_handler import BoshHandler
    from pushhub.api.canary_metrics import CanaryFigures
    from pushhub.api.reload import ReloadOutcome
    from pushhub.api.request_spans import RequestTracer
    from pushhub.api.revocation_register import RevocationRegister
    from pushhub.api.webhooks import Webhook
    from pushhub.auth.audit import AuditLog
    from pushhub.auth.authenticator import Authenticator
    from pushhub.auth.jwks import Jwks
    from pushhub.auth.tickets import Tickets
    from pushhub.http.byte_budget import ByteLease
    from pushhub.http.request import Request
    from pushhub.http.response import Response
    from pushhub.hub.hub import Hub
    from pushhub.origin.shared.notifications import Notifications
    from pushhub.origin.sources.change_sources import ChangeSources
    from pushhub.settings import Settings
    from pushhub.store.base import Retention


log = structlog.get_logger(__name__)


def namespace_full(error: NamespaceFull) -> Problem:
    """The problem of a publish beyond `retained_bytes`, with the fields of other limits."""
    # The store removes aged events so often. When some of these are old enough is not known.
    seconds = int(SWEEP_SECONDS)
    return Problem(
        "namespace-full",
        f"The channels of the namespace {error.namespace!r} keep as many bytes as they may"
        f" ({error.limit:,}). Publish again when events have aged, or delete channels.",
        headers=(
            retry_after(seconds),
            *rate_limit_fields("namespace-bytes", error.limit, "content-bytes", 0, seconds),
        ),
        policy="namespace-bytes",
        namespace=error.namespace,
        limit=error.limit,
    )


def store_unavailable(error: StoreError) -> Problem:
    """The problem while the store cannot be used: nothing was acknowledged."""
    if isinstance(error, NamespaceFull):
        return namespace_full(error)
    return Problem("store-unavailable", error.public, headers=(retry_after(1),))


class OtherWorkers(Protocol):
    """The other workers on this machine."""

    async def open(self, service: Service) -> None:
        """Listen to them."""

    async def metrics(self) -> list[str]:
        """The text of `/metrics` of each worker alone."""


@dataclass(slots=True)
class Service:
    """One hub and its surroundings. Endpoints are functions of it and of a request."""

    hub: Hub
    authority: Authenticator
    settings: Settings
    runtime: Runtime = field(default_factory=Runtime)
    callers: Callers = field(init=False)
    """The clients of this hub as limits count them, and the limits."""
    rejected: dict[str, int] = field(default_factory=dict)
    """The number of responses with each problem, by its slug."""
    jwks: Jwks | None = None
    """The keys of an identity provider, if one is configured."""
    tickets: Tickets | None = None
    """Set when the store is open. The store keeps the secret that all workers share."""
    peers: OtherWorkers | None = None
    """The other workers on this machine, where there are any."""
    revocations: RevocationRegister | None = None
    """The revoked keys and tokens. Set by the app."""
    bosh: BoshHandler | None = None
    """Handles the requests to `/http-bind`, where an XMPP domain is served."""
    notifications: Notifications | None = None
    """Notifications of changed resources, where there is an origin."""
    sources: ChangeSources | None = None
    """Databases and files that notify of changes, where there is an origin."""
    tracer: RequestTracer | None = None
    """Begins the spans of requests, where the hub is traced."""
    canary: CanaryFigures | None = None
    """The canary of this process, where a server runs one."""
    sessions: Callable[[], int] | None = None
    """Counts the sessions, where an endpoint has sessions."""
    session_bytes: Callable[[], int] | None = None
    """The bytes that these sessions hold."""
    replaced: Mapping[str, int] = field(default_factory=lambda: {"died": 0, "hung": 0})
    """The workers that the supervisor has replaced, by reason; only the first worker knows."""
    stored: int = 0
    """The channels of the store at the last request for the metrics."""
    connections: ConnectionRecords = field(default_factory=lambda: ConnectionRecords(MAX_RECORDS))
    """The ends of connections that asked for one (`GET /v1/request`)."""
    retained: dict[str, int] = field(default_factory=dict)
    """The bytes of each namespace with a limit, at the last request for the metrics."""
    reload: Callable[[], Awaitable[ReloadOutcome]] | None = None
    """Reads the settings again, where a server can."""
    forget_rights: list[Callable[[], None]] = field(default_factory=list)
    """Called after each reload: the caches that depend on rights are cleared."""
    leaving: bool = False
    """Whether the process is about to end: /readyz says so before the first hold is completed."""
    guard: ListenerGuard = field(init=False)
    """The check of `Host`, for listeners and routes that trust their network."""
    audit: AuditLog = field(init=False)
    """Records management actions and refusals."""
    webhooks: Mapping[str, Webhook] = field(init=False)
    """The sources of signed notifications, by their names."""
    retention: Callable[[str], Retention] = field(init=False)
    """The retention of a channel, by its name."""
    budget: ByteBudget = field(init=False)
    """The bytes of incomplete requests, of all listeners and both drivers."""
    proxies: TrustedProxies = field(init=False)
    _tasks: TaskSet = field(default_factory=TaskSet)

    def __post_init__(self) -> None:
        settings, hub = self.settings, self.hub
        self.guard = ListenerGuard(settings)
        self.budget = ByteBudget(settings.max_body_bytes, settings.max_body_bytes_per_address)
        self.proxies = TrustedProxies(settings.trusted_proxies)
        tokens = hub.store if isinstance(hub.store, SharedTokens) else None
        process = self.runtime.random_bytes(8).hex() if tokens is not None else ""
        limits = Limits(settings, lambda: hub.now(), self.runtime.uniform, hub.log, tokens, process)
        self.callers = Callers(limits, self.proxies)
        self.audit = audit_log(hub, settings, self.runtime)
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take other settings after a reload, except for the keys, which the authority has."""
        self.settings = settings
        # pydantic reads private attributes slowly, and every publish needs this.
        self.retention = settings.retentions()
        self.webhooks = webhooks_of(settings.sources)
        self.hub.max_holds = settings.max_holds
        self.callers.limits.configure(settings)
        if self.canary is not None:
            self.canary.configure(settings)
        for forget in self.forget_rights:
            forget()

    def client_key(self, address: str) -> str:
        """The key under which limits count a client; empty if they do not count its address."""
        return counted_network(address, self.proxies)

    def lease(self, address: str) -> ByteLease:
        """The bytes of one incomplete request of a client."""
        return self.budget.lease(self.client_key(address))

    def later(self, work: Coroutine[None, None, Response]) -> Hold:
        """The hold of a request that awaits the store. Such requests are rare: a list, a delete."""
        hold = Hold()
        self._tasks.spawn(self._finish(hold, work))
        return hold

    def managed(
        self, request: Request, action: str, target: str, work: Coroutine[None, None, Response]
    ) -> Hold:
        """The hold of a management action, which leaves a line in the audit log with its result,
        also if the client disconnects meanwhile.
        """
        actor = self.audit.actor(request)

        def ended(failure: Problem | None) -> None:
            if failure is None:
                self.audit.record(action, actor, target)
                return
            reason, detail = failure.slug, failure.detail
            self.audit.record(action, actor, target, outcome="failed", reason=reason, detail=detail)

        hold = Hold()
        self._tasks.spawn(self._finish(hold, work, ended))
        return hold

    async def _finish(
        self,
        hold: Hold,
        work: Coroutine[None, None, Response],
        ended: Callable[[Problem | None], None] | None = None,
    ) -> None:
        failure: Problem | None = None
        try:
            response = await work
        except Problem as problem:
            failure = problem
        except StoreError as error:
            failure = store_unavailable(error)
        except Exception:
            self.hub.log.exception(log, "request.failed")
            failure = Problem("internal", "Internal error; see the server log.")
        if failure is not None:
            response = self.refuse(failure)
        if ended is not None:
            ended(failure)
        hold.complete(response)

    def refuse(self, problem: Problem, request: Request | None = None) -> Response:
        """Count a problem, and make its response. The audit log gets refusals of a `request`, and
        those by a limit.
        """
        if request is not None:
            self.audit.refused(problem, request)
        else:
            self.audit.limited(problem)
        self.rejected[problem.slug] = self.rejected.get(problem.slug, 0) + 1
        return problem.response()

    async def close(self) -> None:
        """Wait for the requests that still await the store."""
        await self._tasks.wait()
