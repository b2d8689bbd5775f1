"""Errors as responses: `application/problem+json` (RFC 9457), each of a stable type."""

from __future__ import annotations

from typing import Any

import orjson

from pushhub.http.response import Headers, LimitedResponse, Response

TYPE_PREFIX = "urn:pushhub:problem:"

# slug: (status, title). The slug is stable; clients may switch on it. docs/problems.md has a
# paragraph for each.
PROBLEMS: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request cannot be understood"),
    "bad-body": (400, "The body cannot be understood"),
    "bad-channel": (400, "The channel name cannot be used"),
    "bad-cursor": (400, "The cursor cannot be used"),
    "too-many-channels": (400, "The poll names too many channels"),
    "unauthorized": (401, "A key or token is needed"),
    "revoked": (401, "The key or token was revoked"),
    "forbidden": (403, "The key or token does not allow this"),
    "not-found": (404, "Not found"),
    "no-route": (404, "No route matches"),
    "no-value": (404, "The channel has no value yet"),
    "deleted": (404, "The channel was deleted"),
    "method-not-allowed": (405, "The method is not allowed"),
    "not-acceptable": (406, "No content type is acceptable"),
    "timeout": (408, "The request did not arrive in time"),
    "gap": (410, "Events after this cursor may have been lost"),
    "precondition-failed": (412, "The value has changed"),
    "too-large": (413, "The request is too large"),
    "uri-too-long": (414, "The URL is too long"),
    "unsupported-coding": (415, "The body's content coding is not supported"),
    "misdirected": (421, "This server does not serve this host here"),
    "key-reused": (422, "The idempotency key was used for another event"),
    "settings-rejected": (422, "The settings cannot be used"),
    "too-many-requests": (429, "Too many requests"),
    "namespace-full": (429, "The namespace of the channel is full"),
    "header-too-large": (431, "The request's headers are too large"),
    "internal": (500, "Internal error"),
    "not-implemented": (501, "pushhub does not implement this"),
    "bad-gateway": (502, "The origin's response is not valid"),
    "origin-unreachable": (502, "The origin cannot be reached"),
    "store-unavailable": (503, "The store cannot be reached"),
    "overloaded": (503, "The server is overloaded"),
    "keys-pending": (503, "The keys of the token's issuer are being read"),
    "leaving": (503, "This server is shutting down"),
    "origin-timeout": (504, "The origin did not respond in time"),
}

# The slug of every refusal by a limit.
LIMITED = "too-many-requests"

_JSON = (b"content-type", b"application/problem+json")
_NO_STORE = (b"cache-control", b"no-store")


class Problem(Exception):
    """An error response. `detail` says what to do; `members` are the type's own fields."""

    def __init__(self, slug: str, detail: str, *, headers: Headers = (), **members: Any) -> None:
        super().__init__(detail)
        self.slug = slug
        self.status, self.title = PROBLEMS[slug]
        self.sent_status = self.status
        """The status of the response; see `retried`."""
        self.detail = detail
        self.headers = headers
        self.members = members
        self.limited: tuple[str, str, str] | None = None
        """The limit that refuses, its scope and its client; None for other problems."""

    def to_dict(self) -> dict[str, Any]:
        """The problem's JSON object, also as a member of another response."""
        return {
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.sent_status,
            "detail": self.detail,
            **self.members,
        }

    def retried(self) -> Problem:
        """This problem, for a client that gives up at any 4xx, and sends the same request again
        after a 5xx: a problem that may be over then is a 503."""
        if self.status in (408, 429):
            self.sent_status = 503
        return self

    def response(self) -> Response:
        """The problem as a response."""
        kind = LimitedResponse if self.slug == LIMITED else Response
        return kind(
            self.sent_status, (_JSON, _NO_STORE, *self.headers), orjson.dumps(self.to_dict())
        )

    def __repr__(self) -> str:
        return f"<Problem {self.slug}: {self.detail}>"


def retry_after(seconds: int) -> tuple[bytes, bytes]:
    """The header that says when to come back (RFC 9110 §10.2.3)."""
    return (b"retry-after", b"%d" % seconds)
