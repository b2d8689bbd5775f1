"""From a store's address to the store."""

from __future__ import annotations

import re

import pytest

from pushhub.store.base import StoreError
from pushhub.store.memory import MemoryStore
from pushhub.store.redis.url import SentinelUrl, read_sentinel_url
from pushhub.store.sqlite.store import SqliteStore
from pushhub.store.urls import open_store_url, without_password


def test_memory() -> None:
    assert isinstance(open_store_url("memory://"), MemoryStore)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///pushhub.db", "pushhub.db"),
        ("sqlite:///data/pushhub.db", "data/pushhub.db"),
        ("sqlite:////var/lib/pushhub.db", "/var/lib/pushhub.db"),
        ("sqlite:///my%20log.db", "my log.db"),
    ],
)
def test_sqlite(url: str, path: str) -> None:
    store = open_store_url(url)
    assert isinstance(store, SqliteStore)
    assert repr(store) == f"<SqliteStore {path}  closed 0 pending>"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgres://host/db", "the forms are memory://, sqlite:///relative.db"),
        ("pushhub.db", "no URL of a store"),
        ("", "no URL of a store"),
        ("memory://host", "write memory://"),
        ("memory:///path", "write memory://"),
        ("sqlite://pushhub.db", "write sqlite:///relative.db"),
        ("sqlite://host/pushhub.db", "write sqlite:///relative.db"),
        ("sqlite:///", "write sqlite:///relative.db"),
        ("sqlite:///a.db?mode=ro", "write sqlite:///relative.db"),
        ("sqlite:///a%00b", "write sqlite:///relative.db"),
        ("sqlite:///:memory:", "use memory://"),
    ],
)
def test_what_names_no_store(url: str, sentence: str) -> None:
    with pytest.raises(StoreError, match=re.escape(sentence)):
        open_store_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("sqlite:////data/a:b@c.db", "sqlite:////data/a:b@c.db"),
        ("redis://db:6379/0", "redis://db:6379/0"),
        ("redis://hub@db/0", "redis://hub@db/0"),
        ("redis://hub:s3cret@db:6379/0", "redis://hub:**********@db:6379/0"),
        ("rediss://:s3@cr:et@db/0?ssl_ca_certs=a", "rediss://:**********@db/0?ssl_ca_certs=a"),
        ("unix://hub:s3cret@/run/r.sock?db=1", "unix://hub:**********@/run/r.sock?db=1"),
        ("redis://db/0?password=s3cret&db=2", "redis://db/0?password=**********&db=2"),
        (
            "redis+sentinel://u:s3cret@a:1,b:2/main/0?sentinel_password=s3@cret",
            "redis+sentinel://u:**********@a:1,b:2/main/0?sentinel_password=**********",
        ),
        ("redis://:s3?cr/et@db/0", "redis://:**********@db/0"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        ("a", [("a", 26379)]),
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        ("[::1]:3,[::2]", [("::1", 3), ("::2", 26379)]),
    ],
)
def test_sentinels_are_hosts_with_or_without_a_port(
    hosts: str, addresses: list[tuple[str, int]]
) -> None:
    told = read_sentinel_url(f"redis+sentinel://u%20:p%40@{hosts}/main/3?sentinel_password=%3D")
    assert told == SentinelUrl(addresses, "main", 3, "u ", "p@", "=")
    assert read_sentinel_url(f"redis+sentinel://{hosts}/main").database == 0


@pytest.mark.parametrize("rest", ["", "a", "a/", "a:x/main", "a/main/x", "a/main/0/1"])
def test_a_bad_address_of_sentinels_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match=r"redis\+sentinel|invalid literal"):
        read_sentinel_url(f"redis+sentinel://{rest}")
