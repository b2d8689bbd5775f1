"""Fixtures for pytest: `pytest_plugins = ["pushhub.testing.fixtures"]` in a `conftest.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pushhub.testing.virtual import VirtualHub

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def virtual_hub() -> Iterator[VirtualHub]:
    """A hub on virtual time."""
    with VirtualHub() as hub:
        yield hub
