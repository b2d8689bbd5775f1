"""The errors that end a session or refuse a request (XEP-0124 §17)."""

from __future__ import annotations

from enum import StrEnum


class BoshCondition(StrEnum):
    """The conditions of binding errors, as they are on the wire (XEP-0124 §17.2)."""

    BAD_REQUEST = "bad-request"
    HOST_GONE = "host-gone"
    HOST_UNKNOWN = "host-unknown"
    IMPROPER_ADDRESSING = "improper-addressing"
    INTERNAL_SERVER_ERROR = "internal-server-error"
    ITEM_NOT_FOUND = "item-not-found"
    OTHER_REQUEST = "other-request"
    POLICY_VIOLATION = "policy-violation"
    REMOTE_CONNECTION_FAILED = "remote-connection-failed"
    REMOTE_STREAM_ERROR = "remote-stream-error"
    SEE_OTHER_URI = "see-other-uri"
    SYSTEM_SHUTDOWN = "system-shutdown"
    UNDEFINED_CONDITION = "undefined-condition"


# The HTTP status for a client without `ver`, in place of the condition (XEP-0124 §17.1).
LEGACY_STATUS = {
    BoshCondition.BAD_REQUEST: 400,
    BoshCondition.POLICY_VIOLATION: 403,
    BoshCondition.ITEM_NOT_FOUND: 404,
}


class BindingError(Exception):
    """A request that ends its session, or creates none; the message is a sentence for the log."""

    def __init__(self, condition: BoshCondition, detail: str, *, legacy: bool = False) -> None:
        super().__init__(detail)
        self.condition = condition
        self.legacy = legacy
        """Whether the client reads HTTP status codes instead of conditions."""

    @property
    def status(self) -> int:
        """The HTTP status for the condition: 200, except for legacy clients [N]."""
        return LEGACY_STATUS.get(self.condition, 200) if self.legacy else 200
