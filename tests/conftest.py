"""Servers that whole modules of tests share: every test uses channels of its own."""

import asyncio
import os
import resource
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import outside, wire
from tests.serving import Server, serve

# Both drivers, and both stores: one answers while it is asked, the other later, from a thread.
HUBS = ["front-memory", "front-sqlite", "asgi-memory"]


# How long an example takes, or is drawn, says more of what else the machine does than of the code.
settings.register_profile(
    "pushhub",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pushhub")

# What was installed for the tests is what they, and what they start, find first.
os.environ["PATH"] = outside.path()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a failed test left waiting at a server that tests share is no concern of the next: it
    ends before the fixtures look whether the server still holds anything.
    """
    report = yield
    if call.when == "call" and report.failed:
        wire.hang_up()
    return report


@pytest.fixture(scope="session", autouse=True)
def _many_files() -> None:
    """Thousands of connections need thousands of files; servers inherit the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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
