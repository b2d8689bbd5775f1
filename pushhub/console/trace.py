"""A live trace: the events in the life of each request of one channel or one client.

While there is a trace, the tracer is the hub's observer; with the last trace it leaves.

A trace of a client must know the client before it can tell whether a request is meant. So the
notes of a hold wait until its driver attaches. For a poll that is answered immediately the tracer
asks for the completed hold in place of the response, and the driver attaches to that hold. The
turns of a stream are an exception: a reader that catches up would nest holds as deep as its backlog
is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from pushhub.http.response import Response
from pushhub.hub.channel_hold import ChannelHold
from pushhub.hub.readers import UNKNOWN_CLIENT, ClientInfo, client_of
from pushhub.log.channel import PRIVATE_MARK
from pushhub.log.cursor import Start
from pushhub.store.base import Append, Appended, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.response import Part
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
        tell: receives a trace's id and one line of the trace, for each event.
    """

    def __init__(self, hub: Hub, tell: Callable[[str, Note], None]) -> None:
        self._hub = hub
        self._tell = tell
        self._targets: dict[str, TraceTarget] = {}
        self._channels: dict[str, tuple[str, ...]] = {}
        self._clients: tuple[tuple[str, TraceTarget], ...] = ()
        self._followed: dict[ChannelHold, FollowedHold] = {}
        self._numbers = count(1)
        # The client of the request that is being decided, and the last poll with its client, where
        # `EndpointTrace` tells them.
        self.client = UNKNOWN_CLIENT
        self.asked: tuple[Poll, ClientInfo] | None = None

    def __contains__(self, id: str) -> bool:
        return id in self._targets

    def __bool__(self) -> bool:
        return bool(self._targets)

    def start(self, id: str, target: TraceTarget) -> None:
        """Begin to trace a target."""
        self._hub.observer = self
        self._targets[id] = target
        self._sort()
        self._adopt(id, target)

    def stop(self, id: str) -> None:
        """End a trace. After the last one the hub has no observer."""
        self._targets.pop(id, None)
        self._sort()
        if not self._targets and self._hub.observer is self:
            self._followed.clear()
            self._hub.observer = None

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
                wanted = channel.name == target.channel or target.is_of(client)
                if hold.done or not wanted or type(hold) is not ChannelHold:
                    continue
                if (known := self._followed.get(hold)) is not None:
                    known.traces = tuple({**dict.fromkeys(known.traces), id: None})
                elif len(self._followed) < MAX_FOLLOWED:
                    waited = self._hub.now() - hold.parked if hold.parked else 0.0
                    life = FollowedHold(next(self._numbers), self._hub.now() - waited, (id,))
                    life.client, life.notes = client, None
                    self._followed[hold] = life
                    self._note(hold, "waiting", **_asked_for(hold.poll))

    # Events of the hub

    def polled(self, hold: ChannelHold) -> None:
        poll = hold.poll
        names = [want.channel for want in poll.reads]
        traces = tuple({id: None for name in names for id in self._channels.get(name, ())})
        # During a fetch from the origin, the hold of a GRIP response has no channels.
        is_public = bool(names) and not names[0].startswith(PRIVATE_MARK)
        wanted = (traces or self._clients) and is_public
        # Holds of other types are internal, and answer no client.
        if wanted and type(hold) is ChannelHold and len(self._followed) < MAX_FOLLOWED:
            self._followed[hold] = FollowedHold(next(self._numbers), self._hub.now(), traces)
            self._note(hold, "poll", **_asked_for(poll))

    def attached(self, hold: ChannelHold, driver: Driver) -> None:
        """The client of a hold is known: its first notes are told, or dropped as another's."""
        life = self._followed.get(hold)
        if life is None or life.notes is None:
            return
        client = self._asking(hold.poll) or client_of(hold, driver)
        life.traces += tuple(id for id, target in self._clients if target.is_of(client))
        self._flush(life, client)
        if hold.done or not life.traces:
            del self._followed[hold]

    def parked(self, hold: ChannelHold) -> None:
        at = hold.at
        if hold in self._followed and at is not None:
            where = {want.channel: str(at[want.channel]) for want in hold.poll.reads[:MAX_NAMED]}
            self._note(hold, "park", at=where)

    def answered(self, hold: ChannelHold, reply: Response | Part | EventStream) -> bool:
        life = self._followed.get(hold)
        if life is None:
            return False
        self._note(hold, "answer", **_described(reply))
        if life.notes is not None and isinstance(reply, Response):
            return True
        if life.notes is not None:
            self._flush(life, self._asking(hold.poll))
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
            self._say(traces, "event", **note)

    def published(
        self, appends: list[Append], done: Callable[[list[Outcome]], None]
    ) -> Callable[[list[Outcome]], None]:
        client, begun = self.client, self._hub.now()
        traces = [(one, self._of_publish(one.channel, client)) for one in appends]
        for one, ids in traces:
            if ids:
                size = len(one.draft.data)
                self._say(ids, "publish", channel=one.channel, bytes=size, **_named(client))

        def settled(outcomes: list[Outcome]) -> None:
            ms = _ms(self._hub.now() - begun)
            for (one, ids), outcome in zip(traces, outcomes, strict=True):
                if ids and isinstance(outcome, Appended):
                    more = {"cursor": str(outcome.position), "duplicate": outcome.duplicate}
                    self._say(ids, "logged", channel=one.channel, ms=ms, **more)
                elif ids:
                    self._say(ids, "not logged", channel=one.channel, ms=ms, why=_reason(outcome))
            done(outcomes)

        return settled

    def _of_publish(self, channel: str, client: ClientInfo) -> tuple[str, ...]:
        clients = tuple(id for id, target in self._clients if target.is_of(client))
        return self._channels.get(channel, ()) + clients

    # Lines of a trace

    def _asking(self, poll: Poll) -> ClientInfo | None:
        asked, self.asked = self.asked, None
        return asked[1] if asked is not None and asked[0] is poll else None

    def _flush(self, life: FollowedHold, client: ClientInfo | None) -> None:
        life.client = client or UNKNOWN_CLIENT
        notes, life.notes = life.notes, None
        for note in notes or ():
            for id in life.traces:
                self._tell(id, note | _named(life.client))

    def _note(self, hold: ChannelHold, what: str, **more: Any) -> None:
        """Something has happened to a hold."""
        life = self._followed.get(hold)
        if life is None:
            return
        ms = _ms(self._hub.now() - life.begun)
        note = {"what": what, "time": self._hub.clock(), "hold": life.number, "ms": ms, **more}
        if life.notes is not None:
            life.notes.append(note)
            return
        for id in life.traces:
            self._tell(id, note | _named(life.client))

    def _say(self, traces: tuple[str, ...], what: str, **more: Any) -> None:
        for id in traces:
            if id in self._targets:
                self._tell(id, {"what": what, "time": self._hub.clock(), **more})

    def __repr__(self) -> str:
        return f"<Tracer {len(self._targets)} traces, {len(self._followed)} holds>"


def _asked_for(poll: Poll) -> Note:
    named = {
        want.channel: want.since.value if isinstance(want.since, Start) else str(want.since)
        for want in poll.reads[:MAX_NAMED]
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
