"""The tests of traces run on virtual time; those of the console's pages and endpoints do not."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.hub.virtual import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name == "test_trace.py":
        return {"virtual": VirtualLoop}
    return {"real": asyncio.new_event_loop}
