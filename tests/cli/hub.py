"""A real hub, for commands that need one."""

from collections.abc import Iterator

import pytest

from tests.serving import serve


@pytest.fixture(scope="module")
def hub_url() -> Iterator[str]:
    """The address of a real `pushhub serve --dev`."""
    with serve() as server:
        yield f"http://127.0.0.1:{server.port}"
    assert server.process.returncode == 0
