"""`POST /v1/tokens/revoke`: an operator revokes a token, the tokens of a subject, or a key."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from pushhub.api.service import store_unavailable
from pushhub.auth.revocation import (
    MAX_NAME,
    Revocation,
    RevocationKind,
    RevocationsFull,
)
from pushhub.http.caching import NO_STORE
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.log.json_body import load
from pushhub.polls.feed import JSON
from pushhub.store.base import (
    StoreError,
)

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.hub.hold import Hold
    from pushhub.log.grant import Grant

log = structlog.get_logger(__name__)

MAX_REVOKE_BYTES = 4 * 1024
# The name of the action in the audit log.
TOKEN_REVOKE = "token.revoke"
# An `exp` further away than a century is a mistake, such as milliseconds.
MAX_SECONDS = 100 * 366 * 86_400
# The clocks of an operator and of a node differ.
SKEW_SECONDS = 5.0


def revoke(service: Service, request: Request, grant: Grant) -> Hold:
    """`POST /v1/tokens/revoke`: revoke a token, the tokens of a subject, or an API key."""
    service.authority.require_operator(grant)
    revocation, reason = _parse(service, request.body)
    register = service.revocations
    assert register is not None

    async def work() -> Response:
        try:
            reached = await register.add(revocation)
        except RevocationsFull:
            raise Problem("too-large", "The register of revocations is full.") from None
        except StoreError as error:
            raise store_unavailable(error) from None
        entry: dict[str, Any] = {
            revocation.kind.value: revocation.name,
            "before": revocation.before,
            "until": revocation.until,
        }
        if reached:
            entry["reached"] = reached
        log.info("revocation.added", **entry, reason=reason, by=grant.subject)
        return Response(200, (JSON, NO_STORE), orjson.dumps(entry))

    return service.managed(request, TOKEN_REVOKE, f"{revocation.kind}:{revocation.name}", work())


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
