"""Fixtures of the contract suite: a clock, a listener, a lab of each kind and its store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pushhub.store.base import Store
from tests.store.labs import Clock, Lab, Recorder, lab_for, lab_params, opened


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listener() -> Recorder:
    return Recorder()


@pytest.fixture(params=lab_params())
def lab(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Lab:
    return lab_for(request, request.param, tmp_path, clock)


@pytest.fixture
async def store(lab: Lab, listener: Recorder) -> AsyncIterator[Store]:
    async with opened(lab.make(), listener) as store:
        yield store
