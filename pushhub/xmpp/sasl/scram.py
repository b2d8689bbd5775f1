"""SCRAM (RFC 5802, RFC 7677): the password stays with the client, and the server proves itself too.

No channel binding: over HTTP there is no channel that both ends of a session see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.model.jid import JidError, prepare_local
from pushhub.xmpp.sasl.mechanism import Failure, SaslIdentity, Step
from pushhub.xmpp.sasl.plain import check_authzid
from pushhub.xmpp.storage.accounts import HASHES, ITERATIONS, SALT_BYTES, Account, Keys

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend

# 18 bytes are 24 characters of base64 and cannot be guessed.
NONCE_BYTES = 18


class _Scram:
    """The server's side: client-first, server-first, client-final, server-final."""

    name: ClassVar[str]
    client_first: ClassVar[bool] = True

    def __init__(self, gate: CredentialBackend) -> None:
        self._gate = gate
        self._hash = HASHES[self.name]
        self._local = ""
        self._header = ""
        self._nonce = ""
        self._messages = ""
        self._account: Account | None = None
        self._keys: Keys | None = None

    async def step(self, data: bytes) -> Step:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise Failure("malformed-request") from None
        return self._last(text) if self._nonce else await self._first(text)

    async def _first(self, text: str) -> Step:
        flag, comma, rest = text.partition(",")
        authzid, second, bare = rest.partition(",")
        # `y` says that the client would bind the channel if we did; `p=` that it does.
        if not (comma and second) or flag not in ("n", "y"):
            raise Failure("malformed-request")
        self._header = f"{flag},{authzid},"
        fields = _fields(bare)
        if list(fields)[:2] != ["n", "r"] or not fields["r"]:
            raise Failure("malformed-request")
        try:
            self._local = prepare_local(_unescape(fields["n"]))
        except JidError:
            raise Failure from None
        if authzid and not authzid.startswith("a="):
            raise Failure("malformed-request")
        check_authzid(_unescape(authzid[2:]), self._local, self._gate.domain)
        self._account = await self._gate.account(self._local)
        self._keys = self._account.keys.get(self.name) if self._account is not None else None
        # Whoever tries names shall not hear which of them exist.
        keys = self._keys
        salt = self._gate.decoy(self.name + self._local)[:SALT_BYTES] if keys is None else keys.salt
        iterations = ITERATIONS if keys is None else keys.iterations
        nonce = base64.b64encode(self._gate.random_bytes(NONCE_BYTES)).decode()
        self._nonce = fields["r"] + nonce
        reply = f"r={self._nonce},s={base64.b64encode(salt).decode()},i={iterations}"
        self._messages = f"{bare},{reply}"
        return Step(reply.encode())

    def _last(self, text: str) -> Step:
        without, comma, proof_text = text.rpartition(",p=")
        fields = _fields(without)
        if not comma or list(fields)[:2] != ["c", "r"]:
            raise Failure("malformed-request")
        header, proof = _decode(fields["c"]), _decode(proof_text)
        if fields["r"] != self._nonce or header != self._header.encode():
            raise Failure
        keys, account = self._keys, self._account
        if keys is None or account is None:
            raise Failure
        messages = f"{self._messages},{without}".encode()
        server = self._proven(keys, messages, proof)
        # COMPAT: Strophe 5 waits for ever for a success without it; it is never one more challenge.
        verifier = base64.b64encode(hmac.digest(server, messages, self._hash))
        return Step(b"v=" + verifier, SaslIdentity(self._local, account.grant))

    def _proven(self, keys: Keys, messages: bytes, proof: bytes) -> bytes:
        """The server key of the form of the password that the client has proven to know.

        Raises:
            Failure: it has proven none.
        """
        for stored, server in keys.pairs:
            signature = hmac.digest(stored, messages, self._hash)
            if len(proof) != len(signature):
                raise Failure
            client = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
            if hmac.compare_digest(hashlib.new(self._hash, client).digest(), stored):
                return server
        raise Failure


class ScramSha1(_Scram):
    name: ClassVar[str] = "SCRAM-SHA-1"


class ScramSha256(_Scram):
    name: ClassVar[str] = "SCRAM-SHA-256"


class ScramSha512(_Scram):
    name: ClassVar[str] = "SCRAM-SHA-512"


def _fields(text: str) -> dict[str, str]:
    """`n=user,r=nonce` by letter; a mandatory extension (`m=`) is none that we know."""
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    if "m" in fields or any(len(name) != 1 for name in fields):
        raise Failure("malformed-request")
    return fields


def _unescape(text: str) -> str:
    return text.replace("=2C", ",").replace("=3D", "=")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Failure("malformed-request") from None
