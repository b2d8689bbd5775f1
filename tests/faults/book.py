"""Where everybody who takes part writes what they see: the history, and a few measurements."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from pushhub.testing.history import Record


def place_of(event: dict[str, Any]) -> tuple[str, int, str]:
    """The epoch of an event's birth, its offset and its content, as a feed lists it.

    After a change of epochs its cursor is of the present one, and `epoch` says the older.
    """
    epoch, _, offset = event["cursor"].rpartition("-")
    return event.get("epoch", epoch), int(offset), event["data"]["id"]


class Book:
    """The history of one run, in the order in which things were seen."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._begun = time.monotonic()
        self._invoked: dict[str, float] = {}
        # Where acknowledged events were born: a stream's ids say the epoch of today.
        self._births: dict[tuple[str, str, int], str] = {}
        # (reader, channel) → when the newest event that it has was published.
        self.newest: dict[tuple[str, str], float] = {}
        # Seconds until a publish was refused; and by how much an answer outlasted its wait.
        self.refusals: list[float] = []
        self.overdue = 0.0
        # What went wrong beside the history.
        self.complaints: list[str] = []

    def now(self) -> float:
        return time.monotonic() - self._begun

    def write(self, type: str, **members: Any) -> None:
        self.records.append({"type": type, "at": round(self.now(), 6), **members})

    # Publishers

    def invoke(self, channel: str, id: str, *, key: bool) -> None:
        self._invoked.setdefault(id, self.now())
        self.write("invoke", channel=channel, id=id, key=key)

    def ok(self, channel: str, id: str, receipt: dict[str, Any]) -> None:
        epoch, offset = receipt["epoch"], receipt["offset"]
        self._births[channel, id, offset] = epoch
        reached = receipt.get("reached", "")
        self.write("ok", channel=channel, id=id, epoch=epoch, offset=offset, reached=reached)

    # Readers

    def read(
        self,
        reader: str,
        channel: str,
        since: str | None,
        cursor: str,
        events: list[Any],
        **more: Any,
    ) -> None:
        """An answer; events are as a feed lists them."""
        listed = []
        for event in events:
            epoch, offset, id = place_of(event)
            # A stream has no room for the epoch of an event's birth: the receipt says it.
            listed.append([self._births.get((channel, id, offset), epoch), offset, id])
            self.saw(reader, channel, id)
        members = {"reader": reader, "channel": channel, "since": since, "cursor": cursor, **more}
        self.write("read", **members, events=listed)

    def saw(self, reader: str, channel: str, id: str) -> None:
        invoked = self._invoked.get(id, 0.0)
        trail = (reader, channel)
        self.newest[trail] = max(invoked, self.newest.get(trail, 0.0))

    def gap(self, reader: str, channel: str, since: str, cursor: str, gap: dict[str, Any]) -> None:
        told = {name: gap[name] for name in ("reason", "oldest", "latest")}
        self.write("gap", reader=reader, channel=channel, since=since, cursor=cursor, **told)

    # The nemesis

    def fault(self, name: str, *, loses: bool) -> None:
        self.write("fault", name=name, loses=loses)

    def heal(self, name: str) -> float:
        self.write("heal", name=name)
        return self.now()

    def save(self, path: Path) -> None:
        """Write the history to a file that `python -m pushhub.testing.history` reads."""
        path.write_text("".join(json.dumps(record) + "\n" for record in self.records))
