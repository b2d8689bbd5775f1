"""The tests of the client's deadlines and connections run on virtual time, on a network in memory;
the others use sockets.
"""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from pushhub.testing.simulation.loop import SimulatedLoop

VIRTUAL = ("test_connection.py", "test_pool.py")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name in VIRTUAL:
        return {"virtual": SimulatedLoop}
    return {"real": asyncio.new_event_loop}
