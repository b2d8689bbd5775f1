"""`POST /v1/notify`: a back end names changed resources, and their readers are notified."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pushhub.api.limits import count_event, publish_fields
from pushhub.api.service import store_unavailable
from pushhub.http.caching import NO_STORE
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.hold import Hold
from pushhub.log.grant import Action
from pushhub.origin.shared.notifications import parse_notification
from pushhub.polls.feed import JSON
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.log.grant import Grant
    from pushhub.store.base import Outcome

# A hundred URLs of usual length.
MAX_NOTIFY_BYTES = 64 * 1024


def notify(service: Service, request: Request, grant: Grant) -> Hold:
    """Notify every node. The response follows the store's commit, so no node can miss it."""
    if service.notifications is None:
        raise Problem(
            "no-route", "This server has no origin; start it with --origin or with routes."
        )
    resources = parse_notification(request.body)
    for resource in resources:
        # A path is checked like a channel name: a key may notify paths that its patterns cover.
        service.authority.require(grant, Action.PUBLISH, resource)
    count_event(request)
    hold = Hold()

    def done(outcomes: list[Outcome]) -> None:
        (outcome,) = outcomes
        if isinstance(outcome, StoreError):
            hold.complete(service.refuse(store_unavailable(outcome)))
        else:
            body = orjson.dumps({"notified": len(resources)})
            headers = (JSON, NO_STORE, *publish_fields(request))
            hold.complete(Response(200, headers, body))

    service.notifications.broadcast(resources, done)
    return hold
