"""Accounts: who there is, and what a login is checked against. They live in registers.

No password is kept. What is kept is what SCRAM needs (RFC 5802 §3): of whom it is stolen cannot log
in with it, and must guess passwords at the price of thousands of hashes each.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pushhub.log.grant import NOTHING, Grant, grant_from_claim
from pushhub.xmpp.model.jid import prepare_local, prepare_password
from pushhub.xmpp.sasl.saslprep import saslprep
from pushhub.xmpp.storage.key_value import register_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.xmpp.storage.key_value import KeyValueStore

# OWASP's advice for stored passwords is 600,000 for SHA-256, but a client must do as many hashes at
# each login, in JavaScript on a phone; RFC 7677 §4 asks for 4,096 at least, Prosody and ejabberd
# take 10,000 and 4,096.
ITERATIONS = 10_000
SALT_BYTES = 16

HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}

# The index is in so many registers, so that none grows beyond what one holds: 256 KiB each.
SHARDS = 256

# What is kept for an account, each under its address.
KINDS = (
    *("roster", "vcard", "block", "private", "pep", "subscriptions"),
    *("archive", "read", "where"),
)


@dataclass(frozen=True, slots=True)
class Keys:
    """What SCRAM needs of a password, for one hash (RFC 5802 §3)."""

    salt: bytes
    iterations: int
    stored: bytes
    server: bytes
    others: tuple[tuple[bytes, bytes], ...] = ()
    """`stored` and `server` of the same password in the other forms in which clients send it; the
    salt is the same, since the client is told one."""

    @property
    def pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        """`stored` and `server` of each form of the password."""
        return ((self.stored, self.server), *self.others)

    def verifies(self, password: str, hash_name: str) -> bool:
        """Whether it is the password. Takes milliseconds: not for the loop's thread."""
        keys = derive(password, hash_name, self.salt, self.iterations)
        found = [hmac.compare_digest(keys.stored, stored) for stored, _ in self.pairs]
        return any(found)


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in. `keys` are by mechanism; without any, only tokens let them in."""

    keys: Mapping[str, Keys] = field(default_factory=dict)
    grant: Grant = NOTHING


def derive(password: str, hash_name: str, salt: bytes, iterations: int) -> Keys:
    """The keys of a password (RFC 5802 §3). Takes milliseconds."""
    salted = hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", hash_name)
    server = hmac.digest(salted, b"Server Key", hash_name)
    return Keys(salt, iterations, hashlib.new(hash_name, client).digest(), server)


def password_forms(password: str) -> list[str]:
    """A password as clients may derive keys from it, the kept form first: prepared as RFC 8265 says
    (OpaqueString), as RFC 4013 says (SASLprep), and as it was typed, which is what clients in
    JavaScript do. Most passwords have one form.

    Raises:
        JidError: it can be none.
    """
    forms = (prepare_password(password), saslprep(password), password)
    return [form for form in dict.fromkeys(forms) if form]


class Accounts:
    """The accounts of one store.

    Args:
        random_bytes: draws that many unpredictable bytes.
    """

    def __init__(self, registers: KeyValueStore, random_bytes: Callable[[int], bytes]) -> None:
        self._registers = registers
        self._random_bytes = random_bytes

    def name(self, bare: str) -> str:
        """The register of an account."""
        return register_name("account", bare)

    async def get(self, bare: str) -> Account | None:
        """The account of a bare address; None if there is none.

        Raises:
            StoreError: the store cannot be read now.
        """
        record = await self._registers.json(self.name(bare))
        return None if record is None else _account(record)

    async def add(self, local: str, domain: str, password: str, grant: Grant = NOTHING) -> str:
        """Make an account, and return its bare address.

        Raises:
            JidError: the name or the password cannot be one.
            AccountError: it exists.
            StoreError: the store cannot be written now.
        """
        bare = f"{prepare_local(local)}@{domain}"
        secrets = await self._secrets(password)

        def make(old: Any) -> Any:
            if old is not None:
                raise AccountError(f"There is an account {bare} already.")
            return {**secrets, "grant": grant.claim()}

        await self._index(bare, domain, present=True)
        await self._registers.change_json(self.name(bare), make)
        return bare

    async def admit(self, bare: str, domain: str) -> None:
        """Make sure that there is an account for somebody whom a token lets in."""
        if await self._registers.event(self.name(bare)) is None:
            await self._index(bare, domain, present=True)
            await self._registers.change_json(
                self.name(bare), lambda old: {"keys": {}, "grant": {}} if old is None else None
            )

    async def set_password(self, bare: str, password: str) -> None:
        """Give an account another password.

        Raises:
            AccountError: there is none of that name.
            JidError, StoreError: as `add`.
        """
        secrets = await self._secrets(password)

        def make(old: Any) -> Any:
            if old is None:
                raise AccountError(f"There is no account {bare}.")
            return {**old, **secrets}

        await self._registers.change_json(self.name(bare), make)

    async def remove(self, bare: str, domain: str) -> None:
        """Forget an account, and what is kept for it.

        Raises:
            AccountError: there is none of that name.
            StoreError: the store cannot be written now.
        """
        if await self._registers.json(self.name(bare)) is None:
            raise AccountError(f"There is no account {bare}.")
        for kind in ("account", *KINDS):
            await self._registers.delete(register_name(kind, bare))
        await self._index(bare, domain, present=False)

    async def every(self, domain: str) -> list[str]:
        """The bare addresses of all accounts of a domain, sorted."""
        shards = [
            await self._registers.json(register_name("accounts", domain, f"{shard:02x}"))
            for shard in range(SHARDS)
        ]
        return sorted(bare for shard in shards for bare in shard or ())

    async def _index(self, bare: str, domain: str, *, present: bool) -> None:
        shard = hashlib.sha256(bare.encode()).hexdigest()[:2]

        def make(old: Any) -> Any:
            names = set(old or ())
            if (bare in names) == present:
                return None
            return sorted(names | {bare} if present else names - {bare})

        await self._registers.change_json(register_name("accounts", domain, shard), make)

    async def _secrets(self, password: str) -> dict[str, Any]:
        """What is kept of a password: `keys` by mechanism, and `also`, the same of its other forms,
        which an older node does not read."""
        forms = password_forms(password)
        loop = asyncio.get_running_loop()
        keys, also = {}, {}
        for mechanism, hash_name in HASHES.items():
            salt = self._random_bytes(SALT_BYTES)
            made = [
                await loop.run_in_executor(None, derive, form, hash_name, salt, ITERATIONS)
                for form in forms
            ]
            pairs = [[_text(each.stored), _text(each.server)] for each in made]
            keys[mechanism] = [_text(salt), ITERATIONS, *pairs[0]]
            also[mechanism] = pairs[1:]
        return {"keys": keys, "also": also if len(forms) > 1 else {}}


class AccountError(ValueError):
    """The account cannot be made or changed; the message is a sentence."""


def _account(record: Any) -> Account:
    also = record.get("also", {})
    keys = {
        mechanism: Keys(
            *(_bytes(salt), iterations, _bytes(stored), _bytes(server)),
            tuple((_bytes(s), _bytes(v)) for s, v in also.get(mechanism, ())),
        )
        for mechanism, (salt, iterations, stored, server) in record["keys"].items()
    }
    return Account(keys, grant_from_claim(record["grant"]))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
