"""The notifications of one source: checked, gathered for a moment, and handed on together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from pushhub.origin.shared.notifications import MAX_RESOURCES
from pushhub.origin.shared.scope import NotificationScope, is_pattern, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.hub.counted_log import CountedLog
    from pushhub.origin.shared.notifications import Notifications
    from pushhub.origin.shared.table import ResourceTable

log = structlog.get_logger(__name__)

# A burst of changes is looked up in the table of resources together. The first one of a burst does
# not wait; a reader notices no 20 ms.
GATHER_SECONDS = 0.02
# Notifications that a moment's changes may append to the log. More are a bulk change, too.
MAX_APPENDS = 100
# Names that are gathered, about 1 MB. More are a bulk change, which counts for all resources of the
# source.
MAX_GATHERED = 10_000


def catch_all(pattern: str) -> str:
    """A pattern for all resources that a pattern with `{name}` can name."""
    head, brace, _ = pattern.partition("{")
    return head.rpartition("/")[0] + "/*" if brace else pattern


class NotifiedTable:
    """Notifies this process alone. Every process with the same settings receives the same changes
    by itself, so no notification passes through the store; a change with a key costs one fetch on
    all nodes.
    """

    __slots__ = ("_table",)

    def __init__(self, table: ResourceTable) -> None:
        self._table = table

    def notify(self, gathered: dict[str, str]) -> bool:
        """Notify of resources, each with the key of its change; False if there are too many."""
        # Most rows of a table are of no client.
        paths = self._table.paths
        by_key: dict[str, list[str]] = {}
        for name, key in gathered.items():
            if is_pattern(name) or name.partition("?")[0] in paths:
                by_key.setdefault(key, []).append(name)
        for key, resources in by_key.items():
            self._table.notified(resources, f"source:{key}" if key else "")
        return True

    def notify_all(self, resources: list[str]) -> None:
        """Notify of all resources of a source, after a loss."""
        self._table.notified(resources, "")


class NotifiedNodes:
    """Notifies all nodes through the store: the others do not receive the changes. A key, which
    several processes of one machine find, counts once.
    """

    __slots__ = ("_notifications",)

    def __init__(self, notifications: Notifications) -> None:
        self._notifications = notifications

    def notify(self, gathered: dict[str, str]) -> bool:
        """Notify of resources, each with the key of its change; False if there are too many."""
        by_key: dict[str, list[str]] = {}
        for name, key in gathered.items():
            by_key.setdefault(key, []).append(name)
        if len(by_key) > MAX_APPENDS or any(
            len(names) > MAX_RESOURCES for names in by_key.values()
        ):
            return False
        for key, resources in by_key.items():
            self._notifications.report(resources, f"source:{key}" if key else "")
        return True

    def notify_all(self, resources: list[str]) -> None:
        """Notify of all resources of a source, after a loss."""
        self._notifications.report(resources)


class SourceSink:
    """Takes the names of changed resources, and notifies of those that the source may notify.

    Args:
        name: the name of the source.
        patterns: the resources that it may notify.
    """

    __slots__ = ("_everything", "_gathered", "_log", "_name", "_overflow", "_scope", "_target",
                 "_timer")  # fmt: skip

    def __init__(
        self,
        name: str,
        patterns: Sequence[str],
        target: NotifiedTable | NotifiedNodes,
        counted: CountedLog,
    ) -> None:
        self._name = name
        self._everything = list(dict.fromkeys(map(catch_all, patterns)))
        self._scope = NotificationScope((*patterns, *self._everything))
        self._target = target
        self._log = counted
        # Resource → the key of the change, the same in all processes; empty for none.
        self._gathered: dict[str, str] = {}
        self._overflow = False
        self._timer: asyncio.TimerHandle | None = None

    def take(self, resource: str, key: str = "") -> None:
        """A resource has changed: a path, with or without a query, or a pattern."""
        if (why := self._refusal(resource)) != "":
            name = self._name
            self._log.warning(log, "source.bad_notification", name, source=name, why=why)
            return
        if len(self._gathered) < MAX_GATHERED:
            self._gathered[resource] = f"{self._name}:{key}" if key else ""
        else:
            self._overflow = True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(0, self._flush)

    def lost(self) -> None:
        """Changes may be missed: all resources of the source may have changed."""
        self._gathered.clear()
        self._overflow = False
        self._target.notify_all(self._everything)

    def close(self) -> None:
        """Hand on no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _flush(self) -> None:
        self._timer = None
        if not self._gathered:
            return
        gathered, self._gathered = self._gathered, {}
        overflow, self._overflow = self._overflow, False
        if overflow or not self._target.notify(gathered):
            self.lost()
        self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)

    def _refusal(self, resource: str) -> str:
        """Why the source must not notify of a resource; empty if it may."""
        if why := refusal(resource):
            return why
        if self._scope.covers(resource):
            return ""
        return f"The 'resources' of the source do not cover {resource[:200]!r}."
