"""Tokens: JWTs of another issuer that carry a grant.

The key decides the algorithm, never the token (RFC 8725 §2.1). PyJWT does the cryptography. The
times are checked here, against a clock that is passed in.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import OrderedDict
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import AllowedPublicKeys, get_default_algorithms

from pushhub.auth.api_keys import PREFIX
from pushhub.auth.jwks import MAX_TRIED
from pushhub.auth.revocation import MAX_NAME, Revocations
from pushhub.auth.verifying_key import VerifyingKey
from pushhub.log.grant import Basis, Grant, GrantError, basis_id, grant_from_claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pushhub.auth.jwks import Jwks

# nginx and most servers refuse a header line of more than 8 KiB.
MAX_TOKEN_BYTES = 8 * 1024

# A JWS in its compact form (RFC 7515 §7.1). Only its shape: the keys decide
# whether it is valid.
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")

# The same for everything that is not a credential by its shape, whatever keys are configured.
_NEITHER = (
    f"This is neither an API key nor a token: a key begins with {PREFIX!r}, and a token (JWT) has "
    f"three parts with dots between them."
)

# How far the issuer's clock may be ahead of ours. A token still expires at its `exp`: a second
# check must never allow more than the first.
CLOCK_SKEW = 5.0

# With a usual token about 15 MB; a verification that is not remembered costs 20 to 100 µs.
REMEMBERED = 10_000

_DECODE_OPTIONS: Any = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "require": ["exp"],
    "enforce_minimum_key_length": True,
}


class TokenError(ValueError):
    """The token is refused; the message is a sentence for its sender."""


class TokenRevoked(TokenError):
    """The token was revoked."""

    def __init__(self) -> None:
        super().__init__("The token was revoked; get a new one.")


class TokenKeyError(ValueError):
    """A configured key cannot be used; the message is a sentence for the operator."""


class TokenKeyEntry(Protocol):
    """A configured key that tokens are verified with."""

    @property
    def algorithm(self) -> str: ...
    @property
    def kid(self) -> str | None: ...
    def material(self) -> bytes:
        """An HMAC secret, or a public key as PEM."""


class KeysPending(TokenError):
    """The key of the token may be in a key set that is being read; the sender tries again."""


class Tokens:
    """Verifies tokens, and caches valid ones until they expire.

    Args:
        entries: the keys; with several, one can replace another without refused requests.
        audience: what a token's `aud` must name; with None a token must have no `aud`.
        issuer: what a token's `iss` must be; with None it may be anything.
        now: seconds since 1970.
        jwks: the keys of an identity provider, beside the entries.
        remembered: how many good tokens are remembered.
        revocations: the revoked tokens, and the longest life of a token.

    Raises:
        TokenKeyError: an entry's key does not suit its algorithm.
    """

    def __init__(
        self,
        entries: Iterable[TokenKeyEntry],
        *,
        now: Callable[[], float],
        audience: str | None = None,
        issuer: str | None = None,
        jwks: Jwks | None = None,
        remembered: int = REMEMBERED,
        revocations: Revocations | None = None,
    ) -> None:
        self._keys = _keys(entries)
        self._jwks = jwks
        self._now = now
        self._audience = audience
        self._issuer = issuer
        self._remembered = remembered
        self._revocations = Revocations(now) if revocations is None else revocations
        # By the token's hash, which takes a tenth of its memory.
        self._good: OrderedDict[bytes, Grant] = OrderedDict()

    def configure(
        self, entries: Iterable[TokenKeyEntry], audience: str | None, issuer: str | None
    ) -> None:
        """Replace the keys. The grants of tokens that are no longer valid end.

        Raises:
            TokenKeyError: an entry's key does not suit its algorithm; nothing has changed.
        """
        before, keys = self._keys, _keys(entries)
        if (audience, issuer) == (self._audience, self._issuer):
            known = {(key.algorithm, key.kid, key.material): key for key in before}
            keys = [known.get((key.algorithm, key.kid, key.material), key) for key in keys]
        elif self._jwks is not None:
            self._jwks.renew()
        self._keys, self._audience, self._issuer = keys, audience, issuer
        for key in before:
            key.basis.ended = not any(key is kept for kept in keys)
        self._good.clear()

    def grant(self, token: str) -> Grant:
        """The grant of a token.

        Raises:
            TokenError: the token is invalid; the sentence says why.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenError(f"A token has at most {MAX_TOKEN_BYTES} bytes.")
        mark = hashlib.sha256(token.encode()).digest()
        grant = self._good.get(mark)
        if grant is not None:
            if not grant.has_ended(self._now()):
                self._good.move_to_end(mark)
                return grant
            # The check below knows the reason.
            del self._good[mark]
        claims, key = self._checked(token)
        grant = replace(self._grant(claims), basis=self._basis(key))
        if grant.is_revoked:
            raise TokenRevoked
        self._good[mark] = grant
        if len(self._good) > self._remembered:
            self._good.popitem(last=False)
        return grant

    def basis(self, id: str) -> Basis | None:
        """The basis of the key with this id; None if no key has it now.

        Raises:
            KeysPending: it may be a key of the identity provider, whose key set is being read.
        """
        keys = self._keys if self._jwks is None else [*self._keys, *self._jwks.valid()]
        for key in keys:
            if (basis := self._basis(key)).id == id:
                return basis
        if self._jwks is not None and self._jwks.request():
            raise KeysPending("The keys of the identity provider are being read; try again.")
        return None

    def _basis(self, key: VerifyingKey) -> Basis:
        """The basis of a key, with an id. Another audience or issuer makes another basis."""
        basis = key.basis
        if not basis.id:
            parts = (key.algorithm, key.kid, key.material, self._audience, self._issuer)
            basis.id = basis_id("token", *parts)
        return basis

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token whose signature, issuer, audience and times are good.

        Raises:
            TokenError: they are not.
        """
        return self._checked(token)[0]

    def _checked(self, token: str) -> tuple[dict[str, Any], VerifyingKey]:
        """The claims of a valid token, and its key."""
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenError(f"A token has at most {MAX_TOKEN_BYTES} bytes.")
        if token.startswith(PREFIX):
            raise TokenError("This is an API key; only a token (JWT) can be used here.")
        if _SHAPE.fullmatch(token) is None:
            raise TokenError(_NEITHER)
        if not self._keys and self._jwks is None:
            raise TokenError("This server has no token keys, so it accepts no tokens.")
        claims, key = self._verify(token)
        now = self._now()
        if (expires := _time(claims, "exp")) <= now:
            raise TokenError(_expired(expires))
        for name in ("nbf", "iat"):
            if name in claims and (start := _time(claims, name)) > now + CLOCK_SKEW:
                raise TokenError(f"The token is not valid before {_utc(start)} ({name!r}).")
        if longest := self._revocations.token_max_seconds:
            if "iat" not in claims:
                raise TokenError("The token has no 'iat'; this server bounds the life of tokens.")
            if expires - _time(claims, "iat") > longest:
                raise TokenError(f"A token lives for at most {longest} s here, 'iat' to 'exp'.")
        return claims, key

    def _grant(self, claims: dict[str, Any]) -> Grant:
        if "pushhub" not in claims:
            raise TokenError(
                "The token has no claim 'pushhub', such as "
                '{"pushhub": {"read": ["news:*"]}}, so it allows nothing.'
            )
        try:
            # PyJWT sees to it that both are texts.
            subject, jti = claims.get("sub", ""), claims.get("jti", "")
            issued = _time(claims, "iat") if "iat" in claims else None
            credential = self._revocations.credential(token_id=jti, subject=subject, issued=issued)
            return grant_from_claim(claims["pushhub"], subject, _time(claims, "exp"), credential)
        except GrantError as error:
            raise TokenError(str(error)) from None

    def _verify(self, token: str) -> tuple[dict[str, Any], VerifyingKey]:
        for key in self._candidates(token):
            try:
                # `algorithms` is the key's own: what the token says only chose among our keys.
                claims: dict[str, Any] = jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    audience=self._audience,
                    issuer=self._issuer,
                    options=_DECODE_OPTIONS,
                )
                _check_texts(claims)
                return claims, key
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidAudienceError:
                raise TokenError(self._wrong_audience()) from None
            except jwt.InvalidIssuerError:
                raise TokenError(f"The token's 'iss' must be {self._issuer!r} here.") from None
            except jwt.MissingRequiredClaimError as error:
                raise TokenError(self._missing(error.claim)) from None
            except jwt.PyJWTError as error:
                raise TokenError(f"The token cannot be used: {error}.") from None
        raise TokenError(
            "The token's signature is not that of any key of this server: it was changed on the "
            "way, or signed with another key."
        )

    def _candidates(self, token: str) -> list[VerifyingKey]:
        """Our keys that may have signed the token: by its key id, else those of its algorithm."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError):
            raise TokenError(_NEITHER) from None
        kid, algorithm = header.get("kid"), header.get("alg")
        own, provided = self._keys, [] if self._jwks is None else self._jwks.valid()
        named = [key for key in (*own, *provided) if kid is not None and key.kid == kid]
        # An issuer may name keys that are configured here without a name.
        unnamed = own if kid is None else [key for key in own if key.kid is None]
        if kid is None:
            of_provider = [key for key in provided if key.algorithm == algorithm]
            unnamed = [*unnamed, *of_provider[:MAX_TRIED]]
        if not named:
            self._await_keys(kid)
        if not named and not unnamed:
            raise TokenError(f"This server has no token key with the id {str(kid)[:100]!r}.")
        if fitting := [key for key in named or unnamed if key.algorithm == algorithm]:
            return fitting
        accepted = " or ".join(dict.fromkeys(key.algorithm for key in named or unnamed))
        raise TokenError(
            f"The token's algorithm is {str(algorithm)[:100]!r}; its key is for {accepted}."
        )

    def _await_keys(self, kid: object) -> None:
        """Request the provider's present keys, for a token that names none of those known.

        Raises:
            KeysPending: they are coming.
        """
        jwks = self._jwks
        if jwks is None or (kid is None and len(jwks)):
            return
        # Own keys without a name may verify the token.
        if any(key.kid is None for key in self._keys):
            jwks.request()
        elif jwks.request() or jwks.refreshed is None:
            raise KeysPending(
                "The key of this token is not known yet, and the keys of its issuer are being "
                "read again; try again in a second."
            )

    def _wrong_audience(self) -> str:
        if self._audience is None:
            return "The token's 'aud' is for another server; this one has no token audience set."
        return f"The token's 'aud' does not name {self._audience!r}, which it must here."

    def _missing(self, claim: str) -> str:
        match claim:
            case "aud":
                return f"The token has no 'aud'; it must be {self._audience!r} here."
            case "iss":
                return f"The token has no 'iss'; it must be {self._issuer!r} here."
            case _:
                return f"The token has no {claim!r}, which every token needs."

    def __repr__(self) -> str:
        return f"<Tokens {len(self._keys)} keys, {len(self._good)} remembered>"


def _keys(entries: Iterable[TokenKeyEntry]) -> list[VerifyingKey]:
    return [
        VerifyingKey(entry.algorithm, entry.kid, _load(entry.algorithm, material), material)
        for entry in entries
        for material in [entry.material()]
    ]


def _load(algorithm: str, material: bytes) -> AllowedPublicKeys | bytes:
    """The key as PyJWT takes it, checked as it would be with every token."""
    implementation = get_default_algorithms().get(algorithm)
    if implementation is None or algorithm == "none":
        raise TokenKeyError(f"There is no token algorithm {algorithm!r}.")
    try:
        # Only a public key: with a private one a leak of the configuration would forge tokens.
        key = material if algorithm.startswith("HS") else load_pem_public_key(material)
        prepared = implementation.prepare_key(key)
    except (jwt.PyJWTError, ValueError, TypeError, UnsupportedAlgorithm):
        raise TokenKeyError(f"A token key is not a key for {algorithm}.") from None
    if warning := implementation.check_key_length(prepared):
        raise TokenKeyError(warning)
    loaded: AllowedPublicKeys | bytes = prepared
    return loaded


def _check_texts(claims: dict[str, Any]) -> None:
    """The names in limits, logs and revocations are Unicode; JSON can escape half a character."""
    for name in ("iss", "sub", "jti"):
        value = claims.get(name)
        if isinstance(value, str) and not _is_unicode(value):
            raise TokenError(f"The token's {name!r} is no valid Unicode.")
    for name in ("sub", "jti"):
        # A longer one could not be revoked.
        if isinstance(value := claims.get(name), str) and len(value) > MAX_NAME:
            raise TokenError(f"The token's {name!r} has at most {MAX_NAME} characters here.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _time(claims: dict[str, Any], name: str) -> float:
    """A claim that is a time, in seconds since 1970. JSON's `1e999` is infinite, and no time."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenError(f"The token's {name!r} is a number of seconds since 1970.")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise TokenError(f"The token's {name!r} is a number of seconds since 1970.")
    return seconds


def _expired(expires: float) -> str:
    return f"The token expired at {_utc(expires)}; get a new one."


def _utc(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, ValueError, OSError):
        return f"second {seconds:g}"
