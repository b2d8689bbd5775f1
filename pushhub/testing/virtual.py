"""A hub on virtual time, for tests of what is built on pushhub.

Nothing waits: `sleep(86_400)` takes as long as what happens in that day. It is the real
application behind its HTTP/1.1 connection, with a log in memory and without a socket.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any, Self

import orjson

from pushhub.runtime import Runtime
from pushhub.settings import Settings
from pushhub.testing.simulation.http import SimulatedClient, SimulatedResponse
from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.network import Network
from pushhub.testing.simulation.node import PUBLIC_HOST, Node

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

NAME = "hub"
# What the wall clock says at the beginning: 2027-01-15T08:00:00Z.
EPOCH_SECONDS = 1_800_000_000.0


class VirtualRequest:
    """A request that was sent; its response may come later."""

    def __init__(
        self, hub: VirtualHub, task: asyncio.Task[SimulatedResponse], client: SimulatedClient
    ) -> None:
        self._hub = hub
        self._task = task
        self._client = client

    @property
    def done(self) -> bool:
        """Whether the response is there."""
        return self._task.done()

    def response(self) -> SimulatedResponse:
        """The response, after as much virtual time as it takes.

        Raises:
            OSError: the connection broke before the response was whole.
            TimeoutError: there was none within two minutes of virtual time.
        """
        response: SimulatedResponse = self._hub.run(self._wait())
        return response

    async def _wait(self) -> SimulatedResponse:
        return await self._task

    def disconnect(self) -> None:
        """Close the connection in the middle of the wait."""
        self._client.close()


class VirtualHub:
    """A hub, and a client of it. `settings` are keywords of `pushhub.settings.Settings`; by default
    a hub in development, which asks for no key. `seed` decides all randomness.
    """

    def __init__(self, seed: int = 0, **settings: Any) -> None:
        self._loop = SimulatedLoop()
        random = Random(seed)
        runtime = Runtime(self.clock, random.uniform, random.randbytes)
        self._network = Network(self._loop)
        defaults = {"dev": True, "store": "memory://", "control_hosts": [PUBLIC_HOST]}
        chosen = Settings(**{**defaults, **settings})
        self._node = Node(self._network, NAME, chosen, None, runtime)
        self.run(self._node.start())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the hub's loop, in virtual time, to its end."""
        return self._loop.run_until_complete(work)

    def clock(self) -> float:
        """The wall clock: seconds since 1970."""
        return EPOCH_SECONDS + self._loop.time()

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.run(asyncio.sleep(seconds))

    def begin(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> VirtualRequest:
        """Send a request on a connection of its own, and let it wait."""
        client = SimulatedClient(self._network, NAME)
        task = self._loop.create_task(client.ask(method, target, headers, body))
        self.run(asyncio.sleep(0.01))
        return VirtualRequest(self, task, client)

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> SimulatedResponse:
        """Send a request, and wait for its response."""
        return self.begin(method, target, headers, body).response()

    def publish(self, channel: str, data: Any, **headers: str) -> Any:
        """Publish JSON to a channel; its receipt."""
        fields = {"content-type": "application/json"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        target = f"/v1/channels/{channel.replace('/', '%2F')}/events"
        return self.ask("POST", target, fields, orjson.dumps(data)).json()

    def close(self) -> None:
        """Answer what still waits, and end."""
        if not self._loop.is_closed():
            self.run(self._node.stop())
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<VirtualHub at {self._loop.time():.3f} s>"
