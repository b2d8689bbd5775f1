"""One scripted origin, and in front of it a real Pushpin or pushhub."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import outside
from tests.peers.gate import KEY, Gate, pushhub_before
from tests.peers.origin import Origin, scripted_origin
from tests.peers.pushpin import pushpin

SECRET = "base64:" + base64.b64encode(KEY).decode()
GATES = ["pushpin", "pushhub"]

JS = Path(__file__).parent / "js"


@contextmanager
def gate_before(name: str, origin: Origin) -> Iterator[Gate]:
    """Pushpin or pushhub in front of an origin, with a control endpoint that asks for no key."""
    if name == "pushpin":
        with pushpin(origin.port, SECRET) as peer:
            yield Gate("pushpin", origin, peer.port, peer.control, peer)
        return
    with pushhub_before(origin, grip_key=SECRET) as gate:
        yield gate


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """An origin that does as it is told, for every test; each has paths of its own."""
    with scripted_origin() as origin:
        yield origin


@pytest.fixture(scope="session", params=GATES)
def gate(request: pytest.FixtureRequest, origin: Origin) -> Iterator[Gate]:
    """What stands in front of the origin."""
    with gate_before(request.param, origin) as gate:
        yield gate


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js, when the GRIP libraries are installed."""
    outside.require("grip-libraries")
    return outside.require("node")
