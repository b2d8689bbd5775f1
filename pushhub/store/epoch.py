"""Names for one life of a log (epochs), and digests of an event's content (fingerprints)."""

from __future__ import annotations

import hashlib
import os
from base64 import b32encode
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.log.event import Draft

# 32**12 is 60 bits: two lives of all logs in the world will not share an epoch.
EPOCH_LENGTH = 12


def draw_epoch() -> str:
    """A new epoch: 12 random characters of `[2-7a-z]`. Never a counter: a restore rewinds it.

    Redis is offered one with every append, so a draw takes about a microsecond.
    """
    return b32encode(os.urandom(8))[:EPOCH_LENGTH].lower().decode()


def fingerprint(draft: Draft) -> bytes:
    """A digest of 16 bytes over all fields of a draft, to notice a reused idempotency key."""
    digest = hashlib.blake2b(digest_size=16)
    # No label contains a line feed, so it separates them without ambiguity.
    digest.update(f"{draft.type}\n{draft.content_type}\n{draft.id}\n".encode())
    digest.update(draft.data)
    return digest.digest()
