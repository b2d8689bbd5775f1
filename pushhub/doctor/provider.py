"""The check of the identity provider: its key set can be read now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.auth.jwks import JwksError, parse_jwks
from pushhub.auth.jwks_source import read_jwks
from pushhub.doctor.finding import bad, ok

if TYPE_CHECKING:
    from pushhub.doctor.finding import Finding


def examine(where: str) -> Finding:
    """Whether the key set can be read, and how many keys it has."""
    try:
        keys = parse_jwks(asyncio.run(read_jwks(where)))
    except JwksError as error:
        return bad(
            "jwks",
            f"{error} A server that is running keeps the keys that it has (metric "
            "pushhub_jwks_age_seconds); a new one accepts no tokens of the provider.",
        )
    ids = ", ".join(sorted({repr(key.kid) for key in keys.values()}))[:200]
    return ok(
        "jwks",
        f"{where} was read now: the keys {ids}. A running server's last read is in the metric "
        "pushhub_jwks_age_seconds.",
    )
