"""`POST /v1/notify`: a back end names changed resources, and their readers are notified.

The sender is a client with a key, or with `?source=NAME` a configured webhook, whose signature is
its credential. The resources are in the URL (`?resources=/a,/b*`), whatever the body is, or in a
JSON body, or those of the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pushhub.api.limits import count_event, publish_fields
from pushhub.api.service import store_unavailable
from pushhub.api.webhooks import unknown_source
from pushhub.http.caching import NO_STORE
from pushhub.http.content_coding import decoded
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.hold import Hold
from pushhub.log.grant import NOTHING, Action
from pushhub.origin.shared.notifications import parse_notification, resources_of_query
from pushhub.polls.feed import JSON
from pushhub.store.base import StoreError

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.api.webhooks import Webhook
    from pushhub.http.request import Request
    from pushhub.log.grant import Grant
    from pushhub.store.base import Outcome

# The bodies of webhooks are read for their signature alone. GitHub sends at most 25 MB, for pushes
# of thousands of commits; an Alertmanager with a thousand alerts sends 1 MiB.
MAX_NOTIFY_BYTES = 4 * 1024 * 1024
# A JSON notification: a hundred URLs of usual length.
MAX_NOTIFICATION_BYTES = 64 * 1024


def notify(service: Service, request: Request, grant: Grant) -> Hold:
    """Notify every node. The response follows the store's commit, so no node can miss it."""
    webhook = _webhook(service, request)
    delivery = "" if webhook is None else webhook.check(request, service.hub.clock())
    if service.notifications is None:
        raise Problem(
            "no-route", "This server has no origin; start it with --origin or with routes."
        )
    resources = _resources(request, webhook)
    for resource in resources:
        if webhook is not None:
            webhook.require(resource)
        else:
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

    key = "" if webhook is None else webhook.idempotency_key(delivery, resources)
    service.notifications.broadcast(resources, done, key)
    return hold


def notifier_grant(service: Service, request: Request) -> Grant:
    """The grant of a notification's sender. A webhook has none: its signature covers the body."""
    if "source" in request.query:
        return NOTHING
    return service.authority.grant(request)


def may_notify(service: Service, request: Request, grant: Grant, segment: str) -> None:
    """The right to publish to at least one channel, or the signature of a configured webhook."""
    webhook = _webhook(service, request)
    if webhook is None:
        service.authority.require_any(grant, Action.PUBLISH)
    else:
        webhook.check_head(request, service.hub.clock())


def _webhook(service: Service, request: Request) -> Webhook | None:
    """The webhook that a request names; None if it names none."""
    name = request.query.get("source")
    if name is None:
        return None
    if (webhook := service.webhooks.get(name)) is None:
        raise unknown_source()
    return webhook


def _resources(request: Request, webhook: Webhook | None) -> list[str]:
    named = resources_of_query(request.query_string)
    if named is not None:
        return named
    if webhook is not None:
        return webhook.resources
    body = request.body
    if "content-encoding" in request.headers:
        body = decoded(body, request.headers["content-encoding"], MAX_NOTIFICATION_BYTES)
    if len(body) > MAX_NOTIFICATION_BYTES:
        raise Problem(
            "too-large",
            f"A JSON notification has at most {MAX_NOTIFICATION_BYTES} bytes; with ?resources=… the"
            f" body may have {MAX_NOTIFY_BYTES}.",
            limit=MAX_NOTIFICATION_BYTES,
        )
    return parse_notification(body)
