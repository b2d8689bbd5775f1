"""What all tests share: Hypothesis' profile, the search path of commands, the lanes, and a hub."""

import gc
import os
import resource
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests import outside, wire
from tests.hubs import _hub_process, hub
from tests.lanes import (
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_ignore_collect,
    pytest_runtest_call,
)
from tests.redis_servers import rack, redis_shelf

__all__ = [
    "_hub_process",
    "hub",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_ignore_collect",
    "pytest_runtest_call",
    "rack",
    "redis_shelf",
]

# How long an example takes, or is drawn, says more of what else the machine does than of the code.
settings.register_profile(
    "pushhub",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("pushhub")

# Tests and their processes find the programs that were installed for the tests first.
os.environ["PATH"] = outside.path()

# Thousands of connections need thousands of files; servers inherit the limit.
_, _most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_most_files, _most_files))


def pytest_collection_finish() -> None:
    """Thousands of collected tests live until the end. Frozen, they cost no later collection: each
    full one took a third of a second, and the simulation and the tests of leaks demand them.
    """
    gc.collect()
    gc.freeze()


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
