"""Both clients, and a hub that the tests of a process share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.clients.python.both import Kind
from tests.serving import Server, serve

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Each of the two clients in turn."""
    with asyncio.Runner() as runner:
        yield Kind(request.param, runner)


@pytest.fixture(scope="session")
def shared() -> Iterator[Server]:
    """A hub without authentication, with channels that keep few events (`small:*`)."""
    with serve(namespaces={"small": {"retention_events": 3}}) as server:
        yield server


@pytest.fixture
def url(shared: Server) -> str:
    """The URL of the shared hub."""
    return f"http://127.0.0.1:{shared.port}"
