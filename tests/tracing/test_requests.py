"""Requests, publishes and deliveries of one hub, as a collector receives them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.serving import Server, events_of, fresh
from tests.tracing.conftest import traced
from tests.waiting import NEWS_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tracing.collector import Collector


@pytest.fixture(scope="module", params=["front", "asgi"])
def server(collector: Collector, request: pytest.FixtureRequest) -> Iterator[Server]:
    with traced(collector, request.param, sqlite_store()) as server:
        yield server


def sqlite_store() -> str:
    return "sqlite:///push.db"


def context() -> tuple[str, str, str]:
    """A trace, a span, and the header of both."""
    trace, span = os.urandom(16).hex(), os.urandom(8).hex()
    return trace, span, f"00-{trace}-{span}-01"


async def test_a_publish_and_its_delivery_are_one_trace(
    server: Server, collector: Collector
) -> None:
    trace, client, traceparent = context()
    channel = fresh("orders:")
    path = events_of(channel)
    async with server.holding("GET", path + "?since=now&wait=60") as held:
        receipt = await server.publish(channel, {"n": 1}, traceparent=traceparent)
        assert (await held).json()["events"][0]["data"] == {"n": 1}
    (request,) = collector.wait(kind="server", trace=trace)
    (send,) = collector.wait(kind="producer", trace=trace)
    (delivery,) = collector.wait(kind="consumer", trace=trace)
    assert (request.name, request.parent) == ("POST /v1/channels/{channel}/events", client)
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["http.route"] == "/v1/channels/{channel}/events"
    assert request.attributes["url.path"] == path
    assert request.attributes["url.scheme"] == "http"
    assert (send.name, send.parent) == ("send orders", request.id)
    assert send.attributes["messaging.message.id"] == receipt["id"]
    assert send.attributes["messaging.destination.template"] == "orders:{name}"
    assert (delivery.name, delivery.parent) == ("deliver orders", send.id)
    assert delivery.links == (send.place,)
    assert delivery.attributes["messaging.operation.type"] == "process"
    assert delivery.attributes["pushhub.holds"] == 1
    assert delivery.attributes["pushhub.holds.completed"] == 1
    about = send.resource
    assert about["service.name"] == "push"
    assert about["service.instance.id"]
    assert about["service.version"]


async def test_a_fan_out_is_one_span_with_the_number_of_its_holds(
    server: Server, collector: Collector
) -> None:
    trace, _, traceparent = context()
    channel = fresh()
    path = events_of(channel) + "?since=now&wait=60"
    async with (
        server.holding("GET", path) as one,
        server.holding("GET", path) as two,
        server.holding("GET", path) as three,
    ):
        await server.publish(channel, 1, traceparent=traceparent)
        for held in (one, two, three):
            assert (await held).status == 200
    (send,) = collector.wait(kind="producer", trace=trace)
    assert send.name == "send"
    (delivery,) = collector.wait(kind="consumer", trace=trace)
    assert delivery.attributes["pushhub.holds"] == 3
    assert delivery.attributes["pushhub.holds.completed"] == 3


async def test_a_held_request_has_a_span_when_it_ends(server: Server, collector: Collector) -> None:
    """A client that polls with one and the same context: no cache takes the second request."""
    trace, client, traceparent = context()
    channel = fresh()
    path = events_of(channel) + "?since=now&wait=60"
    for number in (1, 2, 3):
        async with server.holding("GET", path, traceparent=traceparent) as held:
            assert not [span for span in collector.spans if span.trace == trace][number - 1 :]
            await server.publish(channel, number)
            assert (await held).status == 200
        spans = collector.wait(number, kind="server", trace=trace)
        assert {(span.name, span.parent) for span in spans} == {
            ("GET /v1/channels/{channel}/events", client)
        }


async def test_a_client_that_leaves_ends_the_span(server: Server, collector: Collector) -> None:
    trace, _, traceparent = context()
    async with server.holding(
        "GET", events_of(fresh()) + "?since=now&wait=60", traceparent=traceparent
    ):
        pass
    (request,) = collector.wait(kind="server", trace=trace)
    assert request.attributes["error.type"] == "disconnected"


async def test_pages_have_a_span_and_probes_without_a_context_have_none(
    server: Server, collector: Collector
) -> None:
    trace, client, traceparent = context()
    assert (await server.get("/livez")).status == 200
    assert (await server.get("/docs", traceparent=traceparent)).status in (200, 404)
    (request,) = collector.wait(kind="server", trace=trace)
    assert (request.name, request.parent) == ("GET", client)
    assert not [span for span in collector.spans if span.attributes.get("url.path") == "/livez"]


async def test_a_publish_without_a_context_begins_a_trace(
    server: Server, collector: Collector
) -> None:
    channel = fresh("alone:")
    await server.publish(channel, 1)
    (send,) = collector.wait(name="send alone")
    assert (send.parent, send.kind) == ("", "producer")


async def test_a_refused_publish_says_why(server: Server, collector: Collector) -> None:
    trace, _, traceparent = context()
    answer = await server.post(events_of(fresh()), 1, traceparent=traceparent, if_match='"a-1"')
    assert answer.status == 412, answer
    (send,) = collector.wait(kind="producer", trace=trace)
    assert (send.failed, send.attributes["error.type"]) == (True, "Mismatch")


async def test_a_context_that_is_not_sampled_is_not_exported(
    server: Server, collector: Collector
) -> None:
    trace, _, traceparent = context()
    channel = fresh()
    async with server.holding("GET", events_of(channel) + "?since=now&wait=60") as held:
        await server.publish(channel, 1, traceparent=traceparent[:-1] + "0")
        assert (await held).status == 200
    later, _, traceparent = context()
    await server.publish(channel, 2, traceparent=traceparent)
    collector.wait(kind="producer", trace=later)
    assert not [span for span in collector.spans if span.trace == trace]


@pytest.mark.parametrize(
    "broken", ["", "00-0-0-01", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01", "x" * 4000]
)
async def test_a_broken_context_is_no_context(
    server: Server, collector: Collector, broken: str
) -> None:
    channel = fresh("broken:")
    before = len([span for span in collector.spans if span.name == "send broken"])
    await server.publish(channel, 1, traceparent=broken)
    *_, send = collector.wait(before + 1, name="send broken")
    assert send.parent == ""


async def test_clients_do_not_receive_the_context(server: Server, collector: Collector) -> None:
    _, _, traceparent = context()
    channel = fresh()
    async with server.streaming(events_of(channel)) as stream:
        await server.publish(channel, 1, traceparent=traceparent)
        event = await stream.next()
        assert "traceparent" not in str(event)
    answer = await server.get(events_of(channel) + "?since=earliest")
    assert b"traceparent" not in answer.body


async def test_results_are_counted(server: Server, collector: Collector) -> None:
    channel = fresh("counted:")
    before = await server.metric('pushhub_spans_total{result="exported"}')
    await server.publish(channel, 1)
    collector.wait(name="send counted")
    # The count follows the response of the collector.
    async with asyncio.timeout(NEWS_SECONDS):
        while await server.metric('pushhub_spans_total{result="exported"}') <= before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
