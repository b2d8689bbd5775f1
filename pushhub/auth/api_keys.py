"""API keys: secrets of back ends and operators, of which only hashes are configured."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Protocol

from pushhub.log.channel import Patterns
from pushhub.log.grant import Basis, Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pushhub.auth.revocation import Revocations

# Identifies a leaked key for people and secret scanners, and distinguishes keys from tokens.
PREFIX = "phk_"
SECRET_BYTES = 32
SECRET_CHARACTERS = len(PREFIX) + 43


class KeyEntry(Protocol):
    """A configured API key: its name, the hash of its secret, and its grant."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def read(self) -> Sequence[str]: ...
    @property
    def publish(self) -> Sequence[str]: ...
    @property
    def manage(self) -> Sequence[str]: ...


class ApiKeys:
    """Finds the grant of a presented secret.

    Secrets are 256 random bits, so one round of SHA-256 is enough: there is nothing to guess.
    """

    __slots__ = ("_grants", "_revocations")

    def __init__(
        self, entries: Iterable[KeyEntry] = (), revocations: Revocations | None = None
    ) -> None:
        self._revocations = revocations
        self._grants: dict[str, tuple[str, Grant]] = {}
        self.configure(entries)

    def configure(self, entries: Iterable[KeyEntry]) -> None:
        """Replace the keys. The grants of a key that is removed, or that differs, end."""
        before, self._grants = self._grants, {}
        for entry in entries:
            _, known = before.get(entry.sha256, ("", None))
            grant = _grant(entry, self._revocations)
            if known == grant:
                grant = known
                del before[entry.sha256]
            self._grants[entry.sha256] = (entry.sha256, grant)
        for _, grant in before.values():
            assert grant.basis is not None
            grant.basis.ended = True

    def grant(self, secret: str) -> Grant | None:
        """The grant of the key with this secret; None if there is no such key."""
        if len(secret) != SECRET_CHARACTERS or not secret.isascii():
            return None
        found = secret_hash(secret)
        # The timing of the look-up depends on a hash, which an attacker cannot choose digit by
        # digit; the result is still compared in constant time (CWE-208).
        known, grant = self._grants.get(found, ("", None))
        return grant if hmac.compare_digest(known, found) else None

    def __len__(self) -> int:
        return len(self._grants)

    def __repr__(self) -> str:
        return f"<ApiKeys {len(self)}>"


def _grant(entry: KeyEntry, revocations: Revocations | None) -> Grant:
    patterns = (Patterns(entry.read), Patterns(entry.publish), Patterns(entry.manage))
    credential = None if revocations is None else revocations.credential(key=entry.name)
    return Grant(*patterns, entry.name, credential=credential, basis=Basis())


def new_secret(random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A new secret: `phk_` and 32 random bytes in base64url."""
    return PREFIX + base64.urlsafe_b64encode(random_bytes(SECRET_BYTES)).decode().rstrip("=")


def secret_hash(secret: str) -> str:
    """The configured hash of a secret: its SHA-256 in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()
