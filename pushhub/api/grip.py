"""GRIP's control endpoint: `POST /publish` (and `/publish/`, `//publish/`), `POST /recover`, and
`GET /`, as GRIP libraries and Pushpin's tools request them.

All items of a publish are checked before any is appended; an invalid item is named, and refuses
the whole publish. Any node accepts items, and the holds of all nodes get them: they are events of
the log. An `id` is an
idempotency key of its channel, so the log itself drops what was published twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pushhub.api.endpoints import Endpoint, EndpointRoute
from pushhub.api.limits import (
    count_created,
    count_event,
    count_publish,
    publish_fields,
    refused_creation,
)
from pushhub.api.needs import anyone, on_any_channel
from pushhub.api.service import store_unavailable
from pushhub.grip.item import RECOVER_CHANNEL, ItemError, parse_batch
from pushhub.http.accept import negotiate
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.hold import Hold
from pushhub.log.event import Draft
from pushhub.log.grant import Action
from pushhub.store.base import REGISTER, Append, Appended, KeyReused, StoreError

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.log.grant import Grant
    from pushhub.store.base import Outcome

# Sixteen items of the largest size. Pushpin drops the connection beyond 1,000,000 bytes.
MAX_PUBLISH_BYTES = 4 * 1024 * 1024

# An idempotency key that came in a header is another one.
KEY_PREFIX = "grip:"

TEXT = (b"content-type", b"text/plain")
JSON = (b"content-type", b"application/json")
NO_STORE = (b"cache-control", b"no-store")


def grip_publish(service: Service, request: Request, grant: Grant) -> Hold:
    """Append every item of a batch. The response follows their commit, and counts the receivers."""
    as_json = accepts_json(request)
    appends = count_publish(request, _appends(service, request.body, grant))
    waiting = [service.hub.holds_on(append.channel) for append in appends]
    hold = Hold()

    def done(outcomes: list[Outcome]) -> None:
        count_created(request, outcomes)
        for append, outcome in zip(appends, outcomes, strict=True):
            if problem := refused_creation(request, append, outcome):
                hold.complete(service.refuse(problem))
                return
            if isinstance(outcome, StoreError):
                hold.complete(service.refuse(store_unavailable(outcome)))
                return
        items = [
            {"channel": append.channel, "receivers": count, "duplicate": _was_there(outcome)}
            for append, count, outcome in zip(appends, waiting, outcomes, strict=True)
        ]
        # Other nodes have holds too. Asking them would slow every publish, and a node that is down
        # cannot reply. So the response says that the number is this process's, as PUBLISH of a
        # Redis cluster counts the subscribers of one node.
        whose = "all" if service.hub.store.certain else "process"
        response = published(items, whose, as_json=as_json)
        hold.complete(response.with_headers(*publish_fields(request)))

    service.hub.publish(appends, done)
    return hold


def grip_recover(service: Service, request: Request, grant: Grant) -> Hold:
    """Repeat the request of every held response whose origin named its last item. All nodes do so,
    because the notification goes through the log.
    """
    _may_recover(service, request, grant, "")
    as_json = accepts_json(request)
    count_event(request)
    hold = Hold()

    def done(outcomes: list[Outcome]) -> None:
        (outcome,) = outcomes
        if isinstance(outcome, StoreError):
            hold.complete(service.refuse(store_unavailable(outcome)))
        else:
            response = _message({"message": "Updated"}, as_json=as_json)
            hold.complete(response.with_headers(*publish_fields(request)))

    service.hub.publish([Append(RECOVER_CHANNEL, Draft(b"{}"), REGISTER)], done)
    return hold


def _may_recover(service: Service, request: Request, grant: Grant, segment: str) -> None:
    service.authority.require(grant, Action.PUBLISH, "recover")


def grip_root(service: Service, request: Request, grant: Grant) -> Response:
    """The name of the server."""
    return Response(200, (TEXT, NO_STORE), b"pushhub\n")


def accepts_json(request: Request) -> bool:
    """Whether the response is JSON: it is, unless the client accepts text as well.

    Raises:
        Problem: 406, neither is accepted.
    """
    chosen = negotiate(request.headers.get("accept"), ("text/plain", "application/json"))
    if chosen is None:
        raise Problem("not-acceptable", "This URL returns text/plain or application/json.")
    return chosen == "application/json"


def published(items: list[dict[str, object]], whose: str, *, as_json: bool) -> Response:
    """The response to a publish. A header has the number of receivers too, for clients of the text.
    `whose` names the processes whose holds were counted.
    """
    receivers = sum(item["receivers"] for item in items if isinstance(item["receivers"], int))
    body = {"message": "Published", "receivers": receivers, "counted": whose, "items": items}
    return _message(body, as_json=as_json).with_headers((b"grip-receivers", b"%d" % receivers))


def _message(body: dict[str, object], *, as_json: bool) -> Response:
    if as_json:
        return Response(200, (JSON, NO_STORE), orjson.dumps(body))
    return Response(200, (TEXT, NO_STORE), f"{body['message']}\n".encode())


def _appends(service: Service, body: bytes, grant: Grant) -> list[Append]:
    try:
        drafts = parse_batch(body)
    except ItemError as error:
        problem = Problem("too-large" if error.too_large else "bad-body", str(error))
        if error.index is not None:
            problem.members["item"] = error.index
        raise problem from None
    appends = []
    for index, (channel, draft) in enumerate(drafts):
        try:
            service.authority.require(grant, Action.PUBLISH, channel)
        except Problem as problem:
            problem.members["item"] = index
            raise
        key = KEY_PREFIX + draft.id if draft.id else ""
        appends.append(Append(channel, draft, service.retention(channel), key=key))
    return appends


def _was_there(outcome: Outcome) -> bool:
    """Whether an item of the same id was published before: Pushpin compares nothing but the id."""
    return isinstance(outcome, KeyReused) or (isinstance(outcome, Appended) and outcome.duplicate)


_PUBLISH = {"POST": Endpoint(grip_publish, on_any_channel(Action.PUBLISH), MAX_PUBLISH_BYTES)}
_RECOVER = {"POST": Endpoint(grip_recover, _may_recover)}

# `//publish/` is the path that a library makes of a control URL that ends with a slash.
GRIP_ROUTES = (
    *(EndpointRoute(path, _PUBLISH) for path in ("/publish", "/publish/", "//publish/")),
    *(EndpointRoute(path, _RECOVER) for path in ("/recover", "/recover/")),
)

# On the control listener alone: elsewhere `/` is a page.
GRIP_ROOT = EndpointRoute("/", {"GET": Endpoint(grip_root, anyone)})
