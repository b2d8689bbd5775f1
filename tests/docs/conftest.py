"""A real server for the commands of the documents."""

from collections.abc import Iterator

import pytest

from tests.serving import serve


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a `pushhub serve --dev` in a process of its own, on a free port. Its metrics
    have a series for each check of the canary, after the first round, and for each namespace with a
    limit.
    """
    with serve(canary=1, namespaces={"news": {"retained_bytes": 1_000_000_000}}) as server:
        yield f"http://127.0.0.1:{server.port}"
