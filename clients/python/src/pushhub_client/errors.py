"""The errors of the client. Each message is a sentence for the developer."""

from collections.abc import Mapping
from typing import Any


class PushhubError(Exception):
    """The base of all errors of this package."""


class HubUnreachable(PushhubError):
    """No response came: the connection failed, broke, or took too long."""


class InvalidResponse(PushhubError):
    """The response is not a hub's; usually the URL is another server's."""


class Problem(PushhubError):
    """A response that is no success (RFC 9457); pushhub's `docs/problems.md` lists the types.

    Attributes:
        status: the HTTP status.
        fields: the members of the problem; empty if the response has another content type.
        retry_after: the pause in seconds that the server requests; 0 without a request.
    """

    def __init__(
        self, status: int, fields: Mapping[str, Any] | None = None, retry_after: float = 0.0
    ) -> None:
        self.status = status
        self.fields: dict[str, Any] = dict(fields or {})
        self.retry_after = retry_after
        title = self.fields.get("title")
        detail = self.fields.get("detail")
        parts = [str(part) for part in (title, detail) if part]
        super().__init__(": ".join(parts) or f"The server responded with HTTP {status}.")

    @property
    def name(self) -> str:
        """The last part of the problem's type, for example `precondition-failed`; or empty."""
        kind = self.fields.get("type")
        return kind.rpartition(":")[2] if isinstance(kind, str) else ""

    @property
    def channel(self) -> str | None:
        """The channel that the problem is about, if it names one."""
        channel = self.fields.get("channel")
        return channel if isinstance(channel, str) else None

    @property
    def etag(self) -> str | None:
        """The value's present ETag, after a condition that did not hold."""
        etag = self.fields.get("etag")
        return etag if isinstance(etag, str) else None
