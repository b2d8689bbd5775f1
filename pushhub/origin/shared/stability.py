"""A check for `routes check`: whether two fetches of an unchanged resource give the same response.

A body with a time stamp, or compressed with the time in its header, differs each time. Then the
validator that pushhub generates changes with every fetch, and each wait ends immediately.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from pushhub.origin.shared.fetcher import Fetched
from pushhub.origin.shared.key import Key
from pushhub.origin.shared.representation import MAX_BODY_BYTES

if TYPE_CHECKING:
    from pushhub.origin.request import ProxiedRequest
    from pushhub.origin.shared.fetcher import Fetcher
    from pushhub.origin.shared.representation import Representation

# Time stamps count whole seconds, and gzip does (RFC 1952 §2.3.1).
APART_SECONDS = 1.1
# Bytes of a body that are printed on both sides of the first difference.
CONTEXT_BYTES = 12


async def difference(fetcher: Fetcher, request: ProxiedRequest) -> str | None:
    """The difference between two fetches for a request that is shared, as a sentence; None if there
    is none.

    A request without Accept-Encoding is also fetched with gzip, as browsers send it.
    """
    variants = [request]
    if "accept-encoding" not in request.headers:
        variants.append(request.with_header(b"Accept-Encoding", b"gzip"))
    before = [await _fetch(fetcher, variant) for variant in variants]
    await asyncio.sleep(APART_SECONDS)
    for variant, first in zip(variants, before, strict=True):
        second = await _fetch(fetcher, variant)
        if first is not None and second is not None and first.tag != second.tag:
            return _describe(first, second)
    return None


async def _fetch(fetcher: Fetcher, request: ProxiedRequest) -> Representation | None:
    key = Key(request)
    result = await fetcher.fetch(key, fetcher.headers_for(key, request), None)
    return result.representation if isinstance(result, Fetched) else None


def _describe(first: Representation, second: Representation) -> str:
    apart = f"two responses {APART_SECONDS:g} s apart differ"
    if not second.has_generated_tag:
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
    shown = second.body[max(0, at - CONTEXT_BYTES) : at + CONTEXT_BYTES].decode("utf-8", "replace")
    return f"{apart} from byte {at} on, in {shown!r}; an ETag from the API would not"


def _unzipped(body: bytes) -> bytes | None:
    """The decompressed body, up to a bound; None if it is not compressed with gzip."""
    try:
        return zlib.decompressobj(31).decompress(body, 16 * MAX_BODY_BYTES)
    except zlib.error:
        return None
