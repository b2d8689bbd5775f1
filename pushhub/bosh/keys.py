"""Key sequences: they prove that the sender of a request also sent the last one (XEP-0124 §15).

Only the client that made the chain of hashes knows the key before the last one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pushhub.bosh.condition import BindingError, BoshCondition

if TYPE_CHECKING:
    from pushhub.bosh.body import BoshBody


# A key is a SHA-1 in hexadecimal, 40 characters; a session keeps those of several requests.
MAX_KEY = 256


class KeySequence:
    """The chain of one session, checked in rid order [L7]."""

    __slots__ = ("expected",)

    def __init__(self, expected: str) -> None:
        self.expected = expected
        """The hash of the next key: the last `newkey`, or else the last `key`, as sent."""

    def admit(self, body: BoshBody) -> None:
        """Check a request's key, and advance to the next one.

        Raises:
            BindingError: item-not-found; the key is missing or wrong [L5].
        """
        key, newkey = body.get("key"), body.get("newkey") or ""
        if max(len(key or ""), len(newkey)) > MAX_KEY:
            detail = f"A key has at most {MAX_KEY} characters."
            raise BindingError(BoshCondition.ITEM_NOT_FOUND, detail)
        # The hash covers the characters as sent; only the comparison ignores case [L3].
        if key is None or not _equal(hashlib.sha1(key.encode()).hexdigest(), self.expected):
            detail = "The request's key is not the next one of its session's."
            raise BindingError(BoshCondition.ITEM_NOT_FOUND, detail)
        self.expected = newkey or key  # [L6]


def first_key(body: BoshBody) -> KeySequence | None:
    """The sequence that a creation request begins; None if it begins none.

    Raises:
        BindingError: bad-request; the key is too long.
    """
    newkey = body.get("newkey")
    if newkey and len(newkey) > MAX_KEY:
        raise body.refused(f"A key has at most {MAX_KEY} characters.")
    return KeySequence(newkey) if newkey else None


def key_of(body: BoshBody) -> str:
    """A request's key, which a repeat of the request must have, too [L7]."""
    return (body.get("key") or "").lower()


def _equal(one: str, other: str) -> bool:
    return one.lower() == other.strip().lower()
