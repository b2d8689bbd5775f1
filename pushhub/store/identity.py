"""How one life of a log, and one event's content, are told from any other."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.protocol.event import Draft

# 36**12 is 62 bits: two lives of all logs in the world will not share an epoch.
EPOCH_LENGTH = 12
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def draw_epoch() -> str:
    """A new epoch: 12 random characters of `[0-9a-z]`. Never a counter: a restore rewinds it."""
    return "".join(secrets.choice(_DIGITS) for _ in range(EPOCH_LENGTH))


def fingerprint(draft: Draft) -> bytes:
    """16 bytes that stand for all a publisher hands in, to notice a reused idempotency key."""
    digest = hashlib.blake2b(digest_size=16)
    # No label contains a line feed, so it separates them unmistakably.
    digest.update(f"{draft.type}\n{draft.content_type}\n{draft.id}\n".encode())
    digest.update(draft.data)
    return digest.digest()
