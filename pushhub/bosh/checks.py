"""What a session's requests keep to, beside their rids: keys, pauses, pace, and repeats that are
repeats. Who does not ends the session.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from pushhub.bosh.body import RESTART
from pushhub.bosh.condition import BindingError, BoshCondition
from pushhub.bosh.keys import KeySequence, key_of

if TYPE_CHECKING:
    from pushhub.bosh.body import BoshBody
    from pushhub.bosh.negotiation import Negotiation
    from pushhub.bosh.window import OpenRequest

# [K7] Strophe.js and stanza.io give up after five.
MAX_REPEATS = 20

# Before the first poll.
NEVER = -1e9

# What makes an empty request more than a poll.
_SPECIAL = {"type", "pause", RESTART}


def mark_of(body: BoshBody, raw: bytes) -> int:
    """A checksum of a request, as a repeat of it must have it too; 0 for one without payload."""
    return zlib.crc32(raw) if body.children else 0


class Checks:
    """Lets the requests of one session in, in rid order."""

    __slots__ = ("_polled", "_repeats", "_terms", "keys")

    def __init__(self, terms: Negotiation) -> None:
        self.keys: KeySequence | None = None
        self._terms = terms
        # How many requests in a row were none but repeats.
        self._repeats = 0
        # When a poll was answered empty last.
        self._polled = NEVER

    def admit(self, body: BoshBody, now: float, *, idle: bool) -> int | None:
        """Let in a request whose turn it is; the pause that it asks for, in seconds. `idle` is
        whether nothing waits for the client.

        Raises:
            BindingError: it breaks a rule.
        """
        if self.keys is not None:
            self.keys.admit(body)
        pause = self._pause(body) if "pause" in body.attributes else None
        if self._terms.polling:
            self._check_pace(body, now, idle)
        self._repeats = 0
        return pause

    def _pause(self, body: BoshBody) -> int | None:
        """The pause that is asked for, None if there are none [G5]."""
        asked, most = body.number("pause"), self._terms.maxpause
        if asked is not None and asked > most > 0:
            detail = f"'pause' is at most {most} seconds."
            raise BindingError(BoshCondition.POLICY_VIOLATION, detail)  # [G10]
        return asked if most else None

    def _check_pace(self, body: BoshBody, now: float, idle: bool) -> None:
        """Two empty polls in a polling session come at least `polling` seconds apart, if no other
        request is between them [I3]. The request that creates the session is no poll.

        Half of that is enough: two that left far enough apart may arrive closer together.
        """
        if body.children or _SPECIAL & body.attributes.keys() or not body.sid:
            self._polled = NEVER
            return
        if now - self._polled < self._terms.polling / 2:
            detail = f"Empty requests come {self._terms.polling} seconds apart."
            raise BindingError(BoshCondition.POLICY_VIOLATION, detail)
        if idle:
            self._polled = now

    def admit_again(self, entry: OpenRequest | None, body: BoshBody, raw: bytes) -> None:
        """Let in a request with a rid that was here before; `entry` is what is known of that.

        Raises:
            BindingError: it is one too many, or not the same request.
        """
        self._repeats += 1
        if self._repeats > MAX_REPEATS:
            detail = f"A request is repeated {MAX_REPEATS} times at most."
            raise BindingError(BoshCondition.POLICY_VIOLATION, detail)  # [K7]
        if entry is None:
            return
        if self.keys is not None and key_of(body) != entry.key:
            detail = "A repeat has the key of the first request."
            raise BindingError(BoshCondition.ITEM_NOT_FOUND, detail)  # [L7]
        if body.children and mark_of(body, raw) != entry.mark:
            # [N4] Stanzas that nobody would ever see: two pages share a session, and its rids.
            detail = "A repeat has the stanzas of the first request."
            raise BindingError(BoshCondition.POLICY_VIOLATION, detail)

    def __repr__(self) -> str:
        return f"<Admission {self._repeats} repeats{', keys' if self.keys else ''}>"
