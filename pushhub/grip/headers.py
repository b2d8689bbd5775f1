"""Parses the instruct of an origin's response: `Grip-*` headers, or a JSON document."""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import urlsplit

from pushhub.grip.document import read_document
from pushhub.grip.fields import GripError, parse_fields, parse_pairs, unescape
from pushhub.grip.instruct import (
    DEFAULT_NEXT_TIMEOUT,
    DEFAULT_TIMEOUT,
    MAX_LINK_BYTES,
    MIN_TIMEOUT,
    GripSubscription,
    HoldMode,
    Instruct,
    KeepAlive,
    NextLink,
    check,
    check_meta,
    decode64,
    status_code,
)
from pushhub.http.raw_response import RawResponse

INSTRUCT = "application/grip-instruct"
PREFIX = b"grip-"


def is_instruct(response: RawResponse) -> bool:
    """Whether a response has a GRIP header or document."""
    return any(name[:5].lower() == PREFIX for name, _ in response.headers) or is_document(response)


def parse_instruct(response: RawResponse, min_timeout: int = MIN_TIMEOUT) -> Instruct | None:
    """The instruct of a response; None if it has none, and goes to the client as it is.

    A timeout below `min_timeout` seconds is raised to it.

    Raises:
        GripError: the instruct is invalid.
    """
    if not is_instruct(response):
        return None
    headers = _Headers(response)
    instruct = Instruct(
        _plain(response, headers),
        _mode(headers.one("Grip-Hold")),
        _subscriptions(headers),
        _whole(headers.one("Grip-Timeout"), "'Grip-Timeout'", DEFAULT_TIMEOUT),
        _keep_alive(headers.one("Grip-Keep-Alive")),
        _meta(headers),
        *_links(headers),
    )
    if is_document(response):
        instruct = read_document(response, instruct)
    return check(instruct, min_timeout)


class _Headers:
    """The GRIP headers of a response by name, the values of a repeated one in order."""

    __slots__ = ("_values",)

    def __init__(self, response: RawResponse) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in response.headers:
            if name[:5].lower() == PREFIX:
                key = name.decode("latin-1").lower()
                self._values.setdefault(key, []).append(value.decode("utf-8", "replace").strip())

    def one(self, name: str) -> str | None:
        values = self._values.get(name.lower())
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return self._values.get(name.lower(), [])


def _plain(response: RawResponse, headers: _Headers) -> RawResponse:
    """The response for the client: without GRIP headers, and with the status of `Grip-Status`."""
    exposed = {
        name.strip().lower().encode()
        for value in headers.all("Grip-Expose-Headers")
        for name in value.split(",")
        if name.strip()
    }
    kept = tuple(
        (name, value)
        for name, value in response.headers
        if name[:5].lower() != PREFIX and (not exposed or name.lower() in exposed)
    )
    status, reason = response.status, response.reason
    if text := headers.one("Grip-Status"):
        code, _, phrase = text.partition(" ")
        status = status_code(code, "'Grip-Status'")
        reason = phrase.strip().encode()
        return RawResponse(status, kept, response.body, reason=reason or None)
    return RawResponse(status, kept, response.body, reason=reason)


def _mode(text: str | None) -> HoldMode | None:
    if text is None:
        return None
    try:
        return HoldMode(text)
    except ValueError:
        _refuse("'Grip-Hold' is 'response' or 'stream'.")


def _subscriptions(headers: _Headers) -> tuple[GripSubscription, ...]:
    return tuple(
        GripSubscription(field.value, field.get("prev-id"), field.all("filter"))
        for value in headers.all("Grip-Channel")
        for field in parse_fields(value, "Grip-Channel")
    )


def _keep_alive(text: str | None) -> KeepAlive | None:
    if text is None:
        return None
    (field,) = parse_fields(text, "Grip-Keep-Alive", list=False)
    if not field.value:
        _refuse("'Grip-Keep-Alive' says what to write: 'data; format=cstring; timeout=30'.")
    content = field.value.encode()
    match field.get("format") or "raw":
        case "raw":
            pass
        case "cstring":
            content = unescape(content, "'Grip-Keep-Alive'")
        case "base64":
            content = decode64(field.value, "'Grip-Keep-Alive'")
        case _:
            _refuse("The format of 'Grip-Keep-Alive' is raw, cstring or base64.")
    match field.get("mode") or "idle":
        case "idle" | "interval" as mode:
            pass
        case _:
            _refuse("The mode of 'Grip-Keep-Alive' is idle or interval.")
    timeout = _whole(field.get("timeout"), "The timeout of 'Grip-Keep-Alive'", DEFAULT_TIMEOUT)
    return KeepAlive(content, timeout, mode == "interval")


def _meta(headers: _Headers) -> dict[str, str]:
    meta: dict[str, str] = {}
    for value in headers.all("Grip-Set-Meta"):
        pairs = parse_pairs(value, "Grip-Set-Meta")
        if not pairs:
            _refuse("""'Grip-Set-Meta' is 'name="value"'.""")
        meta.update(pairs)
    return check_meta(meta)


def _links(headers: _Headers) -> tuple[NextLink | None, str | None]:
    """The last `next` and the last `gone` link; links of other relations are ignored."""
    next_link, gone = None, None
    for value in headers.all("Grip-Link"):
        for field in parse_fields(value, "Grip-Link"):
            if not (
                field.value.startswith("<") and field.value.endswith(">") and len(field.value) > 2
            ):
                _refuse("'Grip-Link' is '<uri>; rel=next'.")
            uri = _uri(field.value[1:-1])
            match field.get("rel"):
                case "next":
                    timeout = _whole(
                        field.get("timeout"), "The timeout of 'Grip-Link'", DEFAULT_NEXT_TIMEOUT
                    )
                    next_link = NextLink(uri, timeout)
                case "gone":
                    gone = uri
    return next_link, gone


def _uri(text: str) -> str:
    """A reference that fits a request line (RFC 3986 §2); its target is not checked here."""
    if len(text) > MAX_LINK_BYTES or not all("!" <= character <= "~" for character in text):
        _refuse("'Grip-Link' holds a URI: printable ASCII, everything else percent-encoded.")
    try:
        urlsplit(text)
    except ValueError:
        _refuse("'Grip-Link' holds a URI, and this is none.")
    return text


def _whole(text: str | None, what: str, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        _refuse(f"{what} is a whole number of seconds.")
    return int(text)


def is_document(response: RawResponse) -> bool:
    """Whether the body is an instruct document."""
    value = response.header(b"content-type") or b""
    return value.partition(b";")[0].strip().lower() == INSTRUCT.encode()


def _refuse(sentence: str) -> NoReturn:
    raise GripError(sentence)
