"""Whether a resource is the same when nothing has changed: two looks, a moment apart.

A body with a time stamp, or compressed with the time in its header, differs each time. Then the
validator that pushhub makes of it changes with every look, and each wait ends at once.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from pushhub.origin.request import ProxiedRequest
from pushhub.origin.shared.fetcher import Fetched
from pushhub.origin.shared.representation import MAX_BODY_BYTES

if TYPE_CHECKING:
    from pushhub.origin.explain import Explanation
    from pushhub.origin.shared.fetcher import Fetcher
    from pushhub.origin.shared.representation import Representation

# Time stamps count whole seconds, and gzip does (RFC 1952 §2.3.1).
APART_SECONDS = 1.1
# What is shown of a body on both sides of the first difference, in bytes.
AROUND = 12
_GZIP = ((b"Accept-Encoding", b"gzip"),)


async def difference(fetching: Fetcher, told: Explanation, asked: ProxiedRequest) -> str | None:
    """What differs between two looks at a shared resource, as a sentence; None if nothing does.

    A request that accepts no coding is looked at with gzip, too, as browsers would ask.
    """
    variants = [asked]
    if "accept-encoding" not in asked.headers:
        variants.append(
            ProxiedRequest("GET", asked.target, asked.pairs + _GZIP, client=asked.client)
        )
    before = [await _look(fetching, told, variant) for variant in variants]
    await asyncio.sleep(APART_SECONDS)
    for variant, first in zip(variants, before, strict=True):
        second = await _look(fetching, told, variant)
        if first is not None and second is not None and first.tag != second.tag:
            return _why(first, second)
    return None


async def _look(
    fetching: Fetcher, told: Explanation, asked: ProxiedRequest
) -> Representation | None:
    key = told.key(asked)
    assert key is not None
    look = await fetching.look(key, fetching.pairs(key, asked), None)
    return look.representation if isinstance(look, Fetched) else None


def _why(first: Representation, second: Representation) -> str:
    apart = f"two responses {APART_SECONDS:g} s apart differ"
    if not second.ours:
        if first.body == second.body:
            return f"{apart} in the ETag alone"
        return f"{apart}, and so do their ETags"
    if _unzipped(first.body) == _unzipped(second.body) is not None:
        return f"{apart} only in how they are compressed; gzip without a time (mtime = 0)"
    at = next(
        (
            place
            for place, (one, other) in enumerate(zip(first.body, second.body, strict=False))
            if one != other
        ),
        min(len(first.body), len(second.body)),
    )
    shown = second.body[max(0, at - AROUND) : at + AROUND].decode("utf-8", "replace")
    return f"{apart} from byte {at} on, in {shown!r}; an ETag from the API would not"


def _unzipped(body: bytes) -> bytes | None:
    """What gzip has compressed, up to a bound; None for what is none."""
    try:
        return zlib.decompressobj(31).decompress(body, 16 * MAX_BODY_BYTES)
    except zlib.error:
        return None
