"""The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# The mechanisms, the best first, and their hashes.
HASHES = {"SCRAM-SHA-512": "sha512", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}

_HEADER = "n,,"


class ScramError(ValueError):
    """The server's message is not valid, or the server does not know the password."""


class ScramClient:
    """One login. `salted` derives the key of the password, from a salt and iterations: it takes
    milliseconds, so the caller may keep the result.
    """

    def __init__(self, mechanism: str, user: str, nonce: str) -> None:
        self._hash = HASHES[mechanism]
        self._nonce = nonce
        name = user.replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={nonce}"
        self._signature = b""

    def first(self) -> bytes:
        """The first message."""
        return (_HEADER + self._bare).encode()

    def final(self, challenge: bytes, salted: Callable[[bytes, int], bytes]) -> bytes:
        """The message with the proof, in reply to the server's challenge.

        Raises:
            ScramError: the challenge is not valid.
        """
        text = challenge.decode()
        fields = dict(field.split("=", 1) for field in text.split(","))
        if not fields.get("r", "").startswith(self._nonce):
            raise ScramError("The server's nonce does not continue the client's.")
        key = salted(base64.b64decode(fields["s"]), int(fields["i"]))
        without = f"c={base64.b64encode(_HEADER.encode()).decode()},r={fields['r']}"
        messages = f"{self._bare},{text},{without}".encode()
        client = hmac.digest(key, b"Client Key", self._hash)
        stored = hashlib.new(self._hash, client).digest()
        signature = hmac.digest(stored, messages, self._hash)
        server = hmac.digest(key, b"Server Key", self._hash)
        self._signature = hmac.digest(server, messages, self._hash)
        proof = bytes(a ^ b for a, b in zip(client, signature, strict=True))
        return f"{without},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, success: bytes) -> None:
        """Check the server's last message.

        Raises:
            ScramError: the server has no key of the password.
        """
        if not hmac.compare_digest(success, b"v=" + base64.b64encode(self._signature)):
            raise ScramError("The server has not proven that it knows the password.")
