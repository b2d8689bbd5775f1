"""`POST /v1/tokens/revoke`, and the register that brings revocations to every process.

The entries are values of the server's own channels `$revoked:0` to `$revoked:f`. A process reads
them before it is ready, and follows them like any reader. A writer unites its entry with the stored
ones, by compare-and-set. What a failover lost is written again by each process that knows it.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from pushhub.api.service import store_unavailable
from pushhub.auth.revocation import (
    MAX_NAME,
    SHARDS,
    Revocation,
    RevocationKind,
    RevocationsFull,
)
from pushhub.http.caching import NO_STORE
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.channel_hold import GrantedHold
from pushhub.hub.subscription import Subscription
from pushhub.log.cursor import Start
from pushhub.log.event import Draft
from pushhub.log.json_body import load
from pushhub.log.read import Page
from pushhub.polls.feed import JSON
from pushhub.store.base import (
    NO_VALUE,
    REGISTER,
    Append,
    Appended,
    Expect,
    StoreError,
    StoreUnavailable,
)
from pushhub.tasks import TaskSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.api.service import Service
    from pushhub.auth.revocation import Revocations
    from pushhub.http.request import Request
    from pushhub.hub.hold import Hold
    from pushhub.hub.hub import Hub
    from pushhub.log.event import Event
    from pushhub.log.grant import Grant

log = structlog.get_logger(__name__)

MAX_REVOKE_BYTES = 4 * 1024
# Writers that change one value at a time: more than an operator and a script.
MAX_TRIES = 50
# The pause after a lost race, or a failed write: longer with each try.
PAUSE_SECONDS = 0.01
# Credentials or holds between two turns of the loop: about a millisecond.
CHUNK = 2000
# Reads of the store take milliseconds, and holds end within a second of a revocation.
LATE_SECONDS = 0.5
# An `exp` further away than a century is a mistake, such as milliseconds.
MAX_SECONDS = 100 * 366 * 86_400
# The clocks of an operator and of a node differ.
SKEW_SECONDS = 5.0


def shard_channel(shard: int) -> str:
    """The channel of a shard."""
    return f"$revoked:{shard:x}"


class RevocationRegister:
    """The entries of the log in this process, and their effect on what is held here."""

    def __init__(self, hub: Hub, revocations: Revocations) -> None:
        self._hub = hub
        self.revocations = revocations
        self._subscriptions: list[Subscription] = []
        self._tasks = TaskSet()
        self._is_dirty = False
        self.listeners: list[Callable[[], None]] = []
        """Each is called after credentials were revoked, and ends what rests on them."""

    async def open(self) -> None:
        """Read all entries, and follow them.

        Raises:
            StoreError: the store cannot be read.
        """
        for shard in range(SHARDS):
            data, page = await self._stored(shard)
            self.revocations.take(shard, data)
            subscription = Subscription(
                self._hub,
                shard_channel(shard),
                partial(self._receive, shard),
                page.cursor,
                lost=partial(self._reload, shard),
                gone=partial(self._reload, shard),
            )
            self._subscriptions.append(subscription)
            subscription.start()
        await self.sweep()

    def close(self) -> None:
        """Follow them no more."""
        for subscription in self._subscriptions:
            subscription.stop()
        self._tasks.cancel()

    async def add(self, revocation: Revocation) -> None:
        """Write an entry. After this returns, nothing in this process rests on what it covers.

        Raises:
            StoreError: the entry is not written.
            RevocationsFull: there is no room for it.
        """
        await self._write(revocation.shard, revocation)
        await self.sweep()

    async def _write(self, shard: int, *new: Revocation) -> None:
        for tries in range(1, MAX_TRIES + 1):
            data, page = await self._stored(shard)
            value = self.revocations.value(shard, data, *new)
            expect = Expect(frozenset({page.events[-1].cursor})) if page.events else NO_VALUE
            append = Append(shard_channel(shard), Draft(value), REGISTER, expect)
            (outcome,) = await self._hub.recorded(append)
            if isinstance(outcome, StoreError):
                raise outcome
            if isinstance(outcome, Appended):
                self.revocations.take(shard, value)
                return
            await asyncio.sleep(PAUSE_SECONDS * tries)
        raise StoreUnavailable("Too many revocations are written at the same time.", "busy")

    async def _stored(self, shard: int) -> tuple[bytes, Page]:
        page = await self._hub.store.read(shard_channel(shard), Start.LAST, 1)
        assert isinstance(page, Page)
        return page.events[-1].data if page.events else b"{}", page

    # Following

    def _receive(self, shard: int, event: Event) -> None:
        if self.revocations.take(shard, event.data):
            self._reload(shard)
        if not self._is_dirty:
            self._is_dirty = True
            self._tasks.spawn(self.sweep())

    def _reload(self, shard: int) -> None:
        """The register may lack entries that are known here."""
        self._tasks.spawn(self._repair(shard))

    async def _repair(self, shard: int) -> None:
        for tries in range(1, MAX_TRIES + 1):
            try:
                data, _ = await self._stored(shard)
                if self.revocations.take(shard, data):
                    await self._write(shard)
                break
            except StoreError as error:
                self._hub.log.warning(log, "revocation.not_restored", error=str(error))
                await asyncio.sleep(PAUSE_SECONDS * 2 ** min(tries, 10))
        await self.sweep()

    async def sweep(self) -> None:
        """Mark the credentials in use that are revoked, and end what rests on them."""
        self._is_dirty = False
        is_new = False
        credentials = self.revocations.in_use()
        for start in range(0, len(credentials), CHUNK):
            for credential in credentials[start : start + CHUNK]:
                is_new |= self.revocations.mark(credential)
            if len(credentials) > CHUNK:
                await asyncio.sleep(0)
        if is_new:
            await self._end_holds()
            # A hold whose first read was under way parks now.
            self._tasks.spawn(self._end_late())
            for listener in self.listeners:
                listener()

    async def _end_late(self) -> None:
        await asyncio.sleep(LATE_SECONDS)
        await self._end_holds()

    async def _end_holds(self) -> None:
        now = self._hub.clock()
        entries = self._hub.wheel.entries()
        for start in range(0, len(entries), CHUNK):
            for entry in entries[start : start + CHUNK]:
                if isinstance(entry, GrantedHold) and entry.grant.has_ended(now):
                    entry.expire()
            if len(entries) > CHUNK:
                await asyncio.sleep(0)

    def __len__(self) -> int:
        return len(self.revocations)

    def __repr__(self) -> str:
        return f"<RevocationRegister {self.revocations!r}>"


def revoke(service: Service, request: Request, grant: Grant) -> Hold:
    """`POST /v1/tokens/revoke`: revoke a token, the tokens of a subject, or an API key."""
    service.authority.require_operator(grant)
    revocation, reason = _parse(service, request.body)
    register = service.revocations
    assert register is not None

    async def work() -> Response:
        try:
            await register.add(revocation)
        except RevocationsFull:
            raise Problem("too-large", "The register of revocations is full.") from None
        except StoreError as error:
            raise store_unavailable(error) from None
        entry = {
            revocation.kind.value: revocation.name,
            "before": revocation.before,
            "until": revocation.until,
        }
        log.info("revocation.added", **entry, reason=reason, by=grant.subject)
        return Response(200, (JSON, NO_STORE), orjson.dumps(entry))

    return service.managed(request, "token.revoke", f"{revocation.kind}:{revocation.name}", work())


def _parse(service: Service, body: bytes) -> tuple[Revocation, str]:
    """The entry of a request's body, and its reason.

    Raises:
        Problem: it is none.
    """
    try:
        document: Any = load(body)
    except ValueError:
        document = None
    kinds = [kind for kind in RevocationKind if isinstance(document, dict) and kind in document]
    if len(kinds) != 1:
        raise Problem("bad-body", "The body is an object with one of 'jti', 'sub' and 'key'.")
    (kind,) = kinds
    name, reason = document[kind], document.get("reason", "")
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
        raise Problem("bad-body", f"{kind.value!r} is a text of 1 to {MAX_NAME} characters.")
    if not isinstance(reason, str) or len(reason) > MAX_NAME:
        raise Problem("bad-body", f"'reason' is a text of at most {MAX_NAME} characters.")
    allowed = {kind.value, "reason", *_TIMES[kind]}
    if unknown := document.keys() - allowed:
        raise Problem("bad-body", f"A revocation by {kind.value!r} has no {min(unknown)!r}.")
    now, longest = service.hub.clock(), service.settings.token_max_seconds
    match kind:
        case RevocationKind.TOKEN:
            expires = _time(document, "exp", now + longest if longest else None)
            if not now < expires <= now + MAX_SECONDS:
                raise Problem("bad-body", "'exp' is in the future, and at most a century away.")
            return Revocation(kind, name, now, expires), reason
        case RevocationKind.SUBJECT:
            if not longest:
                raise Problem(
                    "bad-request",
                    "The tokens of a subject can be revoked where 'token_max_seconds' bounds the "
                    "life of tokens; that setting is 0 here.",
                )
            before = _time(document, "before", now)
            if not 0 <= before <= now + SKEW_SECONDS:
                raise Problem("bad-body", "'before' is a time in the past.")
            return Revocation(kind, name, before, before + longest), reason
        case _:
            if name not in {key.name for key in service.settings.api_keys}:
                raise Problem("bad-body", f"This server has no API key {name!r}.")
            return Revocation(kind, name, now, None), reason


_TIMES: dict[RevocationKind, tuple[str, ...]] = {
    RevocationKind.TOKEN: ("exp",),
    RevocationKind.SUBJECT: ("before",),
    RevocationKind.KEY: (),
}


def _time(document: dict[str, Any], name: str, otherwise: float | None) -> float:
    value = document.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Problem("bad-body", f"{name!r} is a number of seconds since 1970.")
    return float(value)
