"""What an origin answered for a resource: told through its channel to all who wait for it.

(RFC 9110 §3.2: a representation is what a resource looks like at one time.)
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson

from pushhub.http.etag import ANY, parse_tags
from pushhub.http.raw_response import FRAMING, RawResponse
from pushhub.log.event import BINARY, MAX_EVENT_BYTES, Draft
from pushhub.polls.base import NO_HINT, Hint
from pushhub.polls.feed import applied

if TYPE_CHECKING:
    from pushhub.http.response import Headers

# The event that carries it has a line for the head, too.
MAX_BODY_BYTES = MAX_EVENT_BYTES - 16 * 1024
MAX_HEAD_BYTES = 16 * 1024 - 1

# What marks a validator as ours: the origin gave none, and is not to see this one.
OURS = "ph-"
# Half of the 256 bits of a collision-free hash: two answers of one resource do not meet by chance.
_DIGEST_BYTES = 16

# Of the headers of a 200, those that a 304 repeats (RFC 9110 §15.4.5), and who may read it.
_REPEATED = re.compile(
    rb"cache-control|content-location|date|etag|expires|last-modified|vary|server|set-cookie"
    rb"|access-control-.*",
    re.IGNORECASE,
)
# What this hub says itself to a request that opted in.
_OURS = frozenset({b"cache-control", b"preference-applied", b"vary", b"x-polling-index"})


class Representation:
    """A whole response: status line, headers as sent, body as encoded.

    `tag` is what a client sends back in `If-None-Match`: the origin's own, or a digest; without
    quotes, weakness and suffixes, as `parse_tags` reads them.
    """

    __slots__ = ("body", "headers", "ours", "reason", "status", "tag")

    def __init__(self, status: int, reason: bytes, headers: Headers, body: bytes) -> None:
        self.status = status
        self.reason = reason
        self.headers = tuple(pair for pair in headers if pair[0].lower() not in FRAMING)
        self.body = body
        tags = self._tags()
        self.ours = len(tags) != 1
        self.tag = self._digest() if self.ours else next(iter(tags))

    def header(self, name: bytes) -> bytes | None:
        """The first header of this lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def _tags(self) -> frozenset[str]:
        """What the origin gave as its validator; only one is one. Of several `ETag` lines, or one
        that is no tag, a client can send none back so that the origin understands it.
        """
        given = [value for key, value in self.headers if key.lower() == b"etag"]
        tags = parse_tags(given[0].decode("latin-1")) if len(given) == 1 else frozenset()
        return tags - {ANY}

    @property
    def succeeded(self) -> bool:
        """Whether it is the resource, and not why there is none, or where it is."""
        return 200 <= self.status < 300

    def _digest(self) -> str:
        content_type = self.header(b"content-type") or b""
        digest = blake2b(b"%d\0%b\0" % (self.status, content_type), digest_size=_DIGEST_BYTES)
        digest.update(self.body)
        return OURS + digest.hexdigest()

    # As an event

    @property
    def fits(self) -> bool:
        """Whether it can be an event of a channel."""
        return len(self.body) <= MAX_BODY_BYTES and len(self._head()) <= MAX_HEAD_BYTES

    def draft(self) -> Draft:
        """The event that tells of it. Only one that `fits` can be."""
        return Draft(self._head() + b"\n" + self.body, BINARY)

    def _head(self) -> bytes:
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers]
        return orjson.dumps([self.status, self.reason.decode("latin-1"), pairs])

    @classmethod
    def of(cls, data: bytes) -> Representation:
        """The representation that an event of its channel carries."""
        head, _, body = data.partition(b"\n")
        status, reason, headers = orjson.loads(head)
        pairs = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
        return cls(status, reason.encode("latin-1"), pairs, body)

    # As an answer

    def answer(self, wait: int | None = None, hint: Hint = NO_HINT, events: int = 0) -> RawResponse:
        """The response for a request that opted in to `wait` seconds; without them, as the origin
        sent it.

        Only a 200 says that the wait was applied, and so that the client may ask again immediately:
        whatever else there is, a client has no use for its tag, or does not know that it has one.
        """
        headers = self.headers
        if wait is not None:
            said = applied(wait, hint) if self.status == 200 else ()
            headers = self._waited(headers, said)
        return RawResponse(self.status, headers, self.body, reason=self.reason, events=events)

    def repeated(self, wait: int, hint: Hint = NO_HINT) -> RawResponse:
        """The same response once more, for a client that has it, at the end of its wait."""
        headers = self._waited(self.headers, applied(wait, hint))
        return RawResponse(self.status, headers, self.body, reason=self.reason)

    def unchanged(
        self, wait: int | None = None, hint: Hint = NO_HINT, status: int = 304
    ) -> RawResponse:
        """The response for a client that has it already: 304, or 204 where the API says so. An
        error has no such response (RFC 9110 §13.2.1), and is repeated.
        """
        if not self.succeeded:
            return self.answer() if wait is None else self.repeated(wait, hint)
        headers = tuple(pair for pair in self.headers if _REPEATED.fullmatch(pair[0]))
        if wait is not None:
            headers = self._waited(headers, applied(wait, hint))
        return RawResponse(status, headers)

    def _waited(self, headers: Headers, said: Headers) -> Headers:
        """Headers with one validator, with what keeps a cache from giving the response to
        others (RFC 7240 §2), and with what is `said` of the wait.
        """
        dropped = _OURS | {b"etag"} if self.ours else _OURS
        kept = tuple(pair for pair in headers if pair[0].lower() not in dropped)
        vary = [value for name, value in headers if name.lower() == b"vary"]
        return (
            *kept,
            *(((b"ETag", b'"%b"' % self.tag.encode()),) if self.ours else ()),
            (b"Vary", b", ".join([*vary, b"Prefer"])),
            (b"Cache-Control", b"no-store"),
            # COMPAT: restful-react 15, whose Poll knows no ETag and sends this back.
            (b"X-Polling-Index", self.tag.encode()),
            *said,
        )

    def __repr__(self) -> str:
        return f"<Representation {self.status} {self.tag} {len(self.body)} bytes>"
