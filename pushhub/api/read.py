"""The endpoints that read: the feed of a channel, its value, and many channels in one request; each
plain, waiting or as a stream.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pushhub.http.accept import negotiate
from pushhub.http.etag import parse_tags
from pushhub.http.prefer import granted_wait
from pushhub.http.problem import Problem
from pushhub.http.sse import HEAD_OF_STREAM, OPENING, RETRIES_MS
from pushhub.hub.stream import EventStream
from pushhub.log.cursor import Start
from pushhub.log.grant import Action
from pushhub.polls.base import parse_limit, start_of
from pushhub.polls.feed import FeedPoll
from pushhub.polls.multi import MultiPoll, parse_many
from pushhub.polls.stream import FeedStream, MultiStream
from pushhub.polls.value import ValuePoll

if TYPE_CHECKING:
    from pushhub.api.service import Service
    from pushhub.http.request import Request
    from pushhub.http.response import Response
    from pushhub.log.cursor import Since
    from pushhub.log.grant import Grant
    from pushhub.polls.base import Poll

EVENT_STREAM = "text/event-stream"
_FEED_TYPES = ("application/json", EVENT_STREAM)


def feed(
    service: Service, request: Request, grant: Grant, channel: str
) -> Poll | EventStream | Response:
    """`GET /v1/channels/{channel}/events`: the events after a cursor; with SSE also later ones."""
    service.authority.require(grant, Action.READ, channel)
    limit = parse_limit(request)
    streams = prefers_stream(request)
    since = _since(request, streams)
    if streams and request.method == "HEAD":
        return HEAD_OF_STREAM
    if streams:
        poll = FeedStream(
            channel,
            since,
            limit,
            first=True,
            retry_ms=service.hub.jitter.pick(RETRIES_MS),
            envelope=_flag(request, "envelope"),
        )
        return _stream(service, poll, grant)
    return FeedPoll(channel, since, limit, wait(service, request))


def value(service: Service, request: Request, grant: Grant, channel: str) -> Poll:
    """`GET /v1/channels/{channel}`: the last event's bytes, with its ETag."""
    service.authority.require(grant, Action.READ, channel)
    tags = parse_tags(request.headers.get("if-none-match", ""))
    return ValuePoll(channel, tags, wait(service, request))


def many(service: Service, request: Request, grant: Grant) -> Poll | EventStream:
    """`POST /v1/poll`: many channels, a cursor for each; with SSE as one stream."""
    settings = service.settings
    multi_request = parse_many(request.body, settings.max_wait, settings.max_channels)
    for channel_read in multi_request.reads:
        service.authority.require(grant, Action.READ, channel_read.channel)
    if prefers_stream(request):
        retry_ms = service.hub.jitter.pick(RETRIES_MS)
        poll = MultiStream(multi_request.reads, multi_request.limit, first=True, retry_ms=retry_ms)
        return _stream(service, poll, grant)
    return MultiPoll(
        multi_request.reads, multi_request.limit, wait(service, request) or multi_request.wait
    )


def _stream(service: Service, poll: FeedStream | MultiStream, grant: Grant) -> EventStream:
    seconds = service.settings.stream_seconds or math.inf
    return EventStream(service.hub, OPENING, poll, grant, seconds)


def wait(service: Service, request: Request) -> int | None:
    """The seconds granted. HEAD asks for the head of a plain response, and never waits."""
    if request.method == "HEAD":
        return None
    return granted_wait(request, service.settings.max_wait)


def prefers_stream(request: Request) -> bool:
    """Whether the request prefers Server-Sent Events to JSON.

    JSON is also the response to a request that accepts neither, because many clients send an
    `Accept` of their library that does not name JSON (RFC 9110 §12.5.1 leaves that to the server).
    """
    accept = request.headers.get("accept")
    return accept is not None and negotiate(accept, _FEED_TYPES) == EVENT_STREAM


def _flag(request: Request, name: str) -> bool:
    text = request.query.get(name, "false")
    if text not in ("true", "1", "false", "0"):
        raise Problem("bad-request", f"'{name}' must be true or false.")
    return text in ("true", "1")


def _since(request: Request, streams: bool) -> Since:
    # A browser that reconnects sends the original URL and the last id; the id is newer.
    text = _last_event_id(request) if streams else None
    text = text or request.query.get("since")
    if text is None:
        return Start.EARLIEST
    return start_of(text)


def _last_event_id(request: Request) -> str | None:
    """The last id that a stream's reader has received: from the header, or from the query string.

    Some polyfills of EventSource send no header, because it needs a CORS preflight. They add
    a query parameter: `lastEventId` (event-source-polyfill), `lastEventID` and `Last-Event-ID`
    (Mercure's clients), `evs_last_event_id` (amvtek), `last_event_id` (hand-written ones).
    """
    header = request.headers.get("last-event-id")
    if header or "vent" not in request.query_string.lower():
        return header
    for name, value in request.query.items():
        plain = name.replace("-", "").replace("_", "").lower()
        if value and plain in ("lasteventid", "evslasteventid"):
            return value
    return None
