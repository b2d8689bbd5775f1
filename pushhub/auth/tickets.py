"""One-use tickets: a read grant in a URL, for `EventSource`, which cannot send headers.

URLs end up in logs and histories, so a ticket lives for seconds and only reads. The endpoint makes
it single-use: it registers the ticket's id in the store (`api/tickets.py`).
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import jwt

from pushhub.http.problem import Problem
from pushhub.log.grant import Grant, grant_from_claim
from pushhub.polls.base import revoked

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.auth.revocation import Revocations

# A URL of more than 8 KiB does not pass nginx (large_client_header_buffers).
MAX_TICKET_BYTES = 6 * 1024
# 128 bits, as RFC 7519 §4.1.7 requires: two tickets never share an id.
ID_BYTES = 16
_ALGORITHM = "HS256"
_AUDIENCE = "pushhub:ticket"
_HOW = "Get a new one from POST /v1/tickets; each is for one use, within seconds."
_DECODE_OPTIONS: Any = {"verify_exp": False, "verify_iat": False, "require": ["exp", "jti", "aud"]}


class Tickets:
    """Mints and opens tickets.

    Args:
        secret: at least 32 random bytes, the same for all processes that share a store.
        seconds: how long a ticket can be used.
        random_bytes: draws so many unpredictable bytes, for ids that no other ticket has.
    """

    __slots__ = ("_random_bytes", "_revocations", "_secret", "seconds")

    def __init__(
        self,
        secret: bytes,
        seconds: float = 30,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        revocations: Revocations | None = None,
    ) -> None:
        if len(secret) < 32:
            raise ValueError("The secret that signs tickets has at least 32 bytes.")
        self._secret = secret
        self.seconds = seconds
        self._random_bytes = random_bytes
        self._revocations = revocations

    def mint(self, grant: Grant, now: float) -> str:
        """A ticket to read what `grant` reads. It expires with the grant if that is sooner.

        Raises:
            Problem: the grant has more patterns than a URL can carry.
        """
        expires = now + self.seconds
        claims: dict[str, Any] = {
            "aud": _AUDIENCE,
            "jti": self._random_bytes(ID_BYTES).hex(),
            "exp": expires if grant.expires is None else min(expires, grant.expires),
            "read": list(grant.read.texts),
        }
        if grant.subject:
            claims["sub"] = grant.subject
        if grant.expires is not None:
            claims["grant_exp"] = grant.expires
        if (credential := grant.credential) is not None:
            # Under these names a revocation of the token, or of the key, finds the ticket.
            claims["of"] = [
                credential.key, credential.token_id, credential.subject, credential.issued,
            ]  # fmt: skip
        ticket = jwt.encode(claims, self._secret, _ALGORITHM)
        if len(ticket) > MAX_TICKET_BYTES:
            raise Problem(
                "too-large",
                f"A ticket has at most {MAX_TICKET_BYTES} bytes, and the token has too many "
                f"patterns for that; a prefix and a final '*' covers many channels.",
            )
        return ticket

    def open(self, ticket: str, now: float) -> tuple[Grant, str]:
        """A ticket's grant, which reads only and ends when its token ended, and the ticket's id.

        Raises:
            Problem: the ticket is not one of this server, or has expired.
        """
        if len(ticket) > MAX_TICKET_BYTES:
            raise Problem("unauthorized", f"This is not a ticket of this server. {_HOW}")
        try:
            claims = jwt.decode(
                ticket,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                options=_DECODE_OPTIONS,
            )
        except (jwt.PyJWTError, ValueError):
            raise Problem("unauthorized", f"This is not a ticket of this server. {_HOW}") from None
        if claims["exp"] <= now:
            raise Problem("unauthorized", f"The ticket has expired. {_HOW}")
        credential = None
        if self._revocations is not None and "of" in claims:
            key, token_id, subject, issued = claims["of"]
            credential = self._revocations.credential(
                key=key, token_id=token_id, subject=subject, issued=issued
            )
        grant = grant_from_claim(
            {"read": claims["read"]}, claims.get("sub", ""), claims.get("grant_exp"), credential
        )
        if grant.is_revoked:
            raise revoked()
        return grant, claims["jti"]

    def __repr__(self) -> str:
        return f"<Tickets {self.seconds} s>"
