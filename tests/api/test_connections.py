"""Clients as they are: old, closing, leaving, too many."""

import asyncio
import json
import time
from typing import Any

import pytest

from tests.serving import SOON, Server, events_of, fresh, serve, value_of


async def raw(hub: Server, request: str) -> bytes:
    """Everything that is answered until the server closes."""
    async with await hub.connect() as client:
        client.writer.write(request.encode())
        async with asyncio.timeout(10):
            return await client.reader.read()


async def test_an_http_1_0_client_gets_a_length_and_a_close(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    for head in (f"GET {value_of(channel)} HTTP/1.0\r\n\r\n", "GET /livez HTTP/1.0\r\n\r\n"):
        answer = await raw(hub, head)
        fields, _, body = answer.partition(b"\r\n\r\n")
        assert fields.split()[1] == b"200"
        assert b"content-length: %d" % len(body) in fields.lower()
        assert b"transfer-encoding" not in fields.lower()


async def test_an_http_1_0_client_can_wait(hub: Server) -> None:
    channel = fresh()
    request = f"GET {events_of(channel)}?since=now HTTP/1.0\r\nPrefer: wait=20\r\n\r\n"
    answer = asyncio.create_task(raw(hub, request))
    await hub.held(1)
    await hub.publish(channel, "for all")
    assert b'"for all"' in await answer


async def test_an_http_1_0_client_can_stream(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, "one")
    request = f"GET {events_of(channel)} HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n"
    answer = asyncio.create_task(raw(hub, request))
    await hub.held(1)
    await hub.ask("DELETE", value_of(channel))
    fields, _, body = (await answer).partition(b"\r\n\r\n")
    assert b'data: "one"\n\n' in body
    if hub.driver == "front":  # COMPAT: uvicorn's own parser sends chunks to HTTP/1.0 too
        assert b"transfer-encoding" not in fields.lower()


@pytest.mark.parametrize("wait", ["", "\r\nPrefer: wait=1"], ids=["plain", "waiting"])
async def test_connection_close_gets_a_response_and_a_close(hub: Server, wait: str) -> None:
    target = events_of(fresh()) + "?since=now"
    answer = await raw(
        hub, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close{wait}\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"}")


async def test_a_connection_serves_many_requests(hub: Server) -> None:
    channel = fresh()
    async with await hub.connect() as client:
        for number in range(50):
            assert (await client.ask("POST", events_of(channel), body=b"%d" % number)).status == 200
            assert (await client.ask("GET", value_of(channel))).body == b"%d" % number
            if number % 10 == 0:
                assert (await client.ask("GET", "/livez")).status == 200


async def test_requests_that_are_sent_ahead_are_answered_in_order(hub: Server) -> None:
    channel = fresh()
    await hub.publish(channel, 1)
    one = f"GET {value_of(channel)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    two = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = f"GET {events_of(channel)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = await raw(hub, one + two + one + last)
    assert answer.count(b"HTTP/1.1 200 ") == 4
    places = [answer.index(b'"live"'), answer.index(b'{"events"')]
    assert places == sorted(places)


async def test_a_request_in_small_pieces_is_a_request(hub: Server) -> None:
    channel = fresh()
    body = '{"slow":true}'
    head = (
        f"POST {events_of(channel)} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    )
    async with await hub.connect() as client:
        for byte in (head + "\r\n" + body).encode():
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert b" 200 " in await client.reader.readline()
    assert await hub.log(channel) == [{"slow": True}]


@pytest.mark.parametrize("how", ["closes", "resets"])
async def test_a_disconnected_client_frees_its_hold_within_a_second(hub: Server, how: str) -> None:
    channel, times = fresh(), []
    for _ in range(3):
        before = await hub.metric('pushhub_disconnect_total{reason="client"}')
        clients = [await hub.connect() for _ in range(20)]
        for client in clients:
            client.send("GET", events_of(channel) + "?since=now&wait=50")
        await hub.held(20)
        begun = time.monotonic()
        for client in clients:
            if how == "closes":
                client.close()
            else:
                client.writer.transport.abort()
        await hub.held(0)
        times.append(time.monotonic() - begun)
        assert await hub.metric('pushhub_disconnect_total{reason="client"}') == before + 20
    # The machine may be busy with something else once, or twice.
    assert min(times) < 1.0
    assert (await hub.publish(channel, 1))["offset"] == 1


async def test_a_disconnected_stream_frees_its_hold(hub: Server) -> None:
    async with hub.streaming(events_of(fresh()) + "?since=now") as stream:
        await stream.next()
        await hub.held(1)
    await hub.held(0, seconds=1.0)


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_a_poll_counts_once_for_each_of_its_channels(driver: str) -> None:
    def poll(number: int) -> dict[str, Any]:
        return {"channels": {f"many:{number}:{n}": "now" for n in range(400)}, "wait": 30}

    with serve(driver, max_holds=1000) as server:
        clients = [await server.connect() for _ in range(3)]
        for number, client in enumerate(clients):
            body = json.dumps(poll(number)).encode()
            client.send("POST", "/v1/poll", {"content-type": "application/json"}, body)
        await server.held(3)
        assert await server.metric("pushhub_channel_waits") == 1200
        refused = await server.post("/v1/poll", poll(3))
        assert "preference-applied" not in refused.headers
        assert 2000 <= refused.json()["retry_ms"] <= 5000
        await server.publish("many:0:7", 1)
        assert (await clients[0].receive()).json()["events"][0]["data"] == 1
        clients[1].close()
        await server.held(1)
        assert await server.metric("pushhub_channel_waits") == 400
        await server.publish("many:2:7", 1)
        await clients[2].receive()
        for client in clients:
            client.close()
        await server.held(0)
        assert await server.metric("pushhub_channel_waits") == 0


@pytest.mark.parametrize("driver", ["front", "asgi"])
async def test_a_poll_over_max_holds_gets_an_immediate_response_with_an_interval(
    driver: str,
) -> None:
    with serve(driver, max_holds=3) as server:
        channel = fresh()
        cursor = (await server.publish(channel, 1))["cursor"]
        clients = [await server.connect() for _ in range(3)]
        for client in clients:
            client.send("GET", f"{events_of(channel)}?since={cursor}&wait=30")
        await server.held(3)
        begun = time.monotonic()
        feed = await server.get(f"{events_of(channel)}?since={cursor}", prefer="wait=30")
        value = await server.get(value_of(channel), prefer="wait=30", if_none_match=f'"{cursor}"')
        none = await server.get(value_of(fresh()), prefer="wait=30")
        many = await server.post("/v1/poll", {"channels": {channel: "now"}, "wait": 30})
        assert time.monotonic() - begun < SOON
        assert [answer.status for answer in (feed, value, none, many)] == [200, 304, 404, 200]
        for answer in (feed, value, none, many):
            assert "preference-applied" not in answer.headers
            assert 2 <= int(answer.headers["x-poll-interval"]) <= 5
        assert feed.json()["cursor"] == cursor
        assert 2000 <= feed.json()["retry_ms"] <= 5000
        async with server.streaming(events_of(channel) + "?since=now") as stream:
            await stream.next()
            assert 2000 <= ((await stream.next()).retry or 0) <= 5000
            with pytest.raises(StopAsyncIteration):
                await stream.next()
        assert await server.metric('pushhub_rejected_total{reason="full"}') == 5
        await server.publish(channel, 2)
        for client in clients:
            assert (await client.receive()).json()["events"][0]["data"] == 2
            client.close()
        async with server.holding("GET", events_of(channel) + "?since=now&wait=30"):
            pass
