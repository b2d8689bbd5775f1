"""One scripted origin, and in front of it a real Pushpin or pushhub."""

import base64
from collections.abc import Iterator

import pytest

from tests.peers.gate import KEY, Gate
from tests.peers.origin import Origin, scripted_origin
from tests.peers.pushpin import pushpin
from tests.serving import serve


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """An origin that does as it is told, for every test; each has paths of its own."""
    with scripted_origin() as origin:
        yield origin


@pytest.fixture(scope="session", params=["pushpin", "pushhub"])
def gate(request: pytest.FixtureRequest, origin: Origin) -> Iterator[Gate]:
    """What stands in front of the origin."""
    key = "base64:" + base64.b64encode(KEY).decode()
    if request.param == "pushpin":
        with pushpin(origin.port, key) as (port, control):
            yield Gate("pushpin", origin, port, control, "")
    else:
        with serve(origin=f"http://127.0.0.1:{origin.port}", grip_key=key) as server:
            yield Gate("pushhub", origin, server.port, server.port, "/_pushhub")
