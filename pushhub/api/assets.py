"""The files of the pages: read from the package at the start, and compressed once, when the first
client accepts that.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pushhub.http.accept import accepts_gzip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from importlib.resources.abc import Traversable

    from starlette.requests import Request

    Endpoint = Callable[[Request], Awaitable[Response]]

STATIC: Traversable = files("pushhub.api") / "static"

# With `nosniff` browsers run a script only with the media type of one.
MEDIA_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "map": "application/json",
    "mjs": "text/javascript",
    "ts": "text/plain",
    "txt": "text/plain",
}

# The pages load nothing from other hosts, and an attacker must not make them do so (CWE-79).
PAGE_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

# The console's page holds an operator's key in its memory. So its policy lists what
# it loads, text never becomes markup (Trusted Types), and no form can put the key into a URL.
CONSOLE_HEADERS = {
    **PAGE_HEADERS,
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}


# gzip makes smaller files larger.
LEAST_TO_COMPRESS = 512

# A tag in `If-None-Match` (RFC 9110 §8.8.3).
_TAG = re.compile(r'(?:W/)?("[^"]*")')

# Marks a line of a page that links to the demo.
DEMO_MARK = b'data-page="demo"'


def asset(
    name: str, headers: Mapping[str, str] = PAGE_HEADERS, *, left_out: bytes | None = None
) -> Endpoint:
    """A page of one file, without the lines that have the mark `left_out`."""
    content = (STATIC / name).read_bytes()
    if left_out is not None:
        lines = content.splitlines(keepends=True)
        content = b"".join(line for line in lines if left_out not in line)
    return static(content, MEDIA_TYPES[name.rpartition(".")[2]], headers=headers)


def static(content: bytes, media_type: str, *, headers: Mapping[str, str]) -> Endpoint:
    """A representation that stays the same while the process runs: with a tag, and compressed for
    clients that accept it.
    """
    digest = hashlib.sha256(content).hexdigest()[:20]
    plain = (content, {**headers, "etag": f'"{digest}"', "vary": "Accept-Encoding"})

    @cache
    def packed() -> tuple[bytes, dict[str, str]]:
        if len(content) < LEAST_TO_COMPRESS:
            return plain
        # Each coding is a representation with a tag of its own (RFC 9110 §8.8.3.3).
        own = {"etag": f'"{digest}-gzip"', "content-encoding": "gzip"}
        return gzip.compress(content, 9, mtime=0), {**plain[1], **own}

    async def page(request: Request) -> Response:
        gzipped = accepts_gzip(request.headers.get("accept-encoding"))
        body, fields = packed() if gzipped else plain
        condition = request.headers.get("if-none-match", "")
        if condition.strip() == "*" or fields["etag"] in _TAG.findall(condition):
            kept = {name: value for name, value in fields.items() if name != "content-encoding"}
            return Response(status_code=304, headers=kept)
        return Response(body, media_type=media_type, headers=fields)

    return page


def folder(name: str, headers: Mapping[str, str] = PAGE_HEADERS) -> Endpoint:
    """The files of one folder, by the `file` of the path; no other path is possible."""
    pages = {one.name: asset(f"{name}/{one.name}", headers) for one in (STATIC / name).iterdir()}

    async def page(request: Request) -> Response:
        found = pages.get(request.path_params["file"])
        if found is None:
            raise HTTPException(404)
        return await found(request)

    return page
