"""A hub in this process with a canary, whose rounds the tests begin themselves."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pushhub.app import App
from pushhub.log.read import Page, Read
from pushhub.server.server import Server
from pushhub.server.sockets import bound
from pushhub.settings import Settings
from pushhub.store.base import StoreUnavailable
from pushhub.store.memory import MemoryStore

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from pushhub.log.cursor import Since
    from pushhub.log.event import Event
    from pushhub.store.base import Append, Listener, Outcome

# So long a failing check takes here; a working one takes milliseconds.
FAULTED_SECONDS = 3.0
# The first round by itself would be after 150 s.
INTERVAL = 300


class LossyListener:
    """The hub, which receives an event only if the store does not lose it."""

    def __init__(self, listener: Listener, store: LossyStore) -> None:
        self._listener = listener
        self._store = store

    def wake(self, event: Event) -> None:
        if not self._store.is_silent:
            self._listener.wake(event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


class LossyStore(MemoryStore):
    """A log in memory with the faults that a test switches on."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        """Whether it accepts no event, and reads none."""
        self.is_silent = False
        """Whether its feed is cut."""
        self.loses: set[int] = set()
        """The offsets that no read returns, without a gap."""

    async def open(self, listener: Listener) -> None:
        await super().open(LossyListener(listener, self))

    def append(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        if self.fails:
            done([StoreUnavailable("The disk is full.") for _ in appends])
        else:
            super().append(appends, done)

    async def read(self, channel: str, since: Since, limit: int) -> Read:
        if self.fails:
            raise StoreUnavailable("The disk is full.")
        read = await super().read(channel, since, limit)
        return self._lossy(read) if isinstance(read, Page) else read

    async def tail(self, channel: str, limit: int) -> Page:
        if self.fails:
            raise StoreUnavailable("The disk is full.")
        return self._lossy(await super().tail(channel, limit))

    def _lossy(self, page: Page) -> Page:
        kept = tuple(event for event in page.events if event.offset not in self.loses)
        return Page(kept, page.cursor, page.up_to_date)


class Running:
    """A hub that runs, and its canary."""

    def __init__(self, server: Server, store: LossyStore) -> None:
        assert server.canary is not None
        self.server = server
        self.app = server.app
        self.hub = server.app.service.hub
        self.store = store
        self.canary = server.canary

    async def red(self, seconds: float = FAULTED_SECONDS) -> set[str]:
        """The checks that fail in one more round."""
        self.canary.limit = seconds
        await self.canary.check()
        return {name for name, ok in self.canary.ok().items() if not ok}


@asynccontextmanager
async def running(sock: socket.socket | None = None, **settings: Any) -> AsyncIterator[Running]:
    """A hub on a free port or on `sock`, with a `LossyStore` unless the settings name another."""
    store = LossyStore()
    given = {"store": "memory://", "dev": True, "drain_seconds": 0, "canary": INTERVAL, **settings}
    app = App(Settings(**given), store=None if "store" in settings else store)
    server = Server(app, lambda *ports: None)
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup([sock or bound("127.0.0.1", 0, shares=False)])
    try:
        yield Running(server, store)
    finally:
        await server.shutdown()


def canary_lines(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The canary's log lines: their events and checks."""
    for line in lines:
        if line["event"].startswith("canary."):
            yield line["event"], line["check"]
