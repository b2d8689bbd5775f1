"""The connections to an origin: their limit, their reuse, and requests that are cancelled."""

import asyncio

import pytest

from pushhub.http.problem import Problem
from pushhub.origin.client.connection import UpstreamConnection
from pushhub.origin.client.pool import ConnectionPool, OriginClient
from pushhub.origin.client.slots import PoolLimits, Use
from pushhub.origin.origin import Origin
from pushhub.settings import Settings
from pushhub.testing.simulation.network import Network
from tests.origin.client.simulated import (
    HOST,
    PORT,
    URL,
    SimulatedOrigin,
    client_of,
    never,
    origin_and_client,
    virtual_loop,
)
from tests.origin.scripted import Act, Call


async def fails(client: OriginClient, path: str = "/x") -> tuple[str, float]:
    """The problem of a request, and the seconds until it came."""
    begun = virtual_loop().time()
    with pytest.raises(Problem) as caught:
        await client.request("GET", URL + path, ())
    return caught.value.slug, virtual_loop().time() - begun


async def succeeds(client: OriginClient, path: str = "/x") -> None:
    response = await client.request("GET", URL + path, ())
    assert response.status == 200
    response.close()


async def capacity(origin: SimulatedOrigin, client: OriginClient) -> int:
    """How many requests can be in flight together."""
    origin.acts["/never"] = never
    origin.calls.clear()
    asking = [asyncio.create_task(client.request("GET", f"{URL}/never", ())) for _ in range(9)]
    await asyncio.sleep(0.5)
    count = len(origin.calls)
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    return count


async def test_an_origin_that_refuses_connections_and_accepts_them_later() -> None:
    async with client_of() as client:
        for _ in range(3):
            assert (await fails(client))[0] == "origin-unreachable"
        async with SimulatedOrigin(None) as origin:  # type: ignore[arg-type]
            await succeeds(client)
            assert len(origin.calls) == 1
            assert await capacity(origin, client) == 3, "a failed connection keeps no slot"


async def test_a_connection_that_is_never_made() -> None:
    async with client_of(connect=1.0) as client:
        virtual_loop().network.latency = 3600
        slug, seconds = await fails(client)
    assert slug == "origin-timeout"
    assert seconds == pytest.approx(1.0)


async def test_the_setting_bounds_the_time_of_a_connection() -> None:
    Network(virtual_loop()).latency = 3600
    origin = Origin(Settings(dev=True, origin=URL, origin_connect_seconds=0.3))
    origin.open()
    slug, seconds = await fails(origin.client)
    assert slug == "origin-timeout"
    assert seconds == pytest.approx(0.3)
    await origin.close()


async def test_a_request_waits_for_a_free_connection() -> None:
    async with origin_and_client({"/never": never}, connections=1) as (_, client):
        asking = asyncio.create_task(client.request("GET", f"{URL}/never", ()))
        await asyncio.sleep(0.1)
        slug, seconds = await fails(client)
        assert slug == "origin-timeout"
        assert seconds == pytest.approx(1.0)
        asking.cancel()
        await asyncio.wait([asking])
        await succeeds(client)


async def test_a_connection_is_used_again() -> None:
    async with origin_and_client() as (origin, client):
        for _ in range(20):
            await succeeds(client)
        assert origin.connections == 1


async def idle_connection(head: bytes) -> tuple[ConnectionPool, UpstreamConnection]:
    """A pool of three whose one connection is idle after a request with this head."""
    pool = ConnectionPool(URL, PoolLimits.of(3))
    _, connection = await virtual_loop().create_connection(
        lambda: UpstreamConnection(pool.released), HOST, PORT
    )
    await pool.slots.acquire(Use(), 1)
    pool.connections.add(connection)
    method = head.partition(b" ")[0].decode()
    response = await connection.send(method, head, None, None, chunked=False)
    response.close()
    assert pool.idle == [connection]
    return pool, connection


async def test_a_connection_that_closes_while_idle_is_counted_once() -> None:
    """Its end is reported in the next turn of the loop; a request looks for a connection before."""
    async with origin_and_client():
        pool, connection = await idle_connection(b"GET /x HTTP/1.1\r\nHost: origin\r\n\r\n")
        await pool.slots.acquire(Use(), 1)
        connection.transport.close()
        assert pool.take_idle(connection.last_active, 1) is None
        pool.slots.release(Use())
        await asyncio.sleep(0.1)
        assert not pool.connections
        assert not pool.idle
        for _ in range(3):
            await pool.slots.acquire(Use(), 1)
        with pytest.raises(Problem):
            await pool.slots.acquire(Use(), 1)


async def closes(call: Call) -> None:
    """Respond, and close the connection that the client keeps."""
    await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    raise ConnectionError


@pytest.mark.parametrize("acts", [{}, {"/x": closes}], ids=["kept", "closed"])
async def test_a_request_cancelled_at_any_moment_is_counted_once(acts: dict[str, Act]) -> None:
    for moment in range(20):
        async with origin_and_client({**acts}) as (origin, client):
            asking = asyncio.create_task(client.request("POST", f"{URL}/x", ()))
            # A moment is half of a network's latency: while connecting, sending, or receiving.
            await asyncio.sleep(moment * virtual_loop().network.latency / 2)
            asking.cancel()
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.result().close()
            await asyncio.sleep(0.1)
            assert await capacity(origin, client) == 3, moment
            assert client.in_flight == 0


async def test_an_origin_closes_an_idle_connection() -> None:
    """The pool forgets it when its end arrives, before any request looks for a connection."""
    async with origin_and_client({"/x": closes}):
        pool, _ = await idle_connection(
            b"POST /x HTTP/1.1\r\nHost: origin\r\nContent-Length: 0\r\n\r\n"
        )
        await asyncio.sleep(0.1)
        assert not pool.idle
        assert not pool.connections
