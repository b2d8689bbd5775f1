"""One pushhub of each kind in front of an origin that every test scripts anew."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.origin.scripted import Scripted
from tests.serving import Server, serve

OPERATED = "/_pushhub"


def listening() -> socket.socket:
    """A socket of loopback that listens; who connects waits until somebody accepts."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(512)
    return sock


@pytest.fixture(scope="session")
def _origin_socket() -> Iterator[socket.socket]:
    with listening() as sock:
        yield sock


@pytest.fixture(scope="session")
def _front_passing(_origin_socket: socket.socket) -> Iterator[Server]:
    port = _origin_socket.getsockname()[1]
    with serve(
        origin=f"http://127.0.0.1:{port}",
        cors_origins=["https://page.example"],
        origin_seconds=2,
        origin_connect_seconds=1,
    ) as server:
        yield server


@pytest.fixture(scope="session")
def _asgi_passing(_origin_socket: socket.socket) -> Iterator[Server]:
    port = _origin_socket.getsockname()[1]
    with serve("asgi", origin=f"http://127.0.0.1:{port}", origin_seconds=2) as server:
        yield server


@pytest.fixture
async def origin(_origin_socket: socket.socket) -> AsyncIterator[Scripted]:
    """What stands behind pushhub."""
    async with Scripted(_origin_socket) as scripted:
        yield scripted


@pytest.fixture
def front(_front_passing: Server) -> Iterator[Server]:
    """pushhub; after every test it serves and regrets nothing."""
    yield _front_passing
    unharmed(_front_passing)


@pytest.fixture(params=["front", "asgi"])
def passing(request: pytest.FixtureRequest) -> Iterator[Server]:
    """pushhub with either driver."""
    server: Server = request.getfixturevalue(f"_{request.param}_passing")
    yield server
    unharmed(server)


def unharmed(server: Server) -> None:
    """Look at it after a test: it lives, and others are served."""
    assert server.process.poll() is None, f"the server died:\n{server.output}"
    assert asyncio.run(server.get(f"{OPERATED}/livez")).status == 200
    server.check()
