"""Entity tags in conditions (RFC 9110 §13.1), compared weakly.

Proxies weaken a tag or add `-gzip` to it when they compress; a reader that sends such a tag back
must still match, or each poll would get an immediate response for ever.
"""

from __future__ import annotations

import re

# Bounds the work on a hostile header: a client has one tag of a value, a cache a handful.
MAX_TAGS = 50

_TAG = re.compile(r'\s*(?:W/)?(?:"([^"\x00-\x20\x7f]*)"|([0-9a-zA-Z-]+))\s*(?:,|$)')
_SUFFIXES = ("--gzip", "-gzip", "-br", "-zstd", "-deflate")  # COMPAT: `--gzip` is Jetty's

ANY = "*"


def parse_tags(header: str) -> frozenset[str]:
    """The tags of an `If-None-Match` or `If-Match` header; or {"*"}.

    They come without quotes, weakness and proxies' suffixes. An unquoted tag is read as its quoted
    self, since many hand-written clients send it so. What is no tag at all is skipped: a condition
    that cannot be read does not match.
    """
    if header.strip() == ANY:
        return frozenset({ANY})
    tags: set[str] = set()
    position = 0
    while position < len(header) and len(tags) < MAX_TAGS:
        found = _TAG.match(header, position)
        if found is None:
            position = (header.find(",", position) + 1) or len(header)
            continue
        tag = found[1] if found[1] is not None else found[2]
        for suffix in _SUFFIXES:
            tag = tag.removesuffix(suffix)
        tags.add(tag)
        position = found.end()
    return frozenset(tags)
