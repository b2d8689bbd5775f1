"""From a store's address to the store."""

from __future__ import annotations

import re

import pytest

from pushhub.store.base import StoreError
from pushhub.store.memory import MemoryStore
from pushhub.store.sqlite import SqliteStore
from pushhub.store.urls import open_store_url


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
        ("postgres://host/db", "known are memory://, sqlite:///relative.db"),
        ("pushhub.db", "no address of a store"),
        ("", "no address of a store"),
        ("memory://host", "write memory://"),
        ("memory:///path", "write memory://"),
        ("sqlite://pushhub.db", "write sqlite:///relative.db"),
        ("sqlite://host/pushhub.db", "write sqlite:///relative.db"),
        ("sqlite:///", "write sqlite:///relative.db"),
        ("sqlite:///a.db?mode=ro", "write sqlite:///relative.db"),
        ("sqlite:///a%00b", "write sqlite:///relative.db"),
        ("sqlite:///:memory:", "is memory://"),
    ],
)
def test_what_names_no_store(url: str, sentence: str) -> None:
    with pytest.raises(StoreError, match=re.escape(sentence)):
        open_store_url(url)
