"""Requests that reach a server in the moment of its stop: none is reset without a response."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING

import pytest

from pushhub.server.sockets import accept_queued, has_unread
from tests.serving import events_of, fresh, serve

if TYPE_CHECKING:
    from tests.wire import Client

COUNT = 40


@pytest.mark.parametrize("driver", ["new", "kept"])
async def test_requests_in_the_moment_of_a_stop_are_served(driver: str) -> None:
    """The process is stopped while the requests arrive, and learns of them and of its stop at once.
    New connections wait in the queue of the listener.
    """
    async with AsyncExitStack() as stack:
        hub = stack.enter_context(serve())

        async def connected() -> Client:
            return await stack.enter_async_context(await hub.connect())

        clients: list[Client] = []
        if driver == "kept":
            for _ in range(COUNT):
                clients.append(await connected())
                assert (await clients[-1].ask("POST", events_of(fresh()), body=b"1")).status == 200
        hub.signal(signal.SIGSTOP)
        # Before the requests, so that the stop is not noticed after them.
        hub.signal(signal.SIGTERM)
        if driver == "new":
            clients = [await connected() for _ in range(COUNT)]
        for client in clients:
            client.send("POST", events_of(fresh()), body=b"1")
        hub.signal(signal.SIGCONT)
        responses = [await client.receive() for client in clients]
        assert {response.status for response in responses} == {200}
        assert await hub.left() == 0


def test_what_waits_at_a_listener_is_accepted_before_it_closes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        assert accept_queued(listening, 100) == []
        with ExitStack() as stack:
            clients = [
                stack.enter_context(socket.create_connection(listening.getsockname()))
                for _ in range(4)
            ]
            for client in clients:
                client.sendall(b"request")
            accepted = accept_queued(listening, 3)
            assert len(accepted) == 3, "a flood is not accepted without end"
            accepted += accept_queued(listening, 100)
            listening.close()
            assert len(accepted) == 4
            for near in accepted:
                with near:
                    near.setblocking(True)
                    assert near.recv(100) == b"request"
                    near.sendall(b"response")
            assert [client.recv(100) for client in clients] == [b"response"] * 4


async def test_bytes_that_are_not_read_yet_are_noticed() -> None:
    near, far = socket.socketpair()
    with far:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, near)
        transport.pause_reading()
        try:
            assert not has_unread(transport)
            far.sendall(b"x")
            assert has_unread(transport)
        finally:
            transport.abort()
