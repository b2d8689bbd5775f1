"""Requests to an application itself, past the hub: its own API, which changes things."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 20.0
_BOUNDARY = "pushhub-apps"


class Refused(OSError):
    """A response that is no success."""


def ask(
    method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """The body of a successful response."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            found: bytes = response.read()
            return found
    except urllib.error.HTTPError as error:
        raise Refused(f"{method} {url}: {error.code} {error.read()[:300]!r}") from None


def send_json(
    method: str, url: str, document: Any, headers: Mapping[str, str] | None = None
) -> Any:
    """Send a JSON document; return the JSON of the response, if it has any."""
    fields = {"Content-Type": "application/json", **(headers or {})}
    body = ask(method, url, json.dumps(document).encode(), fields)
    return json.loads(body) if body else None


def get_json(url: str, headers: Mapping[str, str] | None = None) -> Any:
    return json.loads(ask("GET", url, headers=headers))


def post_form(
    url: str,
    fields: Mapping[str, str],
    file: tuple[str, str, bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Send a form as multipart/form-data."""
    disposition = f"--{_BOUNDARY}\r\nContent-Disposition: form-data"
    parts = [
        f'{disposition}; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if file:
        name, filename, content = file
        head = f'{disposition}; name="{name}"; filename="{filename}"\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    parts.append(f"--{_BOUNDARY}--\r\n".encode())
    content_type = f"multipart/form-data; boundary={_BOUNDARY}"
    return ask("POST", url, b"".join(parts), {"Content-Type": content_type, **(headers or {})})
