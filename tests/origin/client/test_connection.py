"""A connection to an origin that is silent: the deadline, on virtual time."""

import asyncio

import pytest

from pushhub.http.problem import Problem
from pushhub.origin.client.pool import CHECK_SECONDS
from tests.origin.client.simulated import URL, origin_and_client, virtual_loop
from tests.origin.scripted import Call

SILENT = 2.0
# The check's period, and the way there and back.
LATE = CHECK_SECONDS + 0.01
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_silence_in_the_head_ends_the_request(said: bytes) -> None:
    async def act(call: Call) -> None:
        await call.send(said)
        await call.reader.read()

    async with origin_and_client({"/x": act}) as (_, client):
        begun = virtual_loop().time()
        with pytest.raises(Problem) as caught:
            await client.request("GET", f"{URL}/x", ())
        assert caught.value.slug == "origin-timeout"
        assert SILENT <= virtual_loop().time() - begun <= SILENT + LATE


async def test_silence_in_the_body_ends_the_response() -> None:
    async def act(call: Call) -> None:
        await call.send(HEAD + b"12345")
        await call.reader.read()

    async with origin_and_client({"/x": act}) as (_, client):
        response = await client.request("GET", f"{URL}/x", ())
        assert response.connection is not None
        begun = virtual_loop().time()
        assert await response.connection.read() == b"12345"
        with pytest.raises(Problem) as caught:
            await response.connection.read()
        assert caught.value.slug == "origin-timeout"
        assert SILENT - 0.01 <= virtual_loop().time() - begun <= SILENT + LATE
        response.close()


async def test_a_slow_origin_is_not_a_silent_one() -> None:
    """The deadline counts from the last byte, not from the request."""

    async def act(call: Call) -> None:
        await call.send(HEAD)
        for _ in range(6):
            await asyncio.sleep(SILENT - 0.1)
            await call.send(b".")

    async with origin_and_client({"/x": act}) as (_, client):
        response = await client.request("GET", f"{URL}/x", ())
        assert response.connection is not None
        for _ in range(6):
            assert await response.connection.read() == b"."
        assert await response.connection.read() == b""
        response.close()
