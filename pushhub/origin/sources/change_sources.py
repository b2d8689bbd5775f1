"""The sources of notifications that pushhub reads by itself, as the settings name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.origin.sources.files import FileSource
from pushhub.origin.sources.postgres import PostgresSource
from pushhub.origin.sources.sink import NotifiedNodes, NotifiedTable, SourceSink
from pushhub.tasks import TaskSet

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from pushhub.hub.hub import Hub
    from pushhub.origin.shared.notifications import Notifications
    from pushhub.origin.sources.followed import FollowedSource
    from pushhub.settings.change_source import ChangeSource


class _Running:
    """A source, the task that reads it, and its sink."""

    __slots__ = ("sink", "source", "task")

    def __init__(self, source: FollowedSource, sink: SourceSink, task: asyncio.Task[None]) -> None:
        self.source = source
        self.sink = sink
        self.task = task

    def end(self) -> None:
        self.task.cancel()
        self.sink.close()


class ChangeSources:
    """The sources of one process, each read by a task of its own."""

    __slots__ = ("_hub", "_notifications", "_running", "_tasks", "_uniform")

    def __init__(
        self, hub: Hub, notifications: Notifications, uniform: Callable[[float, float], float]
    ) -> None:
        self._hub = hub
        self._notifications = notifications
        self._uniform = uniform
        self._running: dict[ChangeSource, _Running] = {}
        self._tasks = TaskSet()

    def configure(self, settings: Sequence[ChangeSource]) -> None:
        """Read these sources from now on. Those that have not changed are not interrupted."""
        current = [source for source in settings if source.kind != "webhook"]
        for source in [source for source in self._running if source not in current]:
            self._running.pop(source).end()
        for source in current:
            if source not in self._running:
                self._running[source] = self._begin(source)

    def _begin(self, source: ChangeSource) -> _Running:
        table, uniform = self._notifications.table, self._uniform
        target: NotifiedTable | NotifiedNodes
        reader: FollowedSource
        if source.kind == "postgres":
            target = NotifiedTable(table)
            sink = SourceSink(source.name, source.resources, target, self._hub.log)
            dsn = source.secret_text()
            reader = PostgresSource(source.name, dsn, source.channel, sink, uniform)
        else:
            assert source.path is not None
            target = NotifiedNodes(self._notifications)
            sink = SourceSink(source.name, source.resources, target, self._hub.log)
            reader = FileSource(source.name, source.path, source.resources, sink, uniform)
        return _Running(reader, sink, self._tasks.spawn(reader.run()))

    def disconnected(self) -> int:
        """The number of sources that are not read at the moment."""
        return sum(not running.source.is_connected for running in self._running.values())

    async def close(self) -> None:
        """Read no more."""
        for running in self._running.values():
            running.end()
        self._running.clear()
        await self._tasks.wait()
