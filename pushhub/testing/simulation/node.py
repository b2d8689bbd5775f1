"""One process of pushhub: the whole application behind its HTTP/1.1 driver, without a socket."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

from uvicorn.config import Config
from uvicorn.server import ServerState

from pushhub.app import App
from pushhub.server.http1.factory import ConnectionFactory
from pushhub.server.server import GRACE_SECONDS
from pushhub.testing.simulation.log import View
from pushhub.testing.simulation.loop import PROCESS, Process, SimulatedLoop, kill
from pushhub.testing.simulation.network import SimulatedEnd
from pushhub.testing.simulation.scales import weigh

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from typing import Any, Protocol

    from pushhub.runtime import Runtime
    from pushhub.settings import Settings
    from pushhub.store.base import Store
    from pushhub.testing.simulation.network import Network, SimulatedListener

    class Exchange(Protocol):
        """A request that is answered by the ASGI driver."""

        async def receive(self) -> Any: ...
        async def reply(self, message: Any) -> None: ...
        def lose(self) -> None: ...


PORT = 8080
# The name by which clients know all nodes, as behind a load balancer: resources are shared by it.
PUBLIC_HOST = "push.example.com"


class Node:
    """A hub with an address of its own: `name`, port 8080."""

    def __init__(
        self, network: Network, name: str, settings: Settings, store: Store | None, runtime: Runtime
    ) -> None:
        self.name = name
        self.process = Process(name)
        self.settings = settings
        self.store = store
        self.started = 0.0
        """When it was ready."""
        self.is_up = False
        self.accepts = False
        """Whether requests are taken."""
        self.exchanges: dict[Exchange, None] = {}
        """The requests that the ASGI driver serves now."""
        self.app: App
        self._network = network
        self._runtime = runtime
        self._listener: SimulatedListener | None = None
        self._factory: ConnectionFactory
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = contextvars.copy_context()
        self._context.run(PROCESS.set, self.process)

    async def start(self) -> None:
        """Open the store, then listen."""
        await self.inside(self._start())

    async def _start(self) -> None:
        self.app = App(self.settings, store=self.store, runtime=self._runtime)
        # What the console says of a process must not depend on this one.
        self.app.console.agent.process |= {"node": self.name, "pid": 1}
        await self.app.open()
        factory = self._factory = ConnectionFactory(self.app)
        # `Any`: uvicorn calls what it is given, and asks for a class.
        http: Any = factory
        config = Config(self.app, http=http, ws="none", lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        self._listener = self._network.listen(self.name, PORT, lambda: factory(config, state, {}))
        self.started = asyncio.get_running_loop().time()
        self.is_up = self.accepts = True

    def serve(self, exchange: Exchange, scope: dict[str, Any]) -> None:
        """Answer a request by the ASGI driver."""
        self.exchanges[exchange] = None
        call = self.app(scope, exchange.receive, exchange.reply)
        task = asyncio.get_running_loop().create_task(call, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        task.result()

    @property
    def connections(self) -> list[SimulatedEnd]:
        """The server's ends of its connections."""
        return list(self._listener.open) if self._listener is not None else []

    def reroute(self, settings: Settings) -> None:
        """Take other routes, as a process does that gets SIGHUP."""
        self.settings = settings
        self._context.copy().run(self.app.reconfigure, settings)

    async def stop(self) -> None:
        """Leave as a process does that gets SIGTERM (`server.server`)."""
        await self.inside(self._stop())

    async def _stop(self) -> None:
        service, settings = self.app.service, self.settings
        service.leaving = True
        await asyncio.sleep(settings.drain_delay)
        await self.app.hand_over()
        await service.hub.drain(settings.drain_seconds)
        await service.hub.drain(0)
        self._network.unlisten(self.name, PORT)
        self.accepts = False
        self._lose_exchanges()
        for end in self.connections:
            end.get_protocol().shutdown()  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        if self._tasks:
            # An ASGI server ends the requests that it serves before it ends the application.
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
        for end in self.connections:
            end.close()
        await self.app.close()
        for end in self.connections:
            # The process is gone, and with it what it had not sent.
            end.abort()
        self.is_up = False

    @property
    def running_tasks(self) -> int:
        """The tasks of its process that have not ended."""
        return sum(not task.done() for task in self.process.tasks)

    def left_over(self) -> dict[str, int]:
        """The tasks and timers that a closed application has left behind."""
        counts = {
            "tasks": self.running_tasks,
            "timers": _loop().timers(self.process, outside=(View, SimulatedEnd)),
        }
        return {what: count for what, count in counts.items() if count}

    def end(self) -> None:
        """The process exits, whatever is left in it."""
        kill(self.process)
        _loop().forget(self.app.service.hub)

    def crash(self) -> None:
        """End in the middle of whatever happens, as after SIGKILL."""
        self._network.unlisten(self.name, PORT)
        self.accepts = False
        self.end()
        self._lose_exchanges()
        for end in self.connections:
            end.vanish()
        self.is_up = False

    def _lose_exchanges(self) -> None:
        for exchange in list(self.exchanges):
            exchange.lose()
        self.exchanges.clear()

    async def inside(self, work: Coroutine[None, None, None]) -> None:
        """Do something in the node's process."""
        await asyncio.get_running_loop().create_task(work, context=self._context)

    def owns(self, sid: str) -> bool:
        """Whether a BOSH session lives here."""
        xmpp = self.app.xmpp
        return xmpp is not None and xmpp.bosh.has(sid)

    def weigh(self) -> dict[str, int]:
        """How much there is of all that should not grow: counts, and bytes by `Class.attribute`."""
        app, hub = self.app, self.app.service.hub
        connections = self.connections
        weight = {
            "holds": hub.parked,
            "channels": len(hub.channels),
            "deadlines": len(hub.wheel),
            "tasks": self.running_tasks,
            "timers": _loop().timers(self.process),
            "connections": len(connections),
            "unsent": sum(end.get_write_buffer_size() for end in connections),
        }
        if isinstance(self.store, View):
            weight["subscribed"] = len(self.store.subscribed)
        if app.xmpp is not None:
            weight["sessions"] = len(app.xmpp.bosh)
        if app.origin is not None and app.origin.resources is not None:
            weight["resources"] = len(app.origin.resources)
        protocols = [end.get_protocol() for end in connections]
        return weight | weigh([app, self._factory, *protocols])

    def miscounted(self) -> Iterator[str]:
        """The figures that the application keeps itself, and that are wrong."""
        app, channels = self.app, self.app.service.hub.channels
        tails = sum(channel.tail.size for channel in channels if channel.tail is not None)
        if channels.tail_bytes != tails:
            yield f"tails have {tails} bytes, {channels.tail_bytes} are counted"
        if app.origin is not None and app.origin.resources is not None:
            resources = app.origin.resources
            size = sum(resource.size for resource in resources)
            if resources.size != size:
                yield f"resources have {size} bytes, {resources.size} are counted"

    def __repr__(self) -> str:
        return f"<Node {self.name}{'' if self.is_up else ', down'}>"


def _loop() -> SimulatedLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return loop
