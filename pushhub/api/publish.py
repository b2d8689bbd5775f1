"""`POST /v1/channels/{channel}/events`: the body is the event, of any content type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pushhub.api.limits import count_created, count_publish, publish_fields, refused_creation
from pushhub.api.service import store_unavailable
from pushhub.http.caching import NO_STORE
from pushhub.http.etag import ANY, parse_tags
from pushhub.http.problem import Problem
from pushhub.http.response import Response
from pushhub.hub.hold import Hold
from pushhub.log.cursor import CursorError, parse_cursor
from pushhub.log.event import DraftError, check_label, draft_from_body
from pushhub.log.grant import Action
from pushhub.polls.feed import JSON
from pushhub.store.base import (
    ANY_VALUE,
    NO_VALUE,
    Append,
    Appended,
    Expect,
    KeyReused,
    Mismatch,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.log.grant import Grant
    from pushhub.store.base import Outcome, Retention


def publish(service: Service, request: Request, grant: Grant, channel: str) -> Hold:
    """Append one event. The response follows the commit of the store."""
    retention = service.retention(channel)
    return publish_event(service, request, grant, channel, retention, service.hub.publish)


def publish_event(
    service: Service,
    request: Request,
    grant: Grant,
    channel: str,
    retention: Retention,
    door: Callable[[list[Append], Callable[[list[Outcome]], None]], None],
) -> Hold:
    """Append the event of a request through a `door` of the hub."""
    service.authority.require(grant, Action.PUBLISH, channel)
    headers = request.headers
    try:
        draft = draft_from_body(
            request.body,
            headers.get("content-type", ""),
            _label(headers.get("event-type", "")),
            _label(headers.get("event-id", "")),
        )
        key = check_label(_label(headers.get("idempotency-key", "")), "idempotency key")
    except DraftError as error:
        raise Problem("bad-body", str(error)) from None
    expect = expectation(headers.get("if-match"), headers.get("if-none-match"))
    append = Append(channel, draft, retention, expect, key)
    appends = count_publish(request, [append])
    hold = Hold()

    def done(outcomes: list[Outcome]) -> None:
        (outcome,) = outcomes
        count_created(request, outcomes)
        if isinstance(outcome, Appended):
            headers = (JSON, NO_STORE, *publish_fields(request))
            hold.complete(Response(200, headers, orjson.dumps(receipt(channel, outcome))))
        else:
            limited = refused_creation(request, appends[0], outcome)
            hold.complete(service.refuse(limited or refusal(channel, outcome)))

    door(appends, done)
    return hold


def receipt(channel: str, appended: Appended) -> dict[str, object]:
    """The receipt of an event that is in the log. `epoch` is that of its publish; `cursor` is the
    one of feeds, and can be used as `since`.
    """
    body: dict[str, object] = {
        "channel": channel,
        "epoch": appended.cursor.epoch,
        "offset": appended.cursor.offset,
        "cursor": str(appended.position),
        "id": appended.id,
        "duplicate": appended.duplicate,
    }
    if appended.reached:
        body["reached"] = appended.reached
    return body


def refusal(channel: str, outcome: Mismatch | KeyReused | StoreError) -> Problem:
    """The reason why an event is not in the log."""
    match outcome:
        case Mismatch(last):
            return Problem(
                "precondition-failed",
                "The channel's value does not match the condition. Read the value again, decide "
                "again, and publish with its new ETag.",
                channel=channel,
                etag=last.etag if last else None,
            )
        case KeyReused():
            return Problem(
                "key-reused",
                "This idempotency key was used for an event with other content. A retry sends the"
                " same bytes; a new event has a new key.",
                channel=channel,
            )
        case StoreError():
            return store_unavailable(outcome)


def expectation(if_match: str | None, if_none_match: str | None) -> Expect | None:
    """The condition of a publish, by the headers of these names (RFC 9110 §13.1).

    Raises:
        Problem: `bad-request`, for a condition that no value can have.
    """
    if if_match is not None:
        tags = parse_tags(if_match)
        if ANY in tags:
            return ANY_VALUE
        try:
            cursors = frozenset(map(parse_cursor, tags))
        except CursorError:
            cursors = frozenset()
        if not cursors:
            raise Problem(
                "bad-request", "'If-Match' must be the ETag of the value, exactly as received."
            )
        return Expect(cursors)
    if if_none_match is not None:
        if if_none_match.strip() != ANY:
            raise Problem(
                "bad-request",
                "A publish supports only 'If-None-Match: *', for a channel without a value.",
            )
        return NO_VALUE
    return None


def _label(header: str) -> str:
    # Header bytes are decoded as Latin-1 (RFC 9110 §5.5); clients send UTF-8.
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
