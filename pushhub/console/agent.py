"""A process's part in every console: it hears what operators wish, and tells them.

Wishes and what is told are events of two channels of pushhub's own, so that workers and nodes that
share a log are all heard and all tell, and the console reads them by the hub's own long-poll. A
wish is for seconds, and whoever wishes on says it again: a console that is closed costs nothing
soon after.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from pushhub.console.endpoint_trace import EndpointTrace
from pushhub.console.snapshot import FEED, WISHES, figures
from pushhub.console.trace import Note, Tracer, TraceTarget
from pushhub.hub.readers import holders, readers_on
from pushhub.hub.subscription import Subscription, Untallied
from pushhub.hub.wheel import OFF
from pushhub.log.event import Draft
from pushhub.origin.snapshot import origin_snapshot
from pushhub.store.base import Append, Retention, StoreError, append

if TYPE_CHECKING:
    from pushhub.api.endpoints import Endpoints
    from pushhub.api.service import Service
    from pushhub.log.event import Event
    from pushhub.store.base import Outcome

log = structlog.get_logger(__name__)

# For how long a wish is good. A console says it again three times in that time.
WISH_SECONDS = 15
# Whoever was deaf for a moment hears what was wished meanwhile.
WISHES_RETENTION = Retention(events=100, age=WISH_SECONDS)
# Five minutes of one process's samples, and less of many: a console that is opened anew shows what
# another has seen.
FEED_RETENTION = Retention(events=300, age=300)

# A trace's lines are told together, so often: an operator's eye is no faster.
TURN_SECONDS = 0.2
FIGURES_SECONDS = 1.0
# Lines of one trace that are told in a turn, of about 200 bytes, or 2 KiB with the longest names;
# of more only the number.
MAX_LINES = 60
# Traces at one time in a process.
MAX_TRACES = 8
# Holds of a channel that are named one by one.
MAX_HOLDERS = 50


class ConsoleAgent:
    """What one process is asked for, and tells."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tracer = Tracer(service.hub, self._note)
        self._witness: EndpointTrace | None = None
        self._follow = Subscription(service.hub, WISHES, self._hear, make=Untallied)
        # What is asked for → until when, on the hub's clock; "" is the figures, others are traces.
        self._until: dict[str, float] = {}
        self._lines: dict[str, list[Note]] = {}
        self._missed: dict[str, int] = {}
        self._figures_at = 0.0
        self.process = {
            "id": service.runtime.random_bytes(6).hex(),
            "node": socket.gethostname(),
            "pid": os.getpid(),
        }
        self.tick = OFF

    def open(self, faces: Endpoints) -> None:
        """Begin to hear what operators wish. `faces` know whose requests are."""
        self._witness = EndpointTrace(faces, self._tracer)
        self._follow.start()

    def close(self) -> None:
        """Hear no more."""
        self._follow.stop()

    async def wish(self, wish: dict[str, Any]) -> None:
        """Tell every process, this one too, what an operator wants to see.

        Raises:
            StoreError: nobody was told.
        """
        hub = self._service.hub
        (outcome,) = await append(
            hub.store, Append(WISHES, Draft(orjson.dumps(wish)), WISHES_RETENTION)
        )
        if isinstance(outcome, StoreError):
            raise outcome

    def now(self) -> dict[str, Any]:
        """This process's figures, whatever the store does."""
        return self.process | {"figures": figures(self._service)}

    def _hear(self, event: Event) -> None:
        wish = orjson.loads(event.data)
        hub = self._service.hub
        if hub.draining:
            return
        until = hub.now() + WISH_SECONDS
        if channel := wish.get("presence"):
            told = {"presence": channel, "holds": readers_on(hub, channel)}
            self._tell(told | {"holders": holders(hub, channel, MAX_HOLDERS)})
        elif wish.get("origin"):
            if self._service.notices is not None:
                self._tell({"origin": origin_snapshot(self._service.notices.table)})
        elif id := wish.get("end"):
            self._end(id)
        elif id := wish.get("trace"):
            if id not in self._until and len(self._until.keys() - {""}) < MAX_TRACES:
                self._until[id] = until
                self._begin(id, TraceTarget(wish.get("channel", ""), wish.get("client", "")))
            elif id in self._until:
                self._until[id] = until
        elif wish.get("figures"):
            self._until[""] = until
        if self._until and not self.tick:
            self.expire()

    def _begin(self, id: str, target: TraceTarget) -> None:
        assert self._witness is not None, "wishes are heard once the desk is open"
        self._witness.start()
        self._tracer.start(id, target)

    def _end(self, id: str) -> None:
        if self._until.pop(id, None) is not None:
            self._tracer.stop(id)
            self._flush(id)
            self._missed.pop(id, None)
        if self._witness is not None and not self._tracer:
            self._witness.stop()

    def expire(self) -> None:
        """A turn: end what nobody wishes any more, and tell the rest."""
        hub = self._service.hub
        now = hub.now()
        for id in [id for id, until in self._until.items() if until < now or hub.draining]:
            if id:
                self._end(id)
            else:
                del self._until[id]
        for id in list(self._lines):
            self._flush(id)
        if "" in self._until and now >= self._figures_at:
            # A hair less than a second, or every other turn of the wheel would miss it.
            self._figures_at = now + FIGURES_SECONDS - TURN_SECONDS / 2
            self._tell({"figures": figures(self._service)})
        if self._until:
            hub.wheel.set(self, now + TURN_SECONDS)

    def _note(self, id: str, note: Note) -> None:
        lines = self._lines.setdefault(id, [])
        if len(lines) < MAX_LINES:
            lines.append(note)
        else:
            self._missed[id] = self._missed.get(id, 0) + 1

    def _flush(self, id: str) -> None:
        lines = self._lines.pop(id, [])
        if lines:
            self._tell({"trace": id, "lines": lines, "missed": self._missed.pop(id, 0)})

    def _tell(self, what: dict[str, Any]) -> None:
        def settled(outcomes: list[Outcome]) -> None:
            if isinstance(outcomes[0], StoreError):
                log.debug("console.untold", error=str(outcomes[0]))

        draft = Draft(orjson.dumps(self.process | what))
        self._service.hub.store.append([Append(FEED, draft, FEED_RETENTION)], settled)

    def __repr__(self) -> str:
        return f"<Desk {len(self._until)} wishes {self._tracer!r}>"
