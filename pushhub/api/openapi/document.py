"""The description of the API, as OpenAPI 3.1: `/openapi.json` returns it and `/docs` shows it.

Limits and problems come from the code; plain data is in `static/openapi.json`.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from pushhub import __version__
from pushhub.api.openapi import bosh as bosh_paths
from pushhub.api.openapi import origin as origin_paths
from pushhub.api.openapi import received as received_path
from pushhub.api.openapi import reload as reload_path
from pushhub.api.openapi import revocation
from pushhub.api.openapi.examples import MANY_STREAM_EXAMPLE, STREAM_EXAMPLE
from pushhub.http.problem import PROBLEMS, TYPE_PREFIX

_JSON = "application/json"
_STREAM = "text/event-stream"
_HTML = "text/html"

# Problems of any endpoint: a malformed request is refused before the endpoint runs.
_ALWAYS = ("bad-request", "unauthorized", "revoked", "timeout", "too-large", "uri-too-long",
           "too-many-requests", "header-too-large", "internal")  # fmt: skip
_RETRIES = {429: ("RetryAfter", "RateLimit", "RateLimitPolicy"), 503: ("RetryAfter",)}
_STORE = "store-unavailable"
_WAITS = ("Prefer", "Wait", "wait")
_BODY = ("bad-body", "unsupported-coding")

_ABOUT = """\
A poll is a read of a log that is allowed to wait. Publish to a channel; read it as a plain poll, \
as a long-poll or as Server-Sent Events.

Without an opt-in the response comes immediately. `Prefer: wait=N` lets a request wait. Every GET \
supports HEAD too, which never waits; every URL supports OPTIONS for pages of other origins. \
Errors are `application/problem+json`."""


@cache
def document() -> dict[str, Any]:
    """The whole document. It is made once, and callers must not change it."""
    components = json.loads((files("pushhub.api") / "static" / "openapi.json").read_text("utf-8"))
    components["schemas"]["Problem"]["properties"]["type"]["enum"] = [
        TYPE_PREFIX + slug for slug in PROBLEMS
    ]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pushhub",
            "version": __version__,
            "summary": "Realtime push for HTTP.",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Relative to the document, which may be under a path prefix (OpenAPI 3.1 §4.8.5).
        "servers": [{"url": ".", "description": "This server."}],
        "tags": [
            {"name": "Read", "description": "A channel's events, its value, many channels."},
            {"name": "Publish", "description": "One event, or many."},
            {"name": "Manage", "description": "Lists, deletes, tickets."},
            {"name": "XMPP", "description": "Chat, over BOSH."},
            {"name": "Operate", "description": "Health, metrics, pages."},
        ],
        # With `--dev`, and for a public channel, a request needs no credential.
        "security": [{"bearer": []}, {"basic": []}, {"cookie": []}, {}],
        "paths": _paths(),
        "components": components,
    }


def _paths() -> dict[str, Any]:
    return {
        "/v1/channels/{channel}/events": {
            "parameters": [_parameter("channel")],
            "get": _feed(),
            "post": _publish(),
        },
        "/v1/channels/{channel}": {
            "parameters": [_parameter("channel")],
            "get": _value(),
            "delete": _delete(),
        },
        "/v1/poll": {"post": _poll()},
        "/v1/publish": {"post": _batch()},
        "/v1/channels": {"get": _listing(), "delete": _delete_many()},
        "/v1/tickets": {"post": _ticket()},
        "/v1/tokens/revoke": {"post": revocation.described(_operation)},
        "/v1/reload": {"post": reload_path.described(_operation, _response)},
        "/v1/request": {"get": received_path.described(_operation, _response)},
        "/v1/notify": origin_paths.described(_refusals((*_ALWAYS, *_BODY, "no-route", _STORE))),
        "/http-bind": bosh_paths.described(),
        **_pages(),
    }


def _feed() -> dict[str, Any]:
    return _operation(
        "feed",
        "Read",
        "Read a channel's events",
        "The events after `since`, at most `limit`, and the `cursor` for the next request. With a "
        "wait and without a new event the request is held until an event comes; at the end of the "
        "wait the response is an empty list. With `Accept: text/event-stream` the response is a "
        "stream: `id` is the cursor, a gap is an event of the type `gap`, and the stream continues "
        "from the oldest event.",
        parameters=("since", "limit", *_WAITS, "LastEventId", "envelope", "ticket"),
        responses={
            "200": _response(
                "The events; an empty list if there are none.",
                {_JSON: _schema("Feed"), _STREAM: _text(STREAM_EXAMPLE)},
                ("PreferenceApplied", "XPollInterval"),
            )
        },
        problems=("bad-channel", "bad-cursor", "forbidden", "deleted", "gap", _STORE),
        security=[{"bearer": []}, {"basic": []}, {"cookie": []}, {"ticket": []}, {}],
    )


def _publish() -> dict[str, Any]:
    return _operation(
        "publish",
        "Publish",
        "Publish the body as one event",
        "At most 256 KiB, of any content type; JSON is checked. A form-encoded body, which `curl "
        "-d` sends, and a body without a content type are JSON if they parse, else text, else "
        "bytes. The response comes after the store has the event durably.",
        parameters=("EventType", "EventId", "IdempotencyKey", "IfMatch", "IfNoneMatchAny"),
        body={
            _JSON: {"schema": {}, "example": {"hello": "world"}},
            "text/plain": _text("hi"),
            "*/*": {"schema": {}},
        },
        responses={"200": _response("The event is in the log.", {_JSON: _schema("Receipt")})},
        problems=(*_BODY, "bad-channel", "forbidden", "precondition-failed", "key-reused", _STORE),
    )


def _value() -> dict[str, Any]:
    return _operation(
        "value",
        "Read",
        "Read a channel's value",
        "The last event's bytes, with its content type and its cursor as the ETag. With a wait and "
        "an `If-None-Match` that matches, the request is held until the value changes; with a wait "
        "and no condition, a request for a channel without a value waits for the first one. A "
        "value never has a gap: a request with any other ETag receives the value.",
        parameters=("IfNoneMatch", *_WAITS),
        responses={
            "200": _response(
                "The value, in the content type that it was published with.",
                {"*/*": {"schema": {}, "example": {"hello": "world"}}},
                ("ETag", "EventId", "EventType", "EventTime", "PreferenceApplied"),
            ),
            "304": _response(
                "The value is still the one that the client has.",
                headers=("ETag", "PreferenceApplied", "XPollInterval"),
            ),
        },
        problems=("bad-channel", "forbidden", "no-value", "deleted", _STORE),
    )


def _delete() -> dict[str, Any]:
    return _operation(
        "deleteChannel",
        "Manage",
        "Forget a channel's events",
        "Requests that wait on the channel end immediately. Its offsets do not restart.",
        responses={"204": _response("The events are deleted.")},
        problems=("bad-channel", "forbidden", "not-found", _STORE),
    )


def _poll() -> dict[str, Any]:
    return _operation(
        "poll",
        "Read",
        "Read many channels",
        "Up to 1,000 channels in one request, with a position for each. A gap is a member of "
        "`gaps`, and the channel's cursor moves to the oldest event that is kept. With `Accept: "
        "text/event-stream` every message is one such response; a message with gaps has the type "
        "`gap`.",
        parameters=_WAITS,
        body={_JSON: _schema("Poll")},
        responses={
            "200": _response(
                "The events of all channels, and the cursors that moved.",
                {_JSON: _schema("PollAnswer"), _STREAM: _text(MANY_STREAM_EXAMPLE)},
                ("PreferenceApplied", "XPollInterval"),
            )
        },
        problems=(
            *_BODY,
            "bad-channel",
            "bad-cursor",
            "too-many-channels",
            "forbidden",
            "deleted",
            _STORE,
        ),
    )


def _batch() -> dict[str, Any]:
    return _operation(
        "publishMany",
        "Publish",
        "Publish many events",
        "The whole request is checked before any event is published; `item` is the index of a bad "
        "item. After that each event stands alone: its result is a receipt or an `error`, which is "
        "one of `precondition-failed`, `key-reused` and `store-unavailable`.",
        body={_JSON: _schema("Batch")},
        responses={"200": _response("The result for each event.", {_JSON: _schema("BatchAnswer")})},
        problems=(*_BODY, "bad-channel", "forbidden", _STORE),
    )


def _listing() -> dict[str, Any]:
    return _operation(
        "listChannels",
        "Manage",
        "List channels",
        "The channels that have events and that the caller manages, by name. `next`, if there is"
        " one, is the `after` of the next page.",
        parameters=("prefix", "after", "limit"),
        responses={"200": _response("A page of channels.", {_JSON: _schema("ChannelList")})},
        problems=("forbidden", _STORE),
    )


def _delete_many() -> dict[str, Any]:
    return _operation(
        "deleteChannels",
        "Manage",
        "Forget the channels whose names begin with a prefix",
        "Each channel is deleted as a single delete does. `more`: others are left; send the "
        "request again.",
        parameters=("prefix",),
        responses={"200": _response("The channels are deleted.", {_JSON: _schema("Deleted")})},
        problems=("forbidden", _STORE),
    )


def _ticket() -> dict[str, Any]:
    return _operation(
        "ticket",
        "Manage",
        "Exchange a token for a ticket",
        "It reads what the token reads, for one request and 30 seconds: `…/events?ticket=…`.",
        responses={"200": _response("The ticket.", {_JSON: _schema("Ticket")})},
        problems=(),
    )


def _pages() -> dict[str, Any]:
    def page(id: str, summary: str, about: str, responses: dict[str, Any]) -> dict[str, Any]:
        operation = _operation(id, "Operate", summary, about, responses=responses, security=[{}])
        return {"get": operation | {"responses": responses}}

    metrics = _operation(
        "metrics",
        "Operate",
        "Read the metrics",
        "Prometheus' text format. The request needs an admin key (one that manages `*`), unless "
        "`metrics_public` or `dev` is set.",
        responses={
            "200": _response(
                "All metrics.",
                {"text/plain": _text("# TYPE pushhub_holds gauge\npushhub_holds 0\n")},
            )
        },
        problems=("forbidden",),
    )
    responses = metrics["responses"]
    metrics["responses"] = {status: responses[status] for status in ("200", "401", "403")}
    ready = {_JSON: _schema("Ready")}
    html = {"200": _response("The page.", {_HTML: _text()})}
    demo = html | {"404": _response("The demo is off.")}
    found = {"200": _response("A link to it."), "404": _response("No domain is served.")}
    return {
        "/livez": page(
            "live",
            "Ask whether the process runs",
            "Fails only for faults that a restart would repair.",
            {"200": _response("It runs.", {_JSON: _schema("Live")})},
        ),
        "/readyz": page(
            "ready",
            "Ask whether to send requests here",
            "Returns 503 while the server drains and while the store is unavailable.",
            {
                "200": _response("Yes.", ready),
                "503": _response("Not ready; the body has the reason.", ready),
            },
        ),
        "/metrics": {"get": metrics},
        "/openapi.json": page(
            "openapi",
            "Read this document",
            "OpenAPI 3.1.",
            {"200": _response("The document.", {_JSON: {"schema": {"type": "object"}}})},
        ),
        **{
            f"/.well-known/host-meta{end}": page(
                f"hostMeta{end[1:]}", f"Find BOSH{how}", "XEP-0156.", found
            )
            for end, how in (("", ", in XML"), (".json", ", in JSON"))
        },
        "/docs": page("docs", "Read the API's pages", "This document, for people.", html),
        "/demo": page("demo", "Watch the demo", "With `dev` or the setting `demo`.", demo),
        "/console": page("console", "Watch and operate", "For operators with an admin key.", html),
        "/": page("home", "Begin", "Links.", html | {"307": _response("To `/demo`, if it is on.")}),
    }


def _operation(
    id: str,
    tag: str,
    summary: str,
    about: str,
    *,
    responses: dict[str, Any],
    parameters: tuple[str, ...] = (),
    body: dict[str, Any] | None = None,
    problems: tuple[str, ...] = (),
    security: list[dict[str, list[str]]] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": id,
        "tags": [tag],
        "summary": summary,
        "description": about,
        "responses": responses | _refusals(_ALWAYS + problems),
    }
    if parameters:
        operation["parameters"] = [_parameter(name) for name in parameters]
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    if security:
        operation["security"] = security
    return operation


def _refusals(slugs: tuple[str, ...]) -> dict[str, Any]:
    """The problems by status, each with its possible types."""
    by_status: dict[int, list[str]] = {}
    for slug in sorted(slugs, key=lambda slug: PROBLEMS[slug][0]):
        by_status.setdefault(PROBLEMS[slug][0], []).append(slug)
    return {str(status): _refusal(status, group) for status, group in by_status.items()}


def _refusal(status: int, slugs: list[str]) -> dict[str, Any]:
    base = "GapProblem" if slugs == ["gap"] else "Problem"
    types = {"properties": {"type": {"enum": [TYPE_PREFIX + slug for slug in slugs]}}}
    schema = {"allOf": [{"$ref": f"#/components/schemas/{base}"}, types]}
    about = "; ".join(f"{PROBLEMS[slug][1]} (`{slug}`)" for slug in slugs) + "."
    headers = _RETRIES.get(status, ())
    return _response(about, {"application/problem+json": {"schema": schema}}, headers)


def _response(
    about: str, content: dict[str, Any] | None = None, headers: tuple[str, ...] = ()
) -> dict[str, Any]:
    response: dict[str, Any] = {"description": about}
    if headers:
        response["headers"] = {
            _HEADER_NAMES[name]: {"$ref": f"#/components/headers/{name}"} for name in headers
        }
    if content:
        response["content"] = content
    return response


_HEADER_NAMES = {
    "ETag": "ETag",
    "EventId": "Event-Id",
    "EventTime": "Event-Time",
    "EventType": "Event-Type",
    "PreferenceApplied": "Preference-Applied",
    "RateLimit": "RateLimit",
    "RateLimitPolicy": "RateLimit-Policy",
    "RetryAfter": "Retry-After",
    "XPollInterval": "X-Poll-Interval",
}


def _parameter(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _text(example: str = "") -> dict[str, Any]:
    return {"schema": {"type": "string"}} | ({"example": example} if example else {})
