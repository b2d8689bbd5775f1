"""The check of the promises: what clients received, against the log.

The oracle knows the acknowledged events, reads the log, and receives every response. Each finding
names the promise in its first word; `docs/testing.md` lists them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pushhub.testing.simulation.scene import Scene

# A wait ends up to a fifth early, at random (DESIGN, contracts); a tick of the wheel, and the way
# of the response, come on top.
EARLIEST_PART = 0.8
SLACK_SECONDS = 0.5
# The longest time in which a healthy node delivers an event: the feed's delay, a read, a fan-out.
DELIVERY_SECONDS = 2.0


class BrokenPromise(NamedTuple):
    """A promise that was broken."""

    at: float
    kind: str
    actor: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.actor} at {self.at:.3f} s: {self.text}"


@dataclass(slots=True)
class Acknowledged:
    """An event whose publish was acknowledged."""

    channel: str
    epoch: str
    offset: int
    id: str
    asked: float
    at: float


class Oracle:
    """The findings of one run, and the checks on its events and values."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.findings: list[BrokenPromise] = []
        self.acknowledged: dict[str, list[Acknowledged]] = defaultdict(list)
        self._places: dict[tuple[str, str, int], Acknowledged] = {}
        # Channel and node → the values that were seen there, each with when.
        self._values: dict[tuple[str, str], list[tuple[float, tuple[str, int]]]] = {}
        self.deliveries = self.gaps = 0
        self._kinds: Collection[str] = ()
        self._stop: Callable[[], object] | None = None
        self._stopped = False

    def stop_at(self, kinds: Collection[str], stop: Callable[[], object]) -> None:
        """Call `stop` at the first finding of one of these kinds, which is the last one."""
        self._kinds, self._stop = kinds, stop

    def find(self, kind: str, actor: str, text: str) -> None:
        """A promise was broken."""
        if self._stopped:
            return
        finding = BrokenPromise(self._scene.now(), kind, actor, text)
        self.findings.append(finding)
        self._scene.tell(actor, f"!! {kind}: {text}")
        if self._stop is not None and kind in self._kinds:
            self._stop()
            self._stopped = True

    # Publishers

    def published(self, channel: str, cursor: str, id: str, asked: float) -> None:
        """A publish was acknowledged."""
        epoch, offset = split(cursor)
        now = self._scene.now()
        if (channel, epoch, offset) in self._places:
            return  # A repeat with the same key.
        record = Acknowledged(channel, epoch, offset, id, asked, now)
        self.acknowledged[channel].append(record)
        self._places[channel, epoch, offset] = record

    # Feeds

    def page(
        self, actor: str, node: str, channel: str, since: str, page: Any, asked: float
    ) -> None:
        """A feed was read from `since`, a cursor, and this is what came."""
        epoch, offset = split(since)
        now_epoch, now_offset = split(page["cursor"])
        if now_epoch != epoch:
            self.find("silent-epoch", actor, f"{since} became {page['cursor']} without a gap")
        expected = offset
        for event in page["events"]:
            expected += 1
            self.deliveries += 1
            if event["offset"] != expected:
                text = f"offset {event['offset']} where {expected} follows"
                self.find("hole" if event["offset"] > expected else "order", actor, text)
                expected = event["offset"]
            self._content(actor, channel, now_epoch, event)
            self._prompt(actor, node, self._places.get((channel, now_epoch, expected)), asked)
        if now_offset != expected:
            self.find("hole", actor, f"the cursor is {page['cursor']} after offset {expected}")
        if page.get("up_to_date"):
            self._claimed(actor, channel, now_epoch, now_offset, asked, node)

    def _content(self, actor: str, channel: str, epoch: str, event: Any) -> None:
        data = event["data"]
        id = data.get("id") if isinstance(data, dict) else None
        record = self._places.get((channel, epoch, event["offset"]))
        if record is not None and record.id != id:
            self.find("content", actor, f"{epoch}-{event['offset']} is {record.id}, not {id}")

    def _prompt(self, actor: str, node: str, record: Acknowledged | None, asked: float) -> None:
        """A reader that waits gets an event soon after its publish, unless the node's feed has just
        lost a message: then the end of the wait is soon enough.
        """
        if record is None or not self._was_fed(node, record.asked):
            return
        since = self._scene.whole_since(node, max(record.at, asked))
        seconds = self._scene.now() - since
        if seconds > DELIVERY_SECONDS:
            self.find("slow", actor, f"{seconds:.3f} s for {record}")

    def _was_fed(self, node: str, since: float) -> bool:
        """Whether a node's feed has lost no message alone since then."""
        return self._scene.dropped(node) < since

    def _claimed(
        self, actor: str, channel: str, epoch: str, offset: int, asked: float, node: str
    ) -> None:
        """`up_to_date` covers what was acknowledged before the request was sent."""
        for record in reversed(self.acknowledged[channel]):
            if record.at < asked - DELIVERY_SECONDS * 30:
                break
            if record.epoch == epoch and record.at < asked and record.offset > offset:
                # On several nodes a plain read is as new as the node's feed (docs/guarantees.md).
                if self._scene.has_lost(node, channel, offset + 1):
                    return
                is_told = record.at < asked - DELIVERY_SECONDS
                if self._scene.is_certain or is_told:
                    text = f"{channel}: up to date at {offset}, before it came {record}"
                    self.find("stale", actor, text)
                return

    def waited(
        self, actor: str, node: str, granted: float, asked: float, *, empty: bool, excused: bool
    ) -> None:
        """A wait has ended; `excused` if the response says why it is early. `granted` are its
        seconds, or those that were left of its token.
        """
        now = self._scene.now()
        elapsed = now - asked
        if self._scene.troubled(node, asked, now):
            return
        if empty and not excused and elapsed < granted * EARLIEST_PART - SLACK_SECONDS:
            self.find("early", actor, f"a wait of {granted:g} s ended after {elapsed:.3f} s")
        if elapsed > granted + SLACK_SECONDS:
            self.find("late", actor, f"a wait of {granted:g} s ended after {elapsed:.3f} s")

    def delivered_by_token(self, actor: str, page: Any, expires: float, clock: float) -> None:
        """A page came to a client whose token expires then, at the time `clock`, both in seconds
        since 1970. A later event is of the time before the clock was set back.
        """
        for event in page["events"]:
            time = datetime.fromisoformat(event["time"]).timestamp()
            if expires <= time <= clock:
                text = f"event {event['offset']} of {time:.3f} came by a token until {expires:.3f}"
                self.find("outlived", actor, text)

    def missed(self, actor: str, node: str, channel: str, cursor: str, asked: float) -> None:
        """A wait ended with nothing at `cursor`: nothing was acknowledged during it in time."""
        epoch, offset = split(cursor)
        now = self._scene.now()
        for record in reversed(self.acknowledged[channel]):
            if record.at < asked - DELIVERY_SECONDS * 30:
                return
            is_later = record.epoch == epoch and record.offset > offset
            if is_later and record.at < now - DELIVERY_SECONDS:
                # During a wait the log is read once, perhaps before the feed lost a message.
                if not self._scene.troubled(node, record.asked, now) and self._was_fed(node, asked):
                    text = f"{channel}: nothing after {cursor}, but {record} was there"
                    self.find("missed", actor, text)
                return

    def gap(self, actor: str, channel: str, since: str, problem: Any) -> None:
        """A client received a gap."""
        self.gaps += 1
        log_epoch, oldest, top = self._scene.log.span(channel)
        epoch, offset = split(since)
        if epoch == log_epoch and oldest - 1 <= offset <= top:
            text = f"{channel}: {since} is still covered by {oldest} to {top}: {problem}"
            self.find("false-gap", actor, text)

    def ended(self, actor: str, channel: str, cursor: str) -> None:
        """A reader has read to the end, at the end of the run."""
        log_epoch, _, top = self._scene.log.span(channel)
        if split(cursor) != (log_epoch, top):
            self.find("lost", actor, f"{channel}: the end is {cursor}, the log's {log_epoch}-{top}")

    # Values

    def value(
        self,
        actor: str,
        node: str,
        channel: str,
        cursor: str,
        own: tuple[str, int] | None,
        asked: float,
    ) -> None:
        """A value was read by a request that was sent at `asked`; `own` is what the reader itself
        wrote there before.
        """
        seen = split(cursor)
        history = self._values.setdefault((channel, node), [])
        # Responses that were on their way at one time may arrive in any order.
        before = next((value for at, value in reversed(history) if at < asked), None)
        if before is not None and before[0] == seen[0] and seen[1] < before[1]:
            self.find("back", actor, f"{channel} on {node} went from {before} to {cursor}")
        if not history or history[-1][1][0] != seen[0] or seen[1] > history[-1][1][1]:
            history.append((self._scene.now(), seen))
        if own is not None and own[0] == seen[0] and seen[1] < own[1]:
            self.find("own-write", actor, f"{channel} on {node}: {cursor} after writing {own}")

    def forget_values(self) -> None:
        """The log has lost its end, so the newest value that is left is older. A value's ETag has
        the epoch of its event and does not show the loss; feeds show it as a gap, and `lost` checks
        that.
        """
        self._values.clear()

    def forget_node(self, node: str) -> None:
        """A node was restarted."""
        for key in [key for key in self._values if key[1] == node]:
            del self._values[key]


def split(cursor: str) -> tuple[str, int]:
    """Epoch and offset of a cursor or an ETag."""
    epoch, _, offset = cursor.strip('"').rpartition("-")
    return epoch, int(offset)
