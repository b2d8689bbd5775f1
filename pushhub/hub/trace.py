"""A live trace: what happens to the requests of one channel or of one client, as it happens.

While nobody traces, the hub does not know that it could be traced: no flag is asked for on any
path. A trace stands in front of three of the hub's methods (`hold`, `wake`, `publish`), has the
holds in question made as `Traced`, and takes itself away again at its end.

A client's trace must know who asks before it can tell whether that is the one; so a poll that is
answered at once comes back as a completed hold, which learns whom it answers when it is attached.
A stream's turns do not: a reader that catches up would nest them as deep as its backlog is long.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from pushhub.hub.hold import Parked
from pushhub.hub.holders import NOBODY, Client, client_of
from pushhub.protocol.answer import Answer
from pushhub.protocol.channel import PRIVATE_MARK
from pushhub.protocol.cursor import Start
from pushhub.store.base import Append, Appended, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.hub.hold import Driver
    from pushhub.hub.hub import Hub
    from pushhub.hub.stream import Stream
    from pushhub.protocol.answer import Part, Reply
    from pushhub.protocol.event import Event
    from pushhub.protocol.poll import Poll, Positions

# Holds that are followed at one time, a few hundred bytes each. Nobody reads more lines than that.
MAX_LIVES = 10_000
# Channels of a poll that a line names.
MAX_NAMED = 3

Note = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What is traced: a channel, or a client by its address or by its token's subject."""

    channel: str = ""
    client: str = ""

    def is_of(self, client: Client) -> bool:
        """Whether this client is meant."""
        return bool(self.client) and self.client in (client.address, client.subject)


class Life:
    """One followed hold. Its first notes wait in `notes` until it is known who asks."""

    __slots__ = ("begun", "client", "notes", "number", "traces")

    def __init__(self, number: int, begun: float, traces: tuple[str, ...]) -> None:
        self.number = number
        self.begun = begun
        self.traces = traces
        self.client = NOBODY
        self.notes: list[Note] | None = []


class Traced(Parked):
    """A hold that tells what happens to it."""

    # None of its own, so that a hold that waits already can become one.
    __slots__ = ()

    @property
    def at(self) -> Positions | None:
        """Where it stands; it parks when it is told."""
        return _at.__get__(self)  # type: ignore[no-any-return]

    @at.setter
    def at(self, at: Positions | None) -> None:
        _at.__set__(self, at)
        if at is not None:
            where = {want.channel: str(at[want.channel]) for want in self.poll.wants[:MAX_NAMED]}
            self._note("park", at=where)

    def attach(self, driver: Driver) -> None:
        if self.hub.tracer is not None:
            self.hub.tracer.attached(self, driver)
        super().attach(driver)

    def complete(self, reply: Answer | Part | Stream) -> bool:
        if not self.done:
            self._note("answer", **_described(reply))
            self._end()
        return super().complete(reply)

    def drop(self) -> None:
        if not self.done:
            self._note("gone")
            self._end()
        super().drop()

    def _note(self, what: str, **more: Any) -> None:
        if self.hub.tracer is not None:
            self.hub.tracer.note(self, what, **more)

    def _end(self) -> None:
        if self.hub.tracer is not None:
            self.hub.tracer.forget(self)


# The slot that `Traced.at` stands in front of.
_at: Any = Parked.__dict__["at"]


class Tracer:
    """Every trace of a hub. There is one as long as there are traces.

    Args:
        hub: whose requests.
        tell: gets a trace's id and a line of it, as it happens.
    """

    def __init__(self, hub: Hub, tell: Callable[[str, Note], None]) -> None:
        self._hub = hub
        self._tell = tell
        self._targets: dict[str, Target] = {}
        self._channels: dict[str, tuple[str, ...]] = {}
        self._clients: tuple[tuple[str, Target], ...] = ()
        self._lives: dict[Parked, Life] = {}
        self._numbers = count(1)
        self._made: Parked | None = None
        # Whose request is being looked at, and whose the last poll is, where somebody tells.
        self.asker = NOBODY
        self.asked: tuple[Poll, Client] | None = None

    def __contains__(self, id: str) -> bool:
        return id in self._targets

    def __bool__(self) -> bool:
        return bool(self._targets)

    def start(self, id: str, target: Target) -> None:
        """Begin to tell of a target."""
        hub = self._hub
        if not self._targets:
            hub.tracer = self
            hub.hold = self._hold  # type: ignore[method-assign]
            hub.wake = self._wake  # type: ignore[method-assign]
            hub.publish = self._publish  # type: ignore[method-assign]
        self._targets[id] = target
        self._sort()
        self._dress(id, target)

    def stop(self, id: str) -> None:
        """End a trace. With the last one the hub is as it was."""
        self._targets.pop(id, None)
        self._sort()
        if not self._targets and self._hub.tracer is self:
            self._lives.clear()
            self._hub.tracer = None
            del self._hub.hold, self._hub.wake, self._hub.publish

    def _sort(self) -> None:
        channels: dict[str, tuple[str, ...]] = {}
        for id, target in self._targets.items():
            if target.channel:
                channels[target.channel] = (*channels.get(target.channel, ()), id)
        self._channels = channels
        self._clients = tuple((id, t) for id, t in self._targets.items() if t.client)

    def _dress(self, id: str, target: Target) -> None:
        """Follow who waits already."""
        for channel in self._hub.shelf:
            if channel.name.startswith(PRIVATE_MARK):
                continue
            for hold in channel.holds:
                who = client_of(hold)
                wanted = channel.name == target.channel or target.is_of(who)
                if hold.done or not wanted or type(hold) not in (Parked, Traced):
                    continue
                if (known := self._lives.get(hold)) is not None:
                    known.traces = tuple({**dict.fromkeys(known.traces), id: None})
                elif len(self._lives) < MAX_LIVES:
                    hold.__class__ = Traced
                    waited = self._hub.now() - hold.parked if hold.parked else 0.0
                    life = Life(next(self._numbers), self._hub.now() - waited, (id,))
                    life.client, life.notes = who, None
                    self._lives[hold] = life
                    self.note(hold, "waiting", **_asked_for(hold.poll))

    # In front of the hub

    def _hold(self, poll: Poll, make: Callable[[Hub, Poll], Parked] = Parked) -> Reply | Parked:
        hub = self._hub
        plain = type(hub).hold
        names = [want.channel for want in poll.wants]
        traces = tuple({id: None for name in names for id in self._channels.get(name, ())})
        # While the origin is asked again, the hold of a GRIP response has no channels.
        is_public = bool(names) and not names[0].startswith(PRIVATE_MARK)
        wanted = (traces or self._clients) and is_public
        if not wanted or make is not Parked or len(self._lives) >= MAX_LIVES:
            # Holds that are made otherwise are pushhub's own, and answer no client.
            return plain(hub, poll, make)
        reply = plain(hub, poll, self._making(traces))
        if isinstance(reply, Parked):
            return reply
        hold, self._made = self._made, None
        assert hold is not None
        self.note(hold, "answer", **_described(reply))
        if isinstance(reply, Answer):
            hold.reply = reply
            return hold
        self._flush(self._lives[hold], self._asking(poll))
        self.forget(hold)
        return reply

    def _making(self, traces: tuple[str, ...]) -> Callable[[Hub, Poll], Parked]:
        def make(hub: Hub, poll: Poll) -> Parked:
            hold = self._made = Traced(hub, poll)
            self._lives[hold] = Life(next(self._numbers), self._hub.now(), traces)
            self.note(hold, "poll", **_asked_for(poll))
            return hold

        return make

    def _wake(self, event: Event) -> None:
        hub = self._hub
        traces = self._channels.get(event.channel)
        if traces:
            channel = hub.shelf.get(event.channel)
            note = {
                "channel": event.channel,
                "cursor": str(event.cursor),
                "bytes": len(event.data),
                "waiting": len(channel.holds) if channel else 0,
            }
            self._say(traces, "event", **note)
        type(hub).wake(hub, event)

    def _publish(self, appends: list[Append], done: Callable[[list[Outcome]], None]) -> None:
        hub, who, begun = self._hub, self.asker, self._hub.now()
        traces = [(one, self._of_publish(one.channel, who)) for one in appends]
        for one, ids in traces:
            if ids:
                size = len(one.draft.data)
                self._say(ids, "publish", channel=one.channel, bytes=size, **_named(who))

        def settled(outcomes: list[Outcome]) -> None:
            ms = _ms(self._hub.now() - begun)
            for (one, ids), outcome in zip(traces, outcomes, strict=True):
                if ids and isinstance(outcome, Appended):
                    more = {"cursor": str(outcome.position), "duplicate": outcome.duplicate}
                    self._say(ids, "logged", channel=one.channel, ms=ms, **more)
                elif ids:
                    self._say(ids, "not logged", channel=one.channel, ms=ms, why=_reason(outcome))
            done(outcomes)

        type(hub).publish(hub, appends, settled)

    def _of_publish(self, channel: str, who: Client) -> tuple[str, ...]:
        clients = tuple(id for id, target in self._clients if target.is_of(who))
        return self._channels.get(channel, ()) + clients

    # What holds tell

    def attached(self, hold: Parked, driver: Driver) -> None:
        """It is known whom a hold answers: what was noted so far is told, or is nobody's."""
        life = self._lives.get(hold)
        if life is None or life.notes is None:
            return
        who = self._asking(hold.poll) or client_of(hold, driver)
        life.traces += tuple(id for id, target in self._clients if target.is_of(who))
        self._flush(life, who)
        if hold.done or not life.traces:
            self.forget(hold)

    def _asking(self, poll: Poll) -> Client | None:
        asked, self.asked = self.asked, None
        return asked[1] if asked is not None and asked[0] is poll else None

    def _flush(self, life: Life, who: Client | None) -> None:
        life.client = who or NOBODY
        notes, life.notes = life.notes, None
        for note in notes or ():
            for id in life.traces:
                self._tell(id, note | _named(life.client))

    def note(self, hold: Parked, what: str, **more: Any) -> None:
        """Something has happened to a hold."""
        life = self._lives.get(hold)
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

    def forget(self, hold: Parked) -> None:
        """A hold has ended; one that nobody was named for keeps what it has to say until it is."""
        life = self._lives.get(hold)
        if life is not None and life.notes is None:
            del self._lives[hold]

    def __repr__(self) -> str:
        return f"<Tracer {len(self._targets)} traces, {len(self._lives)} holds>"


def _asked_for(poll: Poll) -> Note:
    named = {
        want.channel: want.since.value if isinstance(want.since, Start) else str(want.since)
        for want in poll.wants[:MAX_NAMED]
    }
    return {"kind": poll.kind, "since": named, "channels": len(poll.wants), "wait": poll.wait}


def _described(reply: Answer | Part | Stream) -> Note:
    if isinstance(reply, Answer):
        return {"status": reply.status, "events": reply.events, "bytes": len(reply.body)}
    body = getattr(reply, "body", b"")
    return {"part": True, "events": getattr(reply, "events", 0), "bytes": len(body)}


def _named(who: Client) -> Note:
    return {key: text for key, text in (("client", who.address), ("subject", who.subject)) if text}


def _reason(outcome: Outcome) -> str:
    return str(outcome) if isinstance(outcome, Exception) else type(outcome).__name__


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
