"""GRIP's signatures: they prove pushhub to an origin, and a publisher to pushhub.

Both are JWTs (RFC 7519) of one secret, `grip_key`: `Grip-Sig` is pushhub's, with `iss` and `exp`; a
publisher sends its own as `Authorization: Bearer`, as every GRIP library does. Every origin sees
`Grip-Sig`, so a publisher's token has another `iss`.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Protocol

import jwt

from pushhub.auth.revocation import Revocations
from pushhub.auth.tokens import TokenError, TokenKeyError, TokenRevoked, Tokens
from pushhub.log.channel import Patterns
from pushhub.log.grant import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

# Pushpin's; an origin compares with a clock of its own.
SIG_SECONDS = 3600
# A signature is replaced when so much of its life is over: making one takes 20 µs.
FRESH_SECONDS = 60

ALGORITHM = "HS256"


class _Entry:
    """The secret as a key that tokens are verified with."""

    algorithm = ALGORITHM
    kid = None

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def material(self) -> bytes:
        return self._secret


class GripKey:
    """The secret that pushhub shares with an origin and its publishers.

    Args:
        text: the secret, or `base64:` and a binary one.
        issuer: the `iss` of our signatures.
        now: seconds since 1970.
        revocations: the revoked tokens.

    Raises:
        TokenKeyError: the text is not base64 though it says so, or the secret is shorter than the
            32 bytes that HS256 needs (RFC 7518 §3.2).
    """

    __slots__ = ("_issuer", "_now", "_revocations", "_secret", "_sig", "_signed", "_tokens")

    def __init__(
        self,
        text: str,
        issuer: str,
        now: Callable[[], float],
        revocations: Revocations | None = None,
    ) -> None:
        self._secret = _secret(text)
        self._issuer = issuer
        self._now = now
        self._sig = b""
        self._signed = -SIG_SECONDS
        self._revocations = Revocations(now) if revocations is None else revocations
        # Without them: `token_max_seconds` needs an `iat`, which GRIP libraries do not send.
        self._tokens = Tokens([_Entry(self._secret)], now=now)

    def sig(self) -> bytes:
        """The value of `Grip-Sig`: good for an hour, or a minute less."""
        now = int(self._now())
        if not self._signed <= now < self._signed + FRESH_SECONDS:
            claims = {"iss": self._issuer, "exp": now + SIG_SECONDS}
            self._sig = jwt.encode(claims, self._secret, algorithm=ALGORITHM).encode()
            self._signed = now
        return self._sig

    def publisher(self, token: str) -> Grant:
        """The grant of a publisher's token: to publish to every channel, until it expires.

        Raises:
            TokenError: the token is not signed with this secret, has expired, was revoked, or is a
                `Grip-Sig`, which every origin sees.
        """
        claims = self._tokens.claims(token)
        if claims.get("iss") == self._issuer:
            raise TokenError(
                f"The 'iss' of this token is {self._issuer!r}, the setting 'grip_issuer': it is "
                "pushhub's own signature for origins. A publisher signs with 'grip_key' and "
                "another 'iss'."
            )
        credential = self._revocations.credential(
            token_id=claims.get("jti", ""), subject=claims.get("sub", ""), issued=claims.get("iat")
        )
        grant = Grant(
            publish=ALL_CHANNELS,
            subject=str(claims.get("iss", "")),
            expires=claims["exp"],
            credential=credential,
        )
        if grant.is_revoked:
            raise TokenRevoked
        return grant

    def __repr__(self) -> str:
        return "<GripKey>"


ALL_CHANNELS = Patterns(["*"])


class GripPolicy(Protocol):
    """The settings of the secret; `Settings` is one."""

    @property
    def grip_key(self) -> str | None: ...
    @property
    def grip_issuer(self) -> str: ...


def grip_key(
    policy: GripPolicy, now: Callable[[], float], revocations: Revocations | None = None
) -> GripKey | None:
    """The configured secret; None if there is none.

    Raises:
        TokenKeyError: the secret cannot be used.
    """
    if policy.grip_key is None:
        return None
    return GripKey(policy.grip_key, policy.grip_issuer, now, revocations)


def _secret(text: str) -> bytes:
    kind, colon, rest = text.partition(":")
    if not (colon and kind == "base64"):
        return text.encode()
    try:
        return base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError):
        raise TokenKeyError("'grip_key' says base64: and is none.") from None
