"""The rules for a session's requests besides their rids: keys, pauses, pace, and identical repeats.
A request that breaks one ends the session.
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

# Attributes that make an empty request more than a poll.
_SPECIAL = {"type", "pause", RESTART}


def checksum(body: BoshBody, raw: bytes) -> int:
    """A checksum of a request, which a repeat of it must have, too; 0 for one without payload."""
    return zlib.crc32(raw) if body.children else 0


class Checks:
    """Checks the requests of one session, in rid order."""

    __slots__ = ("_negotiated", "_polled", "_repeats", "keys")

    def __init__(self, negotiated: Negotiation) -> None:
        self.keys: KeySequence | None = None
        self._negotiated = negotiated
        # The number of consecutive repeats.
        self._repeats = 0
        # The time of the last poll with an empty response.
        self._polled = NEVER

    def admit(self, body: BoshBody, now: float, *, idle: bool) -> int | None:
        """Check the next request; return the requested pause, in seconds. `idle`: no element waits
        for the client.

        Raises:
            BindingError: the request breaks a rule.
        """
        if self.keys is not None:
            self.keys.admit(body)
        pause = self._pause(body) if "pause" in body.attributes else None
        if self._negotiated.polling:
            self._check_pace(body, now, idle)
        self._repeats = 0
        return pause

    def _pause(self, body: BoshBody) -> int | None:
        """The requested pause; None if pauses are disabled [G5]."""
        requested, limit = body.number("pause"), self._negotiated.maxpause
        if requested is not None and requested > limit > 0:
            detail = f"'pause' is at most {limit} seconds."
            raise BindingError(BoshCondition.POLICY_VIOLATION, detail)  # [G10]
        return requested if limit else None

    def _check_pace(self, body: BoshBody, now: float, idle: bool) -> None:
        """Refuse two empty polls of a polling session less than `polling` seconds apart without
        another request between them [I3]. The creation request is no poll.

        Half of that time is enough: the network may bring two polls closer together.
        """
        if body.children or _SPECIAL & body.attributes.keys() or not body.sid:
            self._polled = NEVER
            return
        if now - self._polled < self._negotiated.polling / 2:
            detail = f"Empty requests come {self._negotiated.polling} seconds apart."
            raise BindingError(BoshCondition.POLICY_VIOLATION, detail)
        if idle:
            self._polled = now

    def admit_repeat(self, entry: OpenRequest | None, body: BoshBody, raw: bytes) -> None:
        """Check a request with a rid that arrived before; `entry` is the earlier one, if it is
        kept.

        Raises:
            BindingError: there were too many repeats, or it is another request.
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
        if body.children and checksum(body, raw) != entry.checksum:
            # [N4] Its stanzas would be lost: two pages share a session, and its rids.
            detail = "A repeat has the stanzas of the first request."
            raise BindingError(BoshCondition.POLICY_VIOLATION, detail)

    def __repr__(self) -> str:
        return f"<Checks {self._repeats} repeats{', keys' if self.keys else ''}>"
