"""The front of a test: the hub of its module, and an origin of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.origin.apis import Api
from tests.origin.shared.front import Front
from tests.serving import Server


@pytest.fixture
async def front(hub: tuple[Server, int]) -> AsyncIterator[Front]:
    server, port = hub
    async with Api.running(port) as api:
        front = Front(server, api)
        yield front
        await front.parked(0)
