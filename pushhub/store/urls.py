"""From a store's address to the store."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pushhub.store.base import StoreError
from pushhub.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.store.base import Store
    from pushhub.store.redis.acks import Acks

KNOWN = (
    "memory://, sqlite:///relative.db, sqlite:////absolute.db, redis://host:6379/0, "
    "rediss://host:6379/0, unix:///path.sock and redis+sentinel://host:26379,host2:26379/service"
)

MASK = "**********"
_LOGIN = re.compile(r"^([\w+]+://[^:@/?]*:).*(?=@)", re.DOTALL)
_PASSWORD = re.compile(r"(?<=password=)[^&]*", re.IGNORECASE)


def without_password(url: str) -> str:
    """An address as it may be shown."""
    if url.startswith("sqlite:"):
        return url
    return _LOGIN.sub(rf"\1{MASK}", _PASSWORD.sub(MASK, url))


def sqlite_file(url: str) -> str:
    """The file of a `sqlite` address.

    Raises:
        StoreError: it names none.
    """
    parts = urlsplit(url)
    return _path(url, parts.netloc, parts.path, parts.query)


def open_store_url(
    url: str,
    clock: Callable[[], float] = time.time,
    acks: Acks | None = None,
    idle_age: float | None = None,
    *,
    may_evict: bool = False,
) -> Store:
    """The store at `url`, not opened yet. `clock` gives seconds since 1970, where the store has no
    clock of its own; `acks` is what a publish must reach in Redis, and `may_evict` whether one that
    may evict logs will do; `idle_age` is after how many seconds without a publish a channel is
    removed, None for never.

    Raises:
        StoreError: the address names no store; the sentence lists those that do.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "memory":
            if parts.netloc or parts.path or parts.query:
                raise StoreError(f"{url!r} has more than a scheme; write memory://.")
            return MemoryStore(clock, idle_age=idle_age)
        case "sqlite":
            # Needs the system's file locks, which are no business of who wants memory alone.
            from pushhub.store.sqlite.store import SqliteStore

            return SqliteStore(sqlite_file(url), clock, idle_age=idle_age)
        case "redis" | "rediss" | "unix" | "redis+sentinel":
            # Needs redis-py, which takes a while to import.
            from pushhub.store.redis.store import RedisStore

            return RedisStore(url, acks=acks, may_evict=may_evict, idle_age=idle_age)
    raise StoreError(f"{url!r} is no URL of a store; the forms are {KNOWN}.")


def _path(url: str, host: str, path: str, query: str) -> str:
    """The file of a `sqlite` address: what follows the third slash."""
    name = unquote(path[1:])
    if host or query or not name or "\0" in name:
        raise StoreError(
            f"{url!r} names no database file; write sqlite:///relative.db or sqlite:////absolute.db."
        )
    if name == ":memory:":
        raise StoreError("For a log in memory use memory://.")
    return name
