"""Authentication: finds the credential of a request, and its grant.

A credential is, in this order, `Authorization: Bearer` with an API key or a token, `Authorization:
Basic` with an API key as the password, or a token in the cookie `pushhub_token`. The first
of these counts, and a bad one is refused even where none is needed.

Browsers send cookies along with requests that other sites make them send (CWE-352). So a cookie
publishes and manages only if the browser says that the page is of the same site (`Sec-Fetch-Site`,
or an `Origin` with our own scheme, host and port); otherwise it only reads, which other sites'
pages cannot see.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pushhub.auth.api_keys import PREFIX, SECRET_CHARACTERS, ApiKeys, KeyEntry
from pushhub.auth.revocation import Revocations
from pushhub.auth.tokens import KeysPending, TokenError, TokenKeyEntry, TokenRevoked, Tokens
from pushhub.http.challenge import CHALLENGE, INSUFFICIENT_SCOPE, INVALID_TOKEN
from pushhub.http.host import is_own_origin
from pushhub.http.problem import Problem, retry_after
from pushhub.log.grant import EVERYTHING, NOTHING, PUBLIC, Action, Grant, is_allowed
from pushhub.polls.base import revoked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushhub.auth.grip_signature import GripKey
    from pushhub.auth.jwks import Jwks
    from pushhub.http.request import Request
    from pushhub.log.grant import Basis

COOKIE = "pushhub_token"

_VERBS = {Action.READ: "read", Action.PUBLISH: "publish to", Action.MANAGE: "manage"}


class AuthSettings(Protocol):
    """The settings of an `Authenticator`; `Settings` is one."""

    @property
    def dev(self) -> bool: ...
    @property
    def metrics_public(self) -> bool: ...
    @property
    def api_keys(self) -> Sequence[KeyEntry]: ...
    @property
    def token_keys(self) -> Sequence[TokenKeyEntry]: ...
    @property
    def token_audience(self) -> str | None: ...
    @property
    def token_issuer(self) -> str | None: ...
    @property
    def has_public_channels(self) -> bool:
        """Whether a client without a credential can read at least one channel."""

    def is_public(self, channel: str) -> bool:
        """Whether reading `channel` needs no credential."""


@dataclass(frozen=True, slots=True)
class CookieGrant(Grant):
    """The grant of a cookie's token for a page that may be of another site: it only reads."""


class Authenticator:
    """Finds the grants of requests, and refuses actions that a grant does not cover.

    Args:
        policy: the keys, and the public channels.
        now: seconds since 1970.
        jwks: the keys of an identity provider, if one is configured.
        grip: the secret of GRIP, whose publishers' tokens are good too.
        revocations: the revoked keys and tokens.

    Raises:
        TokenKeyError: a token key does not suit its algorithm.
    """

    def __init__(
        self,
        policy: AuthSettings,
        now: Callable[[], float],
        grip: GripKey | None = None,
        revocations: Revocations | None = None,
        jwks: Jwks | None = None,
    ) -> None:
        revocations = Revocations(now) if revocations is None else revocations
        self._policy = policy
        self._now = now
        self._grip = grip
        self._keys = ApiKeys(policy.api_keys, revocations)
        self._tokens = Tokens(
            policy.token_keys,
            now=now,
            audience=policy.token_audience,
            issuer=policy.token_issuer,
            revocations=revocations,
            jwks=jwks,
        )

    def configure(self, policy: AuthSettings) -> None:
        """Take other keys and public channels. The grants of keys that are removed end; holds,
        streams and sessions check their grant at each delivery.

        Raises:
            TokenKeyError: a token key does not suit its algorithm; nothing has changed.
        """
        self._tokens.configure(policy.token_keys, policy.token_audience, policy.token_issuer)
        self._keys.configure(policy.api_keys)
        self._policy = policy

    def grant(self, request: Request) -> Grant:
        """The grant of the sender of `request`; NOTHING without a credential.

        Raises:
            Problem: `unauthorized`, for a credential that is not good.
        """
        request.grant = grant = self._grant(request)
        return grant

    def _grant(self, request: Request) -> Grant:
        if self._policy.dev or request.trusted:
            return EVERYTHING
        headers = request.headers
        if authorization := headers.get("authorization"):
            return self._authorization(authorization)
        if "cookie" in headers and (token := _cookie(headers["cookie"])):
            grant = self._token(token)
            if _from_same_site(request):
                return grant
            return CookieGrant(
                read=grant.read,
                subject=grant.subject,
                expires=grant.expires,
                credential=grant.credential,
                basis=grant.basis,
            )
        return NOTHING

    def basis(self, id: str) -> Basis | None:
        """The configured key that a ticket rests on; None if it is no longer configured.

        Raises:
            Problem: `keys-pending`, while the keys of the identity provider are being read.
        """
        if (basis := self._keys.basis(id)) is not None:
            return basis
        try:
            return self._tokens.basis(id)
        except KeysPending as error:
            raise Problem("keys-pending", str(error), headers=(retry_after(1),)) from None

    def require(self, grant: Grant, action: Action, channel: str) -> None:
        """Return if `grant` allows `action` on `channel`, or if that needs no credential.

        Raises:
            Problem: `unauthorized` if there was no credential, else `forbidden`.
        """
        now = self._now()
        if is_allowed(grant, action, channel, now):
            return
        if self._policy.is_public(channel) and is_allowed(grant, action, channel, now, PUBLIC):
            return
        self._refuse(
            grant,
            f"{_VERBS[action]} the channel {channel!r}",
            f"its {action.value!r} list has no pattern that covers it",
            channel=channel,
        )

    def require_any(self, grant: Grant, action: Action) -> None:
        """Return if there can be a channel for which `require` returns.

        Raises:
            Problem: `unauthorized` if there was no credential, else `forbidden`.
        """
        if action is Action.READ and self._policy.has_public_channels:
            return
        if not getattr(grant, action) or grant.has_ended(self._now()):
            self._refuse(
                grant, f"{_VERBS[action]} any channel", f"its {action.value!r} list is empty"
            )

    def require_admin(self, grant: Grant) -> None:
        """Return if `grant` is an operator's, as metrics and the list of channels require.

        Raises:
            Problem: `unauthorized` if there was no credential, else `forbidden`.
        """
        if not (grant.is_admin or self._policy.metrics_public or self._policy.dev):
            self._refuse(grant, "see this", "its 'manage' list has no '*'")

    def require_operator(self, grant: Grant) -> None:
        """Return if `grant` manages every channel.

        Raises:
            Problem: `unauthorized` if there was no credential, else `forbidden`.
        """
        if not grant.is_admin:
            self._refuse(grant, "do this", "its 'manage' list has no '*'")

    def _refuse(self, grant: Grant, what: str, why: str, **members: str) -> None:
        if grant is NOTHING:
            raise Problem(
                "unauthorized",
                f"To {what}, send an API key or a token as 'Authorization: Bearer …'.",
                headers=CHALLENGE,
                **members,
            )
        if isinstance(grant, CookieGrant):
            why = (
                "a token in a cookie only reads unless the browser says the page is of this site; "
                "behind a proxy with TLS 'trusted_proxies' must name the proxy"
            )
        raise Problem(
            "forbidden",
            f"This credential cannot {what}: {why}.",
            headers=INSUFFICIENT_SCOPE,
            **members,
        )

    def _authorization(self, value: str) -> Grant:
        scheme, _, credential = value.partition(" ")
        credential = credential.strip()
        match scheme.lower():
            case "bearer" if credential.startswith(PREFIX):
                return self._api_key(credential)
            case "bearer" if credential:
                return self._token(credential)
            case "basic":
                return self._api_key(_password(credential))
        raise _unauthorized("'Authorization' must be 'Bearer' and an API key or a token.")

    def _api_key(self, secret: str) -> Grant:
        grant = self._keys.grant(secret)
        if grant is None and secret.startswith(PREFIX) and len(secret) != SECRET_CHARACTERS:
            raise _unauthorized(
                f"This is not a whole API key: one has {SECRET_CHARACTERS} characters, and this "
                f"one has {len(secret)}."
            )
        if grant is None:
            raise _unauthorized("This server does not know this API key.")
        if grant.is_revoked:
            raise revoked()
        return grant

    def _token(self, token: str) -> Grant:
        # Only texts stay of the errors: an exception in a local variable is a cycle with its
        # traceback, which would keep the request in memory until a garbage collection.
        is_pending = False
        try:
            return self._tokens.grant(token)
        except TokenRevoked:
            raise revoked() from None
        except TokenError as error:
            reason, is_pending = str(error), isinstance(error, KeysPending)
        if self._grip is not None:
            try:
                return self._grip.publisher(token)
            except TokenRevoked:
                raise revoked() from None
            except TokenError as error:
                # Of two reasons, report the one about a configured key.
                if not self._policy.token_keys:
                    reason, is_pending = str(error), isinstance(error, KeysPending)
        if is_pending:
            raise Problem("keys-pending", reason, headers=(retry_after(1),))
        raise _unauthorized(reason)

    def __repr__(self) -> str:
        return f"<Authenticator {self._keys!r} {self._tokens!r}>"


def _unauthorized(detail: str) -> Problem:
    return Problem("unauthorized", detail, headers=INVALID_TOKEN)


def _password(credential: str) -> str:
    try:
        pair = base64.b64decode(credential, validate=True).decode()
    except (binascii.Error, ValueError):
        raise _unauthorized("The 'Basic' credential is not base64 of 'name:API key'.") from None
    return pair.partition(":")[2]


def _cookie(header: str) -> str:
    """The token in a `Cookie` header. Two headers are joined by commas, which no token has."""
    for pair in header.replace(",", ";").split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == COOKIE:
            return value.strip().strip('"')
    return ""


def _from_same_site(request: Request) -> bool:
    """Whether the browser says that a page of this site, or its user, made the request."""
    headers = request.headers
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "same-site", "none")
    origin = headers.get("origin")
    return origin is not None and is_own_origin(origin, request)
