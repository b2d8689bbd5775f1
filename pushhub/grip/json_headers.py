"""Headers in GRIP's JSON: an object, or a list of pairs in which a name may repeat."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from pushhub.grip.fields import GripError

if TYPE_CHECKING:
    from pushhub.http.response import Headers

# As many and as large as a request may have: `http/request.py`.
MAX_HEADERS = 100
MAX_HEADERS_BYTES = 32 * 1024

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Without CR, LF and NUL, which would end the header and begin another one (CWE-113).
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")


def read_headers(given: object, what: str) -> Headers:
    """The headers of a JSON value, empty for None. Values are encoded as UTF-8.

    Raises:
        GripError: a wrong type, an invalid name or value, or too many headers.
    """
    if given is None:
        return ()
    if isinstance(given, dict):
        pairs = list(given.items())
    elif isinstance(given, list):
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in given):
            _refuse(f"{what} as a list has pairs of a name and a value.")
        pairs = [(name, value) for name, value in given]
    else:
        _refuse(f"{what} is an object, or a list of pairs.")
    if len(pairs) > MAX_HEADERS:
        _refuse(f"{what} has at most {MAX_HEADERS} headers.")
    headers = []
    for name, value in pairs:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            _refuse(f"{what} has a name that no header can have.")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            _refuse(f"{what}: the value of {name[:100]!r} is a text of one line.")
        headers.append((name.encode(), value.strip(" \t").encode()))
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADERS_BYTES:
        _refuse(f"{what} has at most {MAX_HEADERS_BYTES} bytes.")
    return tuple(headers)


def _refuse(sentence: str) -> NoReturn:
    raise GripError(sentence)
