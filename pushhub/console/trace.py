"""A live trace: the events in the life of each request of one channel or one client.

While there is a trace, the tracer observes the hub; with the last trace it leaves.

A trace of a client must know the client of a request to decide whether it is traced. So the
notes of a hold wait until its driver attaches. For a poll that gets an immediate response the
tracer requests the completed hold in its place, and the driver attaches to that hold. The
turns of a stream are an exception: a reader that catches up would nest holds as deep as its backlog
is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from pushhub.http.response import Response
from pushhub.hub.observers import observe, unobserve
from pushhub.hub.readers import UNKNOWN_CLIENT, ClientInfo, client_of
from pushhub.log.channel import PRIVATE_MARK
from pushhub.log.cursor import Start
from pushhub.store.base import Append, Appended, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.response import Part
    from pushhub.hub.channel_hold import ChannelHold
    from pushhub.hub.hold import Driver
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import EventStream
    from pushhub.log.event import Event
    from pushhub.polls.base import Poll

# Holds that are followed at one time, a few hundred bytes each. No operator reads more lines.
MAX_FOLLOWED = 10_000
# Channels of a poll that a line names.
MAX_NAMED = 3

Note = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TraceTarget:
    """The target of a trace: a channel, or a client by its address or by its token's subject."""

    channel: str = ""
    client: str = ""

    def is_of(self, client: ClientInfo) -> bool:
        """Whether this client is meant."""
        return bool(self.client) and self.client in (client.address, client.subject)


class FollowedHold:
    """One followed hold. Its first notes wait in `notes` until its client is known."""

    __slots__ = ("begun", "client", "notes", "number", "traces")

    def __init__(self, number: int, begun: float, traces: tuple[str, ...]) -> None:
        self.number = number
        self.begun = begun
        self.traces = traces
        self.client = UNKNOWN_CLIENT
        self.notes: list[Note] | None = []


class Tracer:
    """Every trace of a hub.

    Args:
        hub: the hub whose requests are traced.
        write: receives a trace's id and one line of the trace, for each event.
    """

    def __init__(self, hub: Hub, write: Callable[[str, Note], None]) -> None:
        self._hub = hub
        self._write = write
        self._targets: dict[str, TraceTarget] = {}
        self._channels: dict[str, tuple[str, ...]] = {}
        self._clients: tuple[tuple[str, TraceTarget], ...] = ()
        self._followed: dict[ChannelHold, FollowedHold] = {}
        self._numbers = count(1)
        # The client of the request that is being decided, and the last poll with its client, set by
        # `EndpointTrace`.
        self.client = UNKNOWN_CLIENT
        self.decided: tuple[Poll, ClientInfo] | None = None

    def __contains__(self, id: str) -> bool:
        return id in self._targets

    def __bool__(self) -> bool:
        return bool(self._targets)

    def start(self, id: str, target: TraceTarget) -> None:
        """Begin to trace a target."""
        observe(self._hub, self)
        self._targets[id] = target
        self._sort()
        self._adopt(id, target)

    def stop(self, id: str) -> None:
        """End a trace. After the last one the tracer observes the hub no more."""
        self._targets.pop(id, None)
        self._sort()
        if not self._targets:
            self._followed.clear()
            unobserve(self._hub, self)

    def _sort(self) -> None:
        channels: dict[str, tuple[str, ...]] = {}
        for id, target in self._targets.items():
            if target.channel:
                channels[target.channel] = (*channels.get(target.channel, ()), id)
        self._channels = channels
        self._clients = tuple((id, t) for id, t in self._targets.items() if t.client)

    def _adopt(self, id: str, target: TraceTarget) -> None:
        """Follow the holds of a target that wait already."""
        for channel in self._hub.channels:
            if channel.name.startswith(PRIVATE_MARK):
                continue
            for hold in channel.holds:
                client = client_of(hold)
                is_target = channel.name == target.channel or target.is_of(client)
                if hold.done or not is_target or not hold.counted:
                    continue
                if (known := self._followed.get(hold)) is not None:
                    known.traces = tuple({**dict.fromkeys(known.traces), id: None})
                elif len(self._followed) < MAX_FOLLOWED:
                    waited = self._hub.now() - hold.parked if hold.parked else 0.0
                    followed = FollowedHold(next(self._numbers), self._hub.now() - waited, (id,))
                    followed.client, followed.notes = client, None
                    self._followed[hold] = followed
                    self._note(hold, "waiting", **_poll_fields(hold.poll))

    # Events of the hub

    def polled(self, hold: ChannelHold) -> None:
        poll = hold.poll
        names = [channel_read.channel for channel_read in poll.reads]
        traces = tuple({id: None for name in names for id in self._channels.get(name, ())})
        # During a fetch from the origin, the hold of a GRIP response has no channels.
        is_public = bool(names) and not names[0].startswith(PRIVATE_MARK)
        is_target = (traces or self._clients) and is_public
        if is_target and hold.counted and len(self._followed) < MAX_FOLLOWED:
            self._followed[hold] = FollowedHold(next(self._numbers), self._hub.now(), traces)
            self._note(hold, "poll", **_poll_fields(poll))

    def attached(self, hold: ChannelHold, driver: Driver) -> None:
        """The client of a hold is known: its first notes are written or dropped."""
        followed = self._followed.get(hold)
        if followed is None or followed.notes is None:
            return
        client = self._client_of_poll(hold.poll) or client_of(hold, driver)
        followed.traces += tuple(id for id, target in self._clients if target.is_of(client))
        self._flush(followed, client)
        if hold.done or not followed.traces:
            del self._followed[hold]

    def parked(self, hold: ChannelHold) -> None:
        at = hold.at
        if hold in self._followed and at is not None:
            where = {
                channel_read.channel: str(at[channel_read.channel])
                for channel_read in hold.poll.reads[:MAX_NAMED]
            }
            self._note(hold, "park", at=where)

    def replied(self, hold: ChannelHold, reply: Response | Part | EventStream) -> bool:
        followed = self._followed.get(hold)
        if followed is None:
            return False
        self._note(hold, "answer", **_described(reply))
        if followed.notes is not None and isinstance(reply, Response):
            return True
        if followed.notes is not None:
            self._flush(followed, self._client_of_poll(hold.poll))
        del self._followed[hold]
        return False

    def dropped(self, hold: ChannelHold) -> None:
        self._note(hold, "gone")
        self._followed.pop(hold, None)

    def woken(self, event: Event, holds: int) -> None:
        traces = self._channels.get(event.channel)
        if traces:
            note = {
                "channel": event.channel,
                "cursor": str(event.cursor),
                "bytes": len(event.data),
                "waiting": holds,
            }
            self._write_all(traces, "event", **note)

    def published(
        self, appends: list[Append], done: Callable[[list[Outcome]], None]
    ) -> tuple[list[Append], Callable[[list[Outcome]], None]]:
        client, begun = self.client, self._hub.now()
        traces = [(one, self._of_publish(one.channel, client)) for one in appends]
        for one, ids in traces:
            if ids:
                size = len(one.draft.data)
                self._write_all(ids, "publish", channel=one.channel, bytes=size, **_named(client))

        def settled(outcomes: list[Outcome]) -> None:
            ms = _ms(self._hub.now() - begun)
            for (one, ids), outcome in zip(traces, outcomes, strict=True):
                if ids and isinstance(outcome, Appended):
                    more = {"cursor": str(outcome.position), "duplicate": outcome.duplicate}
                    self._write_all(ids, "logged", channel=one.channel, ms=ms, **more)
                elif ids:
                    self._write_all(
                        ids, "not logged", channel=one.channel, ms=ms, why=_reason(outcome)
                    )
            done(outcomes)

        return appends, settled

    def _of_publish(self, channel: str, client: ClientInfo) -> tuple[str, ...]:
        clients = tuple(id for id, target in self._clients if target.is_of(client))
        return self._channels.get(channel, ()) + clients

    # Lines of a trace

    def _client_of_poll(self, poll: Poll) -> ClientInfo | None:
        decided, self.decided = self.decided, None
        return decided[1] if decided is not None and decided[0] is poll else None

    def _flush(self, followed: FollowedHold, client: ClientInfo | None) -> None:
        followed.client = client or UNKNOWN_CLIENT
        notes, followed.notes = followed.notes, None
        for note in notes or ():
            for id in followed.traces:
                self._write(id, note | _named(followed.client))

    def _note(self, hold: ChannelHold, what: str, **more: Any) -> None:
        """Something has happened to a hold."""
        followed = self._followed.get(hold)
        if followed is None:
            return
        ms = _ms(self._hub.now() - followed.begun)
        note = {"what": what, "time": self._hub.clock(), "hold": followed.number, "ms": ms, **more}
        if followed.notes is not None:
            followed.notes.append(note)
            return
        for id in followed.traces:
            self._write(id, note | _named(followed.client))

    def _write_all(self, traces: tuple[str, ...], what: str, **more: Any) -> None:
        for id in traces:
            if id in self._targets:
                self._write(id, {"what": what, "time": self._hub.clock(), **more})

    def __repr__(self) -> str:
        return f"<Tracer {len(self._targets)} traces, {len(self._followed)} holds>"


def _poll_fields(poll: Poll) -> Note:
    named = {
        channel_read.channel: channel_read.since.value
        if isinstance(channel_read.since, Start)
        else str(channel_read.since)
        for channel_read in poll.reads[:MAX_NAMED]
    }
    return {"kind": poll.kind, "since": named, "channels": len(poll.reads), "wait": poll.wait}


def _described(reply: Response | Part | EventStream) -> Note:
    if isinstance(reply, Response):
        return {"status": reply.status, "events": reply.events, "bytes": len(reply.body)}
    body = getattr(reply, "body", b"")
    return {"part": True, "events": getattr(reply, "events", 0), "bytes": len(body)}


def _named(client: ClientInfo) -> Note:
    return {
        key: text for key, text in (("client", client.address), ("subject", client.subject)) if text
    }


def _reason(outcome: Outcome) -> str:
    return str(outcome) if isinstance(outcome, Exception) else type(outcome).__name__


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
