"""The console's agent in each process: it receives the requests of operators, and replies.

Requests and replies are events of two internal channels. So all workers and nodes that share a log
receive and reply, and the console reads the replies by an ordinary long-poll. A request is valid
for some seconds, and an open console repeats it: a closed console soon costs nothing.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from pushhub.console.endpoint_trace import EndpointTrace
from pushhub.console.limits import limits_snapshot
from pushhub.console.sampler import HourSampler
from pushhub.console.snapshot import FEED, REQUESTS, figures, node_snapshot
from pushhub.console.trace import Note, Tracer, TraceTarget
from pushhub.hub.readers import holders, readers_on
from pushhub.hub.subscription import Subscription, UncountedHold
from pushhub.hub.wheel import OFF
from pushhub.log.event import Draft
from pushhub.origin.snapshot import origin_snapshot
from pushhub.store.base import Append, Retention, StoreError

if TYPE_CHECKING:
    from pushhub.api.endpoints import Endpoints
    from pushhub.api.service import Service
    from pushhub.log.event import Event
    from pushhub.store.base import Outcome

log = structlog.get_logger(__name__)

# The time that a request is valid. A console repeats it three times in that time.
REQUEST_SECONDS = 15
# A process whose feed was disconnected for a moment receives the requests of that moment.
REQUESTS_RETENTION = Retention(events=100, age=REQUEST_SECONDS)
# Five minutes of samples of one process, and less of many: a console that opens shows the samples
# from before.
FEED_RETENTION = Retention(events=300, age=300)

# The time between two batches of a trace's lines: an operator's eye is no faster.
TURN_SECONDS = 0.2
FIGURES_SECONDS = 1.0
# Lines of one trace in a batch, of about 200 bytes, or 2 KiB with the longest names; of more lines
# only the number is sent.
MAX_LINES = 60
# Traces at one time in a process.
MAX_TRACES = 8
# Holds of a channel that are listed one by one.
MAX_HOLDERS = 50


class ConsoleAgent:
    """Receives the requests of consoles, and sends figures, presence and traces of its process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tracer = Tracer(service.hub, self._note)
        self.sampler = HourSampler(service)
        self._endpoint_trace: EndpointTrace | None = None
        self._subscription = Subscription(service.hub, REQUESTS, self._receive, kind=UncountedHold)
        # Request → its end on the hub's clock; "" is the figures, others are ids of traces.
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

    def open(self, endpoints: Endpoints) -> None:
        """Begin to receive requests. Traces learn the clients of requests from `endpoints`."""
        self._endpoint_trace = EndpointTrace(endpoints, self._tracer)
        self._subscription.start()
        self.sampler.start()

    def close(self) -> None:
        """Receive no more."""
        self._subscription.stop()
        self.sampler.stop()

    async def send(self, request: dict[str, Any]) -> None:
        """Send an operator's request to every process, this one too.

        Raises:
            StoreError: no process received it.
        """
        hub = self._service.hub
        (outcome,) = await hub.recorded(
            Append(REQUESTS, Draft(orjson.dumps(request)), REQUESTS_RETENTION)
        )
        if isinstance(outcome, StoreError):
            raise outcome

    def now(self) -> dict[str, Any]:
        """This process's figures, whatever the store does."""
        return self.process | self._figures()

    def _figures(self) -> dict[str, Any]:
        latest = self.sampler.hour.latest(self._service.hub.now())
        return {"figures": figures(self._service) | {"latest": latest}}

    def _receive(self, event: Event) -> None:
        request = orjson.loads(event.data)
        hub = self._service.hub
        if hub.draining:
            return
        until = hub.now() + REQUEST_SECONDS
        if channel := request.get("presence"):
            presence = {"presence": channel, "holds": readers_on(hub.channels, channel)}
            self._reply(
                presence | {"holders": holders(hub.channels, hub.now(), channel, MAX_HOLDERS)}
            )
        elif request.get("origin"):
            if self._service.notifications is not None:
                self._reply({"origin": origin_snapshot(self._service.notifications.table)})
        elif request.get("limits"):
            self._reply({"limits": limits_snapshot(self._service)})
        elif request.get("nodes"):
            self._reply({"nodes": node_snapshot(self._service)})
        elif request.get("hour"):
            self._reply({"hour": self.sampler.hour.columns(hub.now())})
        elif id := request.get("end"):
            self._end(id)
        elif id := request.get("trace"):
            if id not in self._until and len(self._until.keys() - {""}) < MAX_TRACES:
                self._until[id] = until
                self._begin(id, TraceTarget(request.get("channel", ""), request.get("client", "")))
            elif id in self._until:
                self._until[id] = until
        elif request.get("figures"):
            self._until[""] = until
        if self._until and not self.tick:
            self.expire()

    def _begin(self, id: str, target: TraceTarget) -> None:
        assert self._endpoint_trace is not None, "requests arrive once the agent is open"
        self._endpoint_trace.start()
        self._tracer.start(id, target)

    def _end(self, id: str) -> None:
        if self._until.pop(id, None) is not None:
            self._tracer.stop(id)
            self._flush(id)
            self._missed.pop(id, None)
        if self._endpoint_trace is not None and not self._tracer:
            self._endpoint_trace.stop()

    def expire(self) -> None:
        """A turn: end the requests whose time is over, and reply to the others."""
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
            self._reply(self._figures())
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
            self._reply({"trace": id, "lines": lines, "missed": self._missed.pop(id, 0)})

    def _reply(self, what: dict[str, Any]) -> None:
        def settled(outcomes: list[Outcome]) -> None:
            if isinstance(outcomes[0], StoreError):
                log.debug("console.feed_failed", error=str(outcomes[0]))

        draft = Draft(orjson.dumps(self.process | what))
        self._service.hub.record([Append(FEED, draft, FEED_RETENTION)], settled)

    def __repr__(self) -> str:
        return f"<ConsoleAgent {len(self._until)} requests {self._tracer!r}>"
