"""Accounts and the keys that logins are checked against, in the key-value store.

The store holds no password, but the keys that SCRAM needs (RFC 5802 §3). A thief cannot log in with
them and must guess passwords, at the cost of thousands of hashes for each guess.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from pushhub.log.grant import NOTHING, Grant, grant_from_claim
from pushhub.xmpp.model.jid import prepare_local, prepare_password
from pushhub.xmpp.model.saslprep import saslprep
from pushhub.xmpp.storage.key_value import internal_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pushhub.xmpp.storage.key_value import KeyValueStore

# OWASP recommends 600,000 for stored passwords with SHA-256, but a client computes as many hashes
# at each login, in JavaScript on a phone. RFC 7677 §4 requires at least 4,096; Prosody and ejabberd
# use 10,000 and 4,096.
ITERATIONS = 10_000
SALT_BYTES = 16

HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}

# The index is split over so many values, so that none exceeds the limit of one: 256 KiB each.
SHARDS = 256

# The kinds of data of an account, each under its address.
KINDS = (
    *("roster", "vcard", "block", "private", "pep", "subscriptions"),
    *("archive", "read", "where", "peers", "strangers"),
)


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """The keys that SCRAM derives from a password, for one hash (RFC 5802 §3)."""

    salt: bytes
    iterations: int
    stored: bytes
    server: bytes
    others: tuple[tuple[bytes, bytes], ...] = ()
    """`stored` and `server` of the same password in the other forms in which clients send it. The
    salt is the same, since the server sends the client one salt."""

    @property
    def pairs(self) -> tuple[tuple[bytes, bytes], ...]:
        """`stored` and `server` of each form of the password."""
        return ((self.stored, self.server), *self.others)

    def verifies(self, password: str, hash_name: str) -> bool:
        """Whether the password matches. Takes milliseconds: do not call on the event loop's
        thread."""
        keys = derive(password, hash_name, self.salt, self.iterations)
        found = [hmac.compare_digest(keys.stored, stored) for stored, _ in self.pairs]
        return any(found)


@dataclass(frozen=True, slots=True)
class Account:
    """An account. `keys` are by mechanism; an account without keys can only log in by token."""

    keys: Mapping[str, ScramKeys] = field(default_factory=dict)
    grant: Grant = NOTHING


def derive(password: str, hash_name: str, salt: bytes, iterations: int) -> ScramKeys:
    """The keys of a password (RFC 5802 §3). Takes milliseconds."""
    salted = hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", hash_name)
    server = hmac.digest(salted, b"Server Key", hash_name)
    return ScramKeys(salt, iterations, hashlib.new(hash_name, client).digest(), server)


def password_forms(password: str) -> list[str]:
    """The forms of a password from which clients derive keys, the stored form first: prepared by
    RFC 8265 (OpaqueString), by RFC 4013 (SASLprep), and as typed, which clients in JavaScript use.
    Most passwords have one form.

    Raises:
        JidError: the text cannot be a password.
    """
    forms = (prepare_password(password), saslprep(password), password)
    return [form for form in dict.fromkeys(forms) if form]


class Accounts:
    """The accounts of one store.

    Args:
        random_bytes: returns that many unpredictable bytes.
    """

    def __init__(self, kv: KeyValueStore, random_bytes: Callable[[int], bytes]) -> None:
        self._kv = kv
        self._random_bytes = random_bytes

    def key(self, bare: str) -> str:
        """The key of an account."""
        return internal_name("account", bare)

    async def get(self, bare: str) -> Account | None:
        """The account of a bare address; None for an unknown address.

        Raises:
            StoreError: the store cannot be read.
        """
        record = await self._kv.json(self.key(bare))
        return None if record is None else _account(record)

    def decoy(self) -> Account:
        """An account that no password fits, read as `get` reads one."""
        return _account(orjson.loads(_DECOY))

    async def add(self, local: str, domain: str, password: str, grant: Grant = NOTHING) -> str:
        """Create an account, and return its bare address.

        Raises:
            JidError: the name or the password is invalid.
            AccountError: the account exists.
            StoreError: the store cannot be written.
        """
        bare = f"{prepare_local(local)}@{domain}"
        exists = AccountError(f"There is an account {bare} already.")
        if await self._kv.json(self.key(bare)) is not None:
            raise exists  # Before the keys, which take 30 ms.
        secrets = await self._secrets(password)

        def make(old: Any) -> Any:
            if old is not None:
                raise exists
            return {**secrets, "grant": grant.claim()}

        await self._index(bare, domain, present=True)
        await self._kv.update_json(self.key(bare), make)
        return bare

    async def admit(self, bare: str, domain: str) -> None:
        """Create the account of a user who logs in by token, unless it exists."""
        if await self._kv.event(self.key(bare)) is None:
            await self._index(bare, domain, present=True)
            await self._kv.update_json(
                self.key(bare), lambda old: {"keys": {}, "grant": {}} if old is None else None
            )

    async def set_password(self, bare: str, password: str) -> None:
        """Change an account's password.

        Raises:
            AccountError: there is no such account.
            JidError, StoreError: as `add`.
        """
        secrets = await self._secrets(password)

        def make(old: Any) -> Any:
            if old is None:
                raise AccountError(f"There is no account {bare}.")
            return {**old, **secrets}

        await self._kv.update_json(self.key(bare), make)

    async def remove(self, bare: str, domain: str) -> None:
        """Delete an account and its data.

        Raises:
            AccountError: there is no such account.
            StoreError: the store cannot be written.
        """
        if await self._kv.json(self.key(bare)) is None:
            raise AccountError(f"There is no account {bare}.")
        for kind in ("account", *KINDS):
            await self._kv.delete(internal_name(kind, bare))
        await self._index(bare, domain, present=False)

    async def every(self, domain: str) -> list[str]:
        """The bare addresses of all accounts of a domain, sorted."""
        shards = [
            await self._kv.json(internal_name("accounts", domain, f"{shard:02x}"))
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

        await self._kv.update_json(internal_name("accounts", domain, shard), make)

    async def _secrets(self, password: str) -> dict[str, Any]:
        """The stored keys of a password: `keys` by mechanism, and `also`, the keys of its other
        forms, which older nodes do not read."""
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
    """The account cannot be created or changed; the message is a sentence."""


def _account(record: Any) -> Account:
    also = record.get("also", {})
    keys = {
        mechanism: ScramKeys(
            *(_bytes(salt), iterations, _bytes(stored), _bytes(server)),
            tuple((_bytes(s), _bytes(v)) for s, v in also.get(mechanism, ())),
        )
        for mechanism, (salt, iterations, stored, server) in record["keys"].items()
    }
    return Account(keys, grant_from_claim(record["grant"]))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoy_record() -> dict[str, Any]:
    """A record as of an account with one form of its password. No key has a hash of zeros."""
    keys = {}
    for mechanism, hash_name in HASHES.items():
        nothing = _text(bytes(hashlib.new(hash_name).digest_size))
        keys[mechanism] = [_text(bytes(SALT_BYTES)), ITERATIONS, nothing, nothing]
    return {"keys": keys, "also": {}, "grant": NOTHING.claim()}


_DECOY = orjson.dumps(_decoy_record())


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
