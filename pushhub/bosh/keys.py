"""Key sequences: who sends the next request can show that he sent the last one (XEP-0124 §15).

Only who made the chain of hashes knows what comes before the last key that was seen.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pushhub.bosh.condition import BindingError, BoshCondition

if TYPE_CHECKING:
    from pushhub.bosh.body import BoshBody


class KeySequence:
    """The chain of one session, checked in rid order [L7]."""

    __slots__ = ("expected",)

    def __init__(self, expected: str) -> None:
        self.expected = expected
        """What the hash of the next key is: the last `newkey`, or else the last `key`, as sent."""

    def admit(self, body: BoshBody) -> None:
        """Check a request's key, and go on to the next one.

        Raises:
            BindingError: item-not-found; it is missing, or not the one [L5].
        """
        key = body.get("key")
        # The hash is over the characters as they were sent; only the comparison ignores case [L3].
        if key is None or not _equal(hashlib.sha1(key.encode()).hexdigest(), self.expected):
            detail = "The request's key is not the next one of its session's."
            raise BindingError(BoshCondition.ITEM_NOT_FOUND, detail)
        self.expected = body.get("newkey") or key  # [L6]


def key_of(body: BoshBody) -> str:
    """A request's key, as a repeat of the request must have it too [L7]."""
    return (body.get("key") or "").lower()


def _equal(one: str, other: str) -> bool:
    return one.lower() == other.strip().lower()
