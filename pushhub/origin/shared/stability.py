"""A check for `routes check`: whether two fetches of an unchanged resource give the same response.

A body with a time stamp differs each time. Then the validator that pushhub generates changes with
every fetch, and each wait ends immediately, unless the route's `ignore` leaves the time out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.origin.shared.body_difference import differing
from pushhub.origin.shared.change_rule import decoded_body
from pushhub.origin.shared.fetcher import Fetched
from pushhub.origin.shared.key import Key

if TYPE_CHECKING:
    from pushhub.origin.request import ProxiedRequest
    from pushhub.origin.shared.fetcher import Fetcher
    from pushhub.origin.shared.representation import Representation

# Time stamps count whole seconds, and gzip does (RFC 1952 §2.3.1).
APART_SECONDS = 1.1


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
    result = await fetcher.fetch(key, fetcher.headers_for(key, request), None, request.match.route)
    return result.representation if isinstance(result, Fetched) else None


def _describe(first: Representation, second: Representation) -> str:
    apart = f"two responses {APART_SECONDS:g} s apart differ"
    if not second.has_generated_tag:
        if first.body == second.body:
            return f"{apart} in the ETag alone"
        return f"{apart}, and so do their ETags"
    what = differing(
        decoded_body(first.headers, first.body), decoded_body(second.headers, second.body)
    )
    return f"{apart} in {what}; leave that out by the route's 'ignore'"
