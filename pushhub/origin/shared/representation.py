"""A representation: one response of the origin for a resource, and an event of its channel.

RFC 9110 §3.2 defines the term: the state of a resource at one time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from pushhub.http.etag import ANY, parse_tags
from pushhub.http.raw_response import FRAMING, RawResponse
from pushhub.log.event import BINARY, MAX_EVENT_BYTES, Draft
from pushhub.origin.exposed_headers import exposing
from pushhub.origin.shared.change_rule import WHOLE
from pushhub.polls.base import NO_HINT, Hint, wait_headers

if TYPE_CHECKING:
    from pushhub.http.response import Headers
    from pushhub.origin.shared.change_rule import ChangeRule

# The event that carries it has a line for the head, too.
MAX_BODY_BYTES = MAX_EVENT_BYTES - 16 * 1024
MAX_HEAD_BYTES = 16 * 1024 - 1

# The headers of a 200 that a 304 repeats (RFC 9110 §15.4.5), with those of CORS.
_REPEATED = re.compile(
    rb"cache-control|content-location|date|etag|expires|last-modified|vary|server|set-cookie"
    rb"|access-control-.*",
    re.IGNORECASE,
)
# Headers that pushhub sets itself in a response to a request that opted in.
_REPLACED = frozenset({b"cache-control", b"preference-applied", b"vary", b"x-polling-index"})


class Representation:
    """A whole response: status line, headers as sent, body as encoded.

    `tag` is the entity tag that a client sends back in `If-None-Match`: the origin's own, or with a
    rule, and where the origin has none, a digest of what the rule covers; without quotes, weakness
    and suffixes, as `parse_tags` reads them. `own_tag` is the origin's; "" without one.
    `always_new` says that each fetch of the resource finds a change, so that a wait is useless.
    """

    __slots__ = ("always_new", "body", "headers", "own_tag", "reason", "status", "tag")

    def __init__(
        self,
        status: int,
        reason: bytes,
        headers: Headers,
        body: bytes,
        rule: ChangeRule = WHOLE,
        tag: str = "",
    ) -> None:
        self.status = status
        self.reason = reason
        self.always_new = False
        self.headers = tuple(pair for pair in headers if pair[0].lower() not in FRAMING)
        self.body = body
        tags = self._tags()
        self.own_tag = next(iter(tags)) if len(tags) == 1 else ""
        self.tag = tag or ("" if rule else self.own_tag) or rule.tag(status, self.headers, body)

    @property
    def has_generated_tag(self) -> bool:
        """Whether the tag is a digest, and not the origin's own."""
        return self.tag != self.own_tag

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def _tags(self) -> frozenset[str]:
        """The origin's entity tags; only a single one can be used. Of several `ETag` lines, or a
        malformed one, no client can send a tag back that the origin understands.
        """
        etags = [value for key, value in self.headers if key.lower() == b"etag"]
        tags = parse_tags(etags[0].decode("latin-1")) if len(etags) == 1 else frozenset()
        return tags - {ANY}

    @property
    def succeeded(self) -> bool:
        """Whether the status is 2xx: neither a redirect nor an error."""
        return 200 <= self.status < 300

    # As an event

    @property
    def fits(self) -> bool:
        """Whether it is small enough for an event."""
        return len(self.body) <= MAX_BODY_BYTES and len(self._head()) <= MAX_HEAD_BYTES

    def draft(self) -> Draft:
        """The event that carries it; it must be one that `fits`."""
        return Draft(self._head() + b"\n" + self.body, BINARY)

    def _head(self) -> bytes:
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers]
        reason = self.reason.decode("latin-1")
        return orjson.dumps([self.status, reason, pairs, self.tag, self.always_new])

    @classmethod
    def of(cls, data: bytes) -> Representation:
        """The representation that an event carries."""
        head, _, body = data.partition(b"\n")
        # Older events end here.
        status, reason, headers, *more = orjson.loads(head)
        tag, always_new = more or ("", False)
        pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
        representation = cls(status, reason.encode("latin-1"), pairs, body, tag=tag)
        representation.always_new = always_new
        return representation

    # As a response

    def response(
        self, wait: int | None = None, hint: Hint = NO_HINT, events: int = 0
    ) -> RawResponse:
        """The response for a request that opted in to `wait` seconds; without a wait, as the origin
        sent it.

        Only a 200, or a 207 of WebDAV, has Preference-Applied, by which a client may poll again
        immediately: clients do not use the tag of any other response. A resource that is always
        new has none, and its clients keep their old interval.
        """
        headers = self.headers
        if wait is not None:
            holds = self.status in (200, 207) and not self.always_new
            applied_headers = wait_headers(wait, hint) if holds else ()
            headers = self._headers_after_wait(headers, applied_headers)
        return RawResponse(self.status, headers, self.body, reason=self.reason, events=events)

    def repeated(self, wait: int, hint: Hint = NO_HINT) -> RawResponse:
        """The response at the end of a wait, for a client that has the same one already."""
        headers = self._headers_after_wait(self.headers, wait_headers(wait, hint))
        return RawResponse(self.status, headers, self.body, reason=self.reason)

    def unchanged(
        self, wait: int | None = None, hint: Hint = NO_HINT, status: int = 304
    ) -> RawResponse:
        """The response for a client that has the representation: 304, or 204 if the route says so.
        An error has no such response (RFC 9110 §13.2.1), and is repeated.
        """
        if not self.succeeded:
            return self.response() if wait is None else self.repeated(wait, hint)
        headers = tuple(pair for pair in self.headers if _REPEATED.fullmatch(pair[0]))
        if wait is not None:
            headers = self._headers_after_wait(headers, wait_headers(wait, hint))
        return RawResponse(status, headers)

    def _headers_after_wait(self, headers: Headers, applied_headers: Headers) -> Headers:
        """The headers of a response to a request that opted in: with one validator, and without
        leave for caches to give it to others (RFC 7240 §2).
        """
        dropped = _REPLACED | {b"etag"} if self.has_generated_tag else _REPLACED
        kept = tuple(pair for pair in exposing(headers) if pair[0].lower() not in dropped)
        vary = [value for name, value in headers if name.lower() == b"vary"]
        return (
            *kept,
            *(((b"ETag", b'W/"%b"' % self.tag.encode()),) if self.has_generated_tag else ()),
            (b"Vary", b", ".join([*vary, b"Prefer"])),
            (b"Cache-Control", b"no-store"),
            # COMPAT: restful-react 15, whose Poll sends this back instead of the ETag.
            (b"X-Polling-Index", self.tag.encode()),
            *applied_headers,
        )

    def __repr__(self) -> str:
        return f"<Representation {self.status} {self.tag} {len(self.body)} bytes>"
