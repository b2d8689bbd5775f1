"""The hub's tests run on a loop whose time is virtual: an hour passes at once, and always alike."""

from collections.abc import Callable, Mapping

import pytest

from tests.hub.virtual import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], VirtualLoop]]:
    return {"virtual": VirtualLoop}
