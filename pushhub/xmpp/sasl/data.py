"""The data of SASL elements, in base64 (RFC 6120 §6.4.2)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from pushhub.xmpp.sasl.mechanism import SaslFailure

if TYPE_CHECKING:
    from pushhub.xml import Element


# 24 KiB of data in base64: a token has at most 8 KiB, and a mechanism keeps what it gets.
MAX_TEXT = 32 * 1024


def decode_data(element: Element) -> bytes | None:
    """The data of a SASL element: None without data, and b"" for `=`, empty data."""
    text = element.text.strip()
    if not text:
        return None
    if len(text) > MAX_TEXT:
        raise SaslFailure("malformed-request")
    try:
        return b"" if text == "=" else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SaslFailure("incorrect-encoding") from None


def encode_data(data: bytes | None) -> str:
    """The text of a SASL element with that data."""
    return base64.b64encode(data).decode() if data else "="
