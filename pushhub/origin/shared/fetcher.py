"""A shared fetch: one request, mostly a conditional GET, and whether its response is shared."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, ClassVar, Protocol

from pushhub.http.accept import directives
from pushhub.http.problem import Problem
from pushhub.http.traceparent import in_context
from pushhub.origin.headers import end_to_end, to_origin
from pushhub.origin.request import ProxiedRequest
from pushhub.origin.shared.change_rule import change_rule
from pushhub.origin.shared.key import vary_of
from pushhub.origin.shared.representation import MAX_BODY_BYTES, Representation

if TYPE_CHECKING:
    from pushhub.http.response import Headers
    from pushhub.origin.client.pool import OriginClient
    from pushhub.origin.headers import ForwardedStyle
    from pushhub.origin.request import Pairs
    from pushhub.origin.shared.change_rule import ChangeRule
    from pushhub.origin.shared.fetch_waiters import FetchWaiters
    from pushhub.origin.shared.key import Key
    from pushhub.settings.route import Route

# A fetch serves all clients that share its key, so it names none of their user agents.
USER_AGENT = (b"User-Agent", b"pushhub")

# Longer than any maintenance page asks for; an operator who means hours turns the route off.
MAX_RETRY_AFTER = 300.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A representation that can be shared. `vary` are the headers that it varies by."""

    label: ClassVar = "found"
    representation: Representation
    vary: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """304: the representation that was known is still current."""

    label: ClassVar = "unchanged"


@dataclass(frozen=True, slots=True)
class Unshareable:
    """A response for one client only. The log and `routes check` print the `reason`."""

    label: ClassVar = "alone"
    reason: str


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """A 5xx or a 429, or no response at all."""

    label: ClassVar = "failed"
    problem: Problem | None
    representation: Representation | None = None
    retry_after: float = 0.0


FetchResult = Fetched | Unchanged | Unshareable | FetchFailed


class FetchSpan(Protocol):
    """The span of one fetch."""

    @property
    def traceparent(self) -> str:
        """Its context, for the origin."""

    def end(self, result: str, status: int | None) -> None:
        """The fetch has a result."""


class FetchTracer(Protocol):
    """Begins the spans of fetches."""

    def begin(self, method: str, url: str, waiters: list[str]) -> FetchSpan | None:
        """The span of a fetch for requests with these trace contexts; None without any."""


class Fetcher:
    """The shared fetches of one process, of which at most `concurrency` run at a time."""

    def __init__(self, client: OriginClient, style: ForwardedStyle, concurrency: int) -> None:
        self._client = client
        self._style = style
        self._slots = asyncio.Semaphore(concurrency)
        self.tracer: FetchTracer | None = None
        self.results = {"found": 0, "unchanged": 0, "alone": 0, "failed": 0}
        """Fetches by their result."""

    async def fetch(
        self,
        key: Key,
        pairs: Pairs,
        known: Representation | None,
        route: Route,
        waiters: FetchWaiters | None = None,
    ) -> FetchResult:
        """Fetch the resource of a key with the headers of `headers_for`; conditionally, if a
        representation with the origin's own validator is known, which the route does not ignore.
        The route says what counts as a change. `waiters` are the requests that wait for it.
        """
        rule = change_rule(route)
        conditional = known is not None and known.own_tag and not rule.ignores_tag
        # With another method the condition would ask for a 412 (RFC 9110 §13.1.2).
        is_get = key.method == "GET"
        if is_get and conditional and known and (etag := known.header(b"etag")):
            pairs = (*pairs, (b"If-None-Match", etag))
        if codings := rule.codings(key.codings):
            pairs = (*pairs, (b"Accept-Encoding", codings.encode()))
        result: FetchResult
        span = None
        if self.tracer is not None and waiters is not None:
            span = self.tracer.begin(key.method, key.url, waiters.trace_contexts())
        if span is not None:
            pairs = in_context(span.traceparent, pairs)
        async with self._slots:
            try:
                result = await self._fetch(key, pairs, known, rule, route)
            except Problem as problem:
                result = FetchFailed(problem)
        if span is not None:
            span.end(result.label, _status(result))
        self.results[result.label] += 1
        return result

    async def _fetch(
        self,
        key: Key,
        pairs: Pairs,
        known: Representation | None,
        rule: ChangeRule,
        route: Route,
    ) -> FetchResult:
        response = await self._client.request(key.method, key.url, pairs, key.body or None)
        try:
            if response.status == 304 and known is not None:
                return Unchanged()
            body = bytearray()
            while piece := await response.read():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    return Unshareable(f"the body is larger than {MAX_BODY_BYTES} bytes")
        finally:
            response.close()
        headers, failed = end_to_end(response.pairs), response.status >= 500
        if failed or response.status == 429:
            # All waiting clients get the error, and a cookie is for one client.
            headers = tuple(pair for pair in headers if pair[0].lower() != b"set-cookie")
            error = Representation(response.status, response.reason, headers, bytes(body))
            return FetchFailed(None, error, _retry_after(error))
        if route.drop_set_cookie:
            headers = _without_cookies(headers, route.drop_set_cookie)
        representation = Representation(
            response.status, response.reason, headers, bytes(body), rule
        )
        vary = shareable_vary(headers, personal=key.personal)
        if not isinstance(vary, str) and not representation.fits:
            vary = "the headers are larger than 16 KiB"
        return Unshareable(vary) if isinstance(vary, str) else Fetched(representation, vary)

    def headers_for(self, key: Key, request: ProxiedRequest) -> Pairs:
        """The headers of a fetch: those of the request that are part of the key, and pushhub's own.
        They name no client, because the fetch serves all of them.
        """
        names = {*(name.encode("latin-1") for name in key.names), b"host"}
        if key.body is not None:
            names |= {b"content-type", b"content-length"}
        kept = tuple(pair for pair in request.pairs if pair[0].lower() in names)
        if request.match.route.identity_cookies:
            kept = tuple(pair for pair in kept if pair[0].lower() != b"cookie")
            if key.cookies:
                kept += ((b"Cookie", key.cookies.encode("latin-1")),)
        if b"user-agent" not in names:
            kept += (USER_AGENT,)
        fetch = ProxiedRequest(
            key.method, request.target, kept, trusted=request.trusted, scheme=request.scheme
        )
        return to_origin(fetch, self._style)


def shareable_vary(headers: Headers, *, personal: bool) -> frozenset[str] | str:
    """The headers that a response varies by, if all clients with the same request may share it.
    Else the reason why not, as the end of a sentence (RFC 9111 §3). `personal` says that all of
    these clients name the same user.

    `no-store` is no such reason. It keeps caches from storing a response for later requests (RFC
    9111 §5.2.2.5). Clients that wait together have sent the same request with the same credentials,
    and the fetch is for all of them. Many frameworks send `no-store` with every response; only
    `private` and `Set-Cookie` say that a response is for one client.
    """
    values: dict[bytes, bytes] = {}
    for name, value in headers:
        values[name.lower()] = values.get(name.lower(), b"") + value.lower() + b","
    vary = vary_of(values.get(b"vary", b"").decode("latin-1"))
    if vary is None:
        return "'Vary: *' excludes shared responses"
    if b"set-cookie" in values:
        return "the response sets a cookie, which is for one client"
    cache_control = values.get(b"cache-control", b"").decode("latin-1")
    if not personal and "private" in directives(cache_control):
        return "the response is private, and no header names the client"
    return vary


def _status(result: FetchResult) -> int | None:
    """The status of the origin's response, as far as the result has it."""
    match result:
        case Fetched(representation) | FetchFailed(_, Representation() as representation):
            return representation.status
        case Unchanged():
            return 304
    return None


def _without_cookies(headers: Headers, names: tuple[str, ...]) -> Headers:
    """The headers of a response without the `Set-Cookie` lines of these cookies."""
    dropped = {name.encode() for name in names}
    return tuple(
        (name, value)
        for name, value in headers
        if name.lower() != b"set-cookie" or value.partition(b"=")[0].strip() not in dropped
    )


def _retry_after(representation: Representation) -> float:
    """The seconds of `Retry-After` (RFC 9110 §10.2.3), bounded; 0 without it."""
    text = (representation.header(b"retry-after") or b"").decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:6]), MAX_RETRY_AFTER)
    try:
        parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    # A date needs a clock that agrees with the origin's; half the bound is a fair guess.
    return MAX_RETRY_AFTER / 2
