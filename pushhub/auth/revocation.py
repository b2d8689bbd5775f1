"""Revoked credentials: tokens by `jti`, the tokens of a subject up to a time, and API keys by name.

Every process has all entries in memory, and knows the credentials in use: a new entry marks those
that it covers, and with the mark every grant of a credential ends. The server's register
(`api/revocation_register.py`) brings the entries from the log.

An entry is dropped when no token that it covers can be valid any more. That needs an end: the `exp`
of a token, or a bound on the life of all tokens. Keys do not expire, and neither do their entries.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import orjson

from pushhub.log.event import MAX_EVENT_BYTES
from pushhub.log.grant import Credential

if TYPE_CHECKING:
    from collections.abc import Callable

# The entries are spread over so many values, each of at most one event (256 KiB): about 80,000
# entries with ids of 36 characters, and 4 MiB of the store.
SHARDS = 16
# The longest `jti`, `sub` or key name of an entry, in characters.
MAX_NAME = 255
# The clocks of nodes and issuers differ: entries stay so long after their end.
GRACE_SECONDS = 60.0


class RevocationsFull(Exception):
    """There is no room for another entry."""


class RevocationKind(StrEnum):
    """The kind of a name."""

    TOKEN = "jti"
    SUBJECT = "sub"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class Revocation:
    """One entry. It covers credentials that were issued before `before`, and is dropped after
    `until`; None means never. Both are in seconds since 1970.
    """

    kind: RevocationKind
    name: str
    before: float
    until: float | None

    @property
    def id(self) -> str:
        """The key of the entry."""
        return f"{self.kind}:{self.name}"

    @property
    def shard(self) -> int:
        """The number of the value that has the entry."""
        return zlib.crc32(self.id.encode()) % SHARDS


# An entry in memory and in the register: `before` and `until`.
Span = tuple[float, float | None]


class Revocations:
    """The entries, and the credentials in use.

    Args:
        now: seconds since 1970.
        token_max_seconds: the longest life of a token; 0 for no bound.
    """

    def __init__(self, now: Callable[[], float], token_max_seconds: int = 0) -> None:
        self._now = now
        self.token_max_seconds = token_max_seconds
        self._entries: list[dict[str, Span]] = [{} for _ in range(SHARDS)]
        # One object for each key or token in use, however many grants rest on it.
        self._credentials: WeakValueDictionary[tuple[object, ...], Credential]
        self._credentials = WeakValueDictionary()

    # Credentials

    def credential(
        self,
        *,
        key: str = "",
        token_id: str = "",
        subject: str = "",
        issued: float | None = None,
        account: str = "",
    ) -> Credential:
        """The credential with these names, marked if it is revoked."""
        names = (key, token_id, subject, issued, account)
        found = self._credentials.get(names)
        if found is None:
            found = Credential(
                key=key, token_id=token_id, subject=subject, issued=issued, account=account
            )
            self._credentials[names] = found
            self.mark(found)
        return found

    def mark(self, credential: Credential) -> bool:
        """Mark a credential if an entry covers it; whether that is new."""
        if credential.revoked or not self._covers(credential):
            return False
        credential.revoked = True
        return True

    def in_use(self) -> list[Credential]:
        """The credentials in use."""
        return list(self._credentials.values())

    def _covers(self, credential: Credential) -> bool:
        if credential.key:
            return self._span(RevocationKind.KEY, credential.key) is not None
        if credential.token_id and self._span(RevocationKind.TOKEN, credential.token_id):
            return True
        return any(
            self._covers_subject(name, credential.issued)
            for name in (credential.subject, credential.account)
            if name
        )

    def _covers_subject(self, name: str, issued: float | None) -> bool:
        span = self._span(RevocationKind.SUBJECT, name)
        return span is not None and (issued is None or issued < span[0])

    def _span(self, kind: RevocationKind, name: str) -> Span | None:
        id = f"{kind}:{name}"
        return self._entries[zlib.crc32(id.encode()) % SHARDS].get(id)

    # Entries

    def take(self, shard: int, data: bytes) -> bool:
        """Take the value of a shard; whether it lacks entries that are known here. A failover that
        lost writes takes none from memory.
        """
        stored = _parsed(data)
        known = self._live(self._entries[shard])
        merged = self._entries[shard] = self._live(_union(known, stored))
        return any(stored.get(id) != merged[id] for id in known if id in merged)

    def value(self, shard: int, data: bytes, *new: Revocation) -> bytes:
        """The next value of a shard: what is stored, what is known here, and `new` entries.

        Raises:
            RevocationsFull: it would be too large.
        """
        entries = _union(_parsed(data), self._entries[shard])
        entries = _union(entries, {each.id: (each.before, each.until) for each in new})
        value = orjson.dumps(self._live(entries))
        if len(value) > MAX_EVENT_BYTES:
            raise RevocationsFull
        return value

    def _live(self, entries: dict[str, Span]) -> dict[str, Span]:
        now = self._now() - GRACE_SECONDS
        return {id: span for id, span in entries.items() if span[1] is None or span[1] > now}

    def __len__(self) -> int:
        return sum(map(len, self._entries))

    def __repr__(self) -> str:
        return f"<Revocations {len(self)} entries, {len(self._credentials)} credentials>"


def _parsed(data: bytes) -> dict[str, Span]:
    return {id: (before, until) for id, (before, until) in orjson.loads(data or b"{}").items()}


def _union(one: dict[str, Span], other: dict[str, Span]) -> dict[str, Span]:
    """All entries; of two with one id the later times."""
    united = dict(one)
    for id, (before, until) in other.items():
        if id in united:
            known_before, known_until = united[id]
            before = max(before, known_before)
            until = None if until is None or known_until is None else max(until, known_until)
        united[id] = (before, until)
    return united
