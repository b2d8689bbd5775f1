"""Trace contexts on their way to the origin."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from tests.origin.scripted import Call, Scripted
from tests.serving import Server, serve
from tests.tracing.conftest import traced
from tests.tracing.test_requests import context
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.tracing.collector import Collector

ROUTES = [{"path": "/shared/*", "step": "notify"}, {"path": "/*"}]
RESPONSE = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 2\r\n\r\nok'


@pytest.fixture(scope="module")
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
async def origin(listening: socket.socket) -> AsyncIterator[Scripted]:
    async with Scripted(listening) as origin:
        yield origin


@pytest.fixture(scope="module", params=["front", "asgi"])
def server(
    listening: socket.socket, collector: Collector, request: pytest.FixtureRequest
) -> Iterator[Server]:
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with traced(collector, request.param, origin=url, routes=ROUTES) as server:
        yield server


async def test_the_origin_gets_the_span_of_the_request(
    server: Server, origin: Scripted, collector: Collector
) -> None:
    trace, client, traceparent = context()
    target = f"/plain/{server.driver}"
    answer = await server.get(target, traceparent=traceparent, tracestate="vendor=1")
    assert answer.status == 200
    spans = await asyncio.to_thread(collector.wait, kind="server", trace=trace)
    assert [(span.name, span.parent) for span in spans] == [("GET", client)]
    assert spans[0].attributes["http.response.status_code"] == 200
    (call,) = origin.calls
    assert call.all("traceparent") == [spans[0].traceparent.encode()]
    assert call.all("tracestate") == [b"vendor=1"]


async def test_a_request_without_a_context_has_none_at_the_origin(
    server: Server, origin: Scripted
) -> None:
    assert (await server.get("/plain/none")).status == 200
    assert origin.calls[-1].all("traceparent") == []


async def test_a_shared_fetch_links_to_its_waiters(
    server: Server, origin: Scripted, collector: Collector
) -> None:
    """It is a child of the first one's request, so the origin's spans are in that trace."""
    released = asyncio.Event()

    async def act(call: Call) -> None:
        await released.wait()
        await call.send(RESPONSE)

    target = f"/shared/{server.driver}"
    origin.acts[target] = act
    contexts = [context() for _ in range(2)]
    async with await server.connect() as one, await server.connect() as two:
        # The fetch in flight is not recent enough for a request that waits and comes later.
        for client, (_, _, traceparent) in zip((one, two), contexts, strict=True):
            client.send("GET", target, {"traceparent": traceparent, "prefer": "wait=60"})
            await until(lambda: origin.calls)
        later = context()
        async with await server.connect() as three:
            three.send("GET", target, {"traceparent": later[2], "prefer": "wait=60"})
            await received(server)
            released.set()
            for client in (one, two, three):
                assert (await client.receive()).status == 200
    first, second, third = (trace for trace, _, _ in (*contexts, later))
    spans = [
        await asyncio.to_thread(collector.wait, kind="server", trace=trace)
        for trace in (first, second, third)
    ]
    places = [span.place for (span,) in spans]
    fetches = await asyncio.to_thread(collector.wait, kind="client", trace=first)
    (fetch,) = fetches
    assert fetch.parent == places[0][1]
    assert fetch.links == (places[0],)
    assert origin.calls[0].all("traceparent") == [fetch.traceparent.encode()]
    # Both others wait for the second fetch.
    (fetch,) = await asyncio.to_thread(collector.wait, kind="client", trace=second)
    assert fetch.parent == places[1][1]
    assert fetch.links == (places[1], places[2])
    assert fetch.attributes["pushhub.waiters"] == 2
    assert fetch.attributes["pushhub.fetch.result"] in ("found", "unchanged")


async def received(server: Server) -> None:
    """Wait until the server has read what was sent before: a request of a later connection."""
    for _ in range(2):
        assert (await server.get("/livez")).status == 200


async def test_without_tracing_a_context_passes_unchanged(
    listening: socket.socket, origin: Scripted
) -> None:
    _, _, traceparent = context()
    with serve(origin=f"http://127.0.0.1:{origin.port}") as server:
        assert (await server.get("/", traceparent=traceparent)).status == 200
        (call,) = origin.calls
        assert call.all("traceparent") == [traceparent.encode()]
