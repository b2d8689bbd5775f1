"""Hubs that whole modules of tests share: every test uses channels of its own."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.serving import Server, serve

# Both drivers and both stores. One store responds during the call, the other later, from a thread.
HUBS = ["front-memory", "front-sqlite", "asgi-memory"]


@pytest.fixture(scope="session", params=HUBS)
def _hub_process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    driver, _, store = request.param.partition("-")
    url = "memory://"
    if store == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('hub') / 'hub.db'}"
    with serve(driver, url) as server:
        yield server


@pytest.fixture
def hub(_hub_process: Server) -> Iterator[Server]:
    """A server without authentication; after every test it holds nothing and regrets nothing."""
    yield _hub_process
    assert _hub_process.process.poll() is None, f"the server died:\n{_hub_process.output}"
    asyncio.run(_hub_process.held(0))
    _hub_process.check()
