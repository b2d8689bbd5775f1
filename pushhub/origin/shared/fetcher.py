"""One look at a resource: ask the origin for it whole, and say whether it can be shared."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, ClassVar

from pushhub.http.accept import directives
from pushhub.http.problem import Problem
from pushhub.origin.headers import end_to_end, to_origin
from pushhub.origin.request import ProxiedRequest
from pushhub.origin.shared.key import vary_of
from pushhub.origin.shared.representation import MAX_BODY_BYTES, Representation

if TYPE_CHECKING:
    from pushhub.http.response import Headers
    from pushhub.origin.client.pool import OriginClient
    from pushhub.origin.headers import Manner
    from pushhub.origin.request import Pairs
    from pushhub.origin.shared.key import Key

# A look is nobody's request: it is made for all who share its key.
_WHO = (b"User-Agent", b"pushhub")

# Longer than any maintenance page asks for; an operator who means hours turns the route off.
MAX_RETRY_AFTER = 300.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the origin has now. `vary` are the headers that it varies by."""

    result: ClassVar = "found"
    representation: Representation
    vary: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The origin has what we had: 304."""

    result: ClassVar = "unchanged"


@dataclass(frozen=True, slots=True)
class Alone:
    """This can be given to nobody else, for a reason that the log and `routes check` tell."""

    result: ClassVar = "alone"
    reason: str


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """The origin could not say: a 5xx or a 429, or no answer at all."""

    result: ClassVar = "failed"
    problem: Problem | None
    representation: Representation | None = None
    retry_after: float = 0.0


Look = Fetched | Unchanged | Alone | FetchFailed


class Fetcher:
    """Looks of one process at its origins, of which so many are under way at one time."""

    def __init__(self, client: OriginClient, manner: Manner, at_once: int) -> None:
        self._client = client
        self._manner = manner
        self._turns = asyncio.Semaphore(at_once)
        self.results = {"found": 0, "unchanged": 0, "alone": 0, "failed": 0}
        """How many looks came to what."""

    async def look(self, key: Key, pairs: Pairs, known: Representation | None) -> Look:
        """Ask for what `key` names, with the headers that `pairs` gave."""
        if known is not None and not known.ours and (etag := known.header(b"etag")):
            pairs = (*pairs, (b"If-None-Match", etag))
        if key.codings:
            pairs = (*pairs, (b"Accept-Encoding", key.codings.encode()))
        look: Look
        async with self._turns:
            try:
                look = await self._ask(key, pairs, known)
            except Problem as problem:
                look = FetchFailed(problem)
        self.results[look.result] += 1
        return look

    async def _ask(self, key: Key, pairs: Pairs, known: Representation | None) -> Look:
        response = await self._client.ask("GET", key.url, pairs)
        try:
            if response.status == 304 and known is not None:
                return Unchanged()
            body = bytearray()
            while piece := await response.piece():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    return Alone(f"the body is larger than {MAX_BODY_BYTES} bytes")
        finally:
            response.close()
        headers, failed = end_to_end(response.pairs), response.status >= 500
        if failed or response.status == 429:
            # All who ask hear of it, and a cookie is for one client.
            headers = tuple(pair for pair in headers if pair[0].lower() != b"set-cookie")
            error = Representation(response.status, response.reason, headers, bytes(body))
            return FetchFailed(None, error, _retry_after(error))
        found = Representation(response.status, response.reason, headers, bytes(body))
        vary = shared(headers, personal=key.personal)
        if not isinstance(vary, str) and not found.fits:
            vary = "the headers are larger than 16 KiB"
        return Alone(vary) if isinstance(vary, str) else Fetched(found, vary)

    def pairs(self, key: Key, asked: ProxiedRequest) -> Pairs:
        """The headers of a look at what `key` names: those of the request that are part of the key,
        and ours. It names no client, since it is for all of them.
        """
        names = {*(name.encode("latin-1") for name in key.names), b"host"}
        kept = tuple(pair for pair in asked.pairs if pair[0].lower() in names)
        if b"user-agent" not in names:
            kept += (_WHO,)
        look = ProxiedRequest("GET", asked.target, kept, trusted=asked.trusted, scheme=asked.scheme)
        return to_origin(look, self._manner)


def shared(headers: Headers, *, personal: bool) -> frozenset[str] | str:
    """What a response varies by, if it may be given to all who ask for the same; or why not, as the
    end of a sentence (RFC 9111 §3). `personal` is whether they all say that they are the same one.
    """
    said: dict[bytes, bytes] = {}
    for name, value in headers:
        said[name.lower()] = said.get(name.lower(), b"") + value.lower() + b","
    vary = vary_of(said.get(b"vary", b"").decode("latin-1"))
    if vary is None:
        return "'Vary: *' excludes shared responses"
    if b"set-cookie" in said:
        return "the response sets a cookie, which is for one client"
    if not personal and "private" in directives(said.get(b"cache-control", b"").decode("latin-1")):
        return "the response is private, and no header names the client"
    return vary


def _retry_after(representation: Representation) -> float:
    """For how many seconds the origin asks to be left alone (RFC 9110 §10.2.3)."""
    text = (representation.header(b"retry-after") or b"").decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:6]), MAX_RETRY_AFTER)
    try:
        parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    # A date needs a clock that agrees with the origin's; half the bound is a fair guess.
    return MAX_RETRY_AFTER / 2
