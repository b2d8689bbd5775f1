"""A hub as the benchmarks set it up, for all tests that put it under load."""

from collections.abc import Iterator

import pytest

from benchmarks.servers.pushhub import Front


@pytest.fixture(scope="session")
def front() -> Iterator[Front]:
    """`pushhub serve` on the store in memory, with keys and CORS."""
    with Front("memory") as server:
        yield server
