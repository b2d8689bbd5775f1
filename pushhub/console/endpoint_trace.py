"""Tells a trace whose requests are: it stands in front of the faces, as the trace does of the hub,
and only while there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.hub.readers import MAX_SUBJECT, NOBODY, ClientInfo
from pushhub.hub.stream import EventStream

if TYPE_CHECKING:
    from pushhub.api.endpoints import Decision, Endpoints, Match
    from pushhub.console.trace import Tracer
    from pushhub.http.request import Request


class EndpointTrace:
    """Sees who asks, and what for. Polls that are understood without being parsed again pass it
    by; their connection knows whose they are.
    """

    __slots__ = ("_faces", "_tracer")

    def __init__(self, faces: Endpoints, tracer: Tracer) -> None:
        self._faces = faces
        self._tracer = tracer

    def start(self) -> None:
        """Begin to look."""
        self._faces.decide = self._decide  # type: ignore[method-assign]

    def stop(self) -> None:
        """Leave the faces as they were."""
        vars(self._faces).pop("decide", None)

    def _decide(self, request: Request, match: Match) -> Decision:
        faces, tracer = self._faces, self._tracer
        tracer.asker = ClientInfo(request.client)
        try:
            decision = type(faces).decide(faces, request, match)
        finally:
            tracer.asker = NOBODY
        subject = decision.grant.subject[:MAX_SUBJECT] if decision.grant is not None else ""
        outcome = decision.outcome
        poll = outcome.poll if isinstance(outcome, EventStream) else decision.poll
        tracer.asked = None if poll is None else (poll, ClientInfo(request.client, subject))
        return decision
