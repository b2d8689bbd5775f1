"""Requests without a credential are refused by their heads alone, before their bodies are sent."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from pushhub.api.endpoints import ROUTES, EndpointRoute
from pushhub.api.grip import GRIP_ROUTES
from pushhub.api.needs import anyone
from pushhub.app import App
from pushhub.settings import Settings
from tests.serving import DRIVERS, Server, serve

KEY = {"name": "k", "sha256": "0" * 64, "publish": ["*"]}
# The endpoints that have their credentials in the body.
OPEN = {"/http-bind"}


def _routes() -> tuple[EndpointRoute, ...]:
    app = App(Settings.model_validate({"store": "memory://", "api_keys": [KEY]}))
    return (*ROUTES, *app.console.routes, *GRIP_ROUTES)


def _cases() -> Iterator[tuple[str, str]]:
    for route in _routes():
        for method, endpoint in route.endpoints.items():
            assert endpoint.needs is not anyone, f"{method} {route.path} is open"
            if route.path not in OPEN:
                yield method, route.path.replace("{channel}", "news")


CASES = list(_cases())


@pytest.fixture(scope="module", params=DRIVERS)
def hub(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve(request.param, dev=False, api_keys=[KEY], store="memory://") as server:
        yield server


async def _exchange(port: int, head: bytes) -> AsyncIterator[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    try:
        async with asyncio.timeout(10):
            while piece := await reader.read(65536):
                yield piece
    finally:
        writer.close()


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("expects", [False, True], ids=["sends", "expects"])
@pytest.mark.parametrize(("method", "path"), CASES)
async def test_the_head_refuses(
    hub: Server, method: str, path: str, expects: bool, framing: str
) -> None:
    """No body byte is sent, and the final response is the first one."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", framing]
    if expects:
        lines.append("Expect: 100-continue")
    data = b""
    async for piece in _exchange(hub.port, "\r\n".join([*lines, "", ""]).encode()):
        data += piece
        if b"\r\n\r\n" in data:
            break
    status = int(data.split(b" ", 2)[1])
    assert status in (401, 403), data
    assert b"connection: close" in data.lower()


@pytest.mark.parametrize("path", ["/v1/publish", "/v1/channels/news/events", "/publish/"])
async def test_a_client_that_sends_its_body_anyway_reads_the_refusal(
    hub: Server, path: str
) -> None:
    """The close does not reset the connection before the response is read."""
    size = 200_000
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n".encode()
    for _ in range(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        try:
            async with asyncio.timeout(10):
                writer.write(head + bytes(1000))
                first = await reader.readuntil(b"\r\n\r\n")
                assert first.startswith(b"HTTP/1.1 401 ")
                writer.write(bytes(size - 1000))
                rest = await reader.read()
                assert b"urn:pushhub:problem:unauthorized" in rest
        finally:
            writer.close()


async def test_an_unknown_method_is_refused_by_its_head(hub: Server) -> None:
    head = b"PUT /v1/poll HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    data = b""
    async for piece in _exchange(hub.port, head):
        data += piece
    assert data.startswith(b"HTTP/1.1 405 ")


async def test_a_body_in_pieces_with_its_credential_is_read() -> None:
    for driver in DRIVERS:
        with serve(driver) as server:
            head = (
                b"POST /v1/channels/news/events HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n"
                b"Expect: 100-continue\r\n\r\n"
            )
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            async with asyncio.timeout(10):
                writer.write(head)
                assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
                writer.write(b"12")
                writer.write(b"34")
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            writer.close()
            assert await server.log("news") == [1234]
