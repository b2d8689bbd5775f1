from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.api.test_auth import KEYS
from tests.browser.chromium import Chromium, Profile
from tests.browser.site import Site
from tests.serving import Server, fresh, serve


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    with Chromium() as chromium:
        yield chromium


@pytest.fixture
async def profile(chromium: Chromium) -> AsyncIterator[Profile]:
    """A profile of its own for each test; no page of it failed."""
    profile = Profile(chromium, fresh("profile"))
    yield profile
    errors = await profile.errors()
    await profile.close()
    assert errors == []


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def own() -> Iterator[Server]:
    """A hub of the test's own, which counts for it alone."""
    with serve() as server:
        yield server


@pytest.fixture
def open_to_all() -> Iterator[Server]:
    """A hub for pages of every origin, also of those without a name: with `dev` only pages of this
    machine have access.
    """
    given: dict[str, Any] = {"public": True, "cors_origins": ["*"], "metrics_public": True}
    with serve(dev=False, api_keys=KEYS, **given) as server:
        yield server
