"""The log of the scripted server: channels in memory, whose gaps a case makes as it likes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# What a response has at most without a `limit`.
_PAGE = 100


@dataclass(frozen=True, slots=True)
class ModelRead:
    """The result of reading one channel: events after a position, or a gap."""

    events: list[dict[str, Any]]
    cursor: str
    gap: dict[str, str] | None = None
    more: bool = False


@dataclass(slots=True)
class ModelChannel:
    """The events of a channel that are kept; offsets count from 1."""

    events: list[dict[str, Any]] = field(default_factory=list)
    first: int = 1


class ModelLog:
    """A log with one epoch at a time. `now` of a method is the time of an event, RFC 3339."""

    def __init__(self, epoch: str) -> None:
        self.epoch = epoch
        self._channels: dict[str, ModelChannel] = {}

    def cursor(self, offset: int) -> str:
        """The cursor of an offset in the present epoch."""
        return f"{self.epoch}-{offset}"

    def append(self, channel: str, data: Any, now: str, **members: Any) -> str:
        """Append an event; its cursor. `members` are further members of the listed event."""
        kept = self._channels.setdefault(channel, ModelChannel())
        offset = kept.first + len(kept.events)
        event = {"offset": offset, "cursor": self.cursor(offset), "id": self.cursor(offset)}
        kept.events.append(event | {"time": now} | members | {"data": data})
        return self.cursor(offset)

    def trim(self, channel: str, keep: int) -> None:
        """Forget all events but the newest `keep`."""
        kept = self._channels[channel]
        gone = len(kept.events) - keep
        kept.events, kept.first = kept.events[gone:], kept.first + gone

    def cut(self, channel: str, keep: int) -> None:
        """Lose the newest events: only the oldest `keep` are left."""
        del self._channels[channel].events[keep:]

    def restart(self, epoch: str) -> None:
        """Begin a new epoch with an empty log."""
        self.epoch = epoch
        self._channels.clear()

    def read(self, channel: str, since: str, limit: int | None = None) -> ModelRead:
        """The events after `since`: a cursor, `earliest` or `now`. After a gap there are none."""
        kept = self._channels.get(channel, ModelChannel())
        last = kept.first + len(kept.events) - 1
        if since == "now":
            return ModelRead([], self.cursor(last))
        offset = kept.first - 1
        if since != "earliest":
            epoch, _, number = since.rpartition("-")
            offset = int(number) if number.isdecimal() else -1
            reason = (
                "epoch"
                if epoch != self.epoch
                else "trimmed"
                if offset < kept.first - 1
                else "ahead"
                if offset > last
                else ""
            )
            if reason:
                oldest, latest = self.cursor(kept.first - 1), self.cursor(last)
                gap = {"reason": reason, "oldest": oldest, "latest": latest}
                return ModelRead([], oldest, gap)
        found = kept.events[offset - kept.first + 1 :]
        page = found[: limit or _PAGE]
        cursor = self.cursor(page[-1]["offset"] if page else offset)
        return ModelRead(page, cursor, more=len(found) > len(page))
