"""One look at a resource: ask the origin for it whole, and say whether it can be shared."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pushhub.origin.headers import to_origin
from pushhub.origin.key import vary_of
from pushhub.protocol.problem import Problem
from pushhub.protocol.representation import MAX_BODY_BYTES, Representation

if TYPE_CHECKING:
    from pushhub.origin.asked import Asked, Pairs
    from pushhub.origin.client import Client
    from pushhub.origin.headers import Manner
    from pushhub.origin.key import Key

# What one client said for itself: conditions of its own, a part, a wish.
_PERSONAL = frozenset(
    {
        b"accept-encoding",
        b"cache-control",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"pragma",
        b"prefer",
        b"range",
        b"wait",
    }
)

# Longer than any maintenance page asks for; an operator who means hours turns the route off.
MAX_RETRY_AFTER = 300.0


@dataclass(frozen=True, slots=True)
class Found:
    """What the origin has now. `vary` are the headers that it varies by."""

    representation: Representation
    vary: frozenset[str]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The origin has what we had: 304."""


@dataclass(frozen=True, slots=True)
class Alone:
    """This can be given to nobody else, for a reason that `routes check` prints."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The origin could not say: a 5xx or a 429, or no answer at all."""

    problem: Problem | None
    representation: Representation | None = None
    retry_after: float = 0.0


Look = Found | Unchanged | Alone | Failed


class Fetching:
    """Looks of one process at its origins, of which so many are under way at one time."""

    def __init__(self, client: Client, manner: Manner, at_once: int) -> None:
        self._client = client
        self._manner = manner
        self._turns = asyncio.Semaphore(at_once)
        self.results = {"found": 0, "unchanged": 0, "alone": 0, "failed": 0}
        """How many looks came to what."""

    async def look(
        self, key: Key, pairs: Pairs, known: Representation | None, *, personal: bool
    ) -> Look:
        """Ask for what `key` names, with `pairs` as `request_pairs` made them. `personal` is
        whether they say who asks.
        """
        if known is not None and not known.ours and (etag := known.header(b"etag")):
            pairs = (*pairs, (b"If-None-Match", etag))
        if key.codings:
            pairs = (*pairs, (b"Accept-Encoding", key.codings.encode()))
        look: Look
        async with self._turns:
            try:
                look = await self._ask(key, pairs, known, personal=personal)
            except Problem as problem:
                look = Failed(problem)
        self.results[type(look).__name__.lower()] += 1
        return look

    async def _ask(
        self, key: Key, pairs: Pairs, known: Representation | None, *, personal: bool
    ) -> Look:
        response = await self._client.ask("GET", key.url, pairs)
        try:
            if response.status == 304 and known is not None:
                return Unchanged()
            body = bytearray()
            while piece := await response.piece():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    return Alone(f"it is larger than {MAX_BODY_BYTES} bytes")
        finally:
            response.close()
        representation = Representation(
            response.status, response.reason, response.pairs, bytes(body)
        )
        if response.status == 429 or response.status >= 500:
            return Failed(None, representation, _retry_after(representation))
        return _shared(representation, personal=personal)

    def pairs(self, asked: Asked) -> Pairs:
        """The headers of a request, without what its client said for itself alone."""
        return tuple(
            pair for pair in to_origin(asked, self._manner) if pair[0].lower() not in _PERSONAL
        )


def _shared(representation: Representation, *, personal: bool) -> Found | Alone:
    """Whether a response may be given to all who ask for the same (RFC 9111 §3)."""
    values = [v.decode("latin-1") for n, v in representation.headers if n.lower() == b"vary"]
    vary = vary_of(", ".join(values))
    if vary is None:
        return Alone("'Vary: *' says that no two requests are alike")
    if representation.header(b"set-cookie") is not None:
        return Alone("it sets a cookie, which is for one client")
    control = (representation.header(b"cache-control") or b"").lower()
    if b"private" in control and not personal:
        return Alone("it is private, and no header says for whom")
    if not representation.fits:
        return Alone("its headers are larger than 16 KiB")
    return Found(representation, vary)


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
