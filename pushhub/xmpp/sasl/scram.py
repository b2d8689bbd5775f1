"""SCRAM (RFC 5802, RFC 7677): the client keeps the password, and the server authenticates itself,
too.

There is no channel binding: over HTTP the two ends of a session share no channel.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.model.jid import JidError, prepare_local
from pushhub.xmpp.sasl.mechanism import SaslFailure, SaslIdentity, SaslStep
from pushhub.xmpp.sasl.plain import check_authzid
from pushhub.xmpp.storage.accounts import HASHES, ITERATIONS, SALT_BYTES, Account, ScramKeys

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend

# 18 bytes are 24 characters of base64, and unpredictable.
NONCE_BYTES = 18


class _Scram:
    """The server's side: client-first, server-first, client-final, server-final."""

    name: ClassVar[str]
    client_first: ClassVar[bool] = True

    def __init__(self, backend: CredentialBackend) -> None:
        self._backend = backend
        self._hash = HASHES[self.name]
        self._local = ""
        self._header = ""
        self._nonce = ""
        self._messages = ""
        self._account: Account | None = None
        self._keys: ScramKeys | None = None

    async def step(self, data: bytes) -> SaslStep:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise SaslFailure("malformed-request") from None
        return self._last(text) if self._nonce else await self._first(text)

    async def _first(self, text: str) -> SaslStep:
        flag, comma, rest = text.partition(",")
        authzid, second, bare = rest.partition(",")
        # `y`: the client would bind the channel if the server did; `p=`: the client binds it.
        if not (comma and second) or flag not in ("n", "y"):
            raise SaslFailure("malformed-request")
        self._header = f"{flag},{authzid},"
        fields = _fields(bare)
        if list(fields)[:2] != ["n", "r"] or not fields["r"]:
            raise SaslFailure("malformed-request")
        try:
            self._local = prepare_local(_unescape(fields["n"]))
        except JidError:
            raise SaslFailure from None
        if authzid and not authzid.startswith("a="):
            raise SaslFailure("malformed-request")
        check_authzid(_unescape(authzid[2:]), self._local, self._backend.domain)
        self._account = await self._backend.account(self._local)
        self._keys = self._account.keys.get(self.name) if self._account is not None else None
        # An unknown account gets a decoy salt, so that the reply does not reveal which accounts
        # exist.
        keys = self._keys
        decoy = self._backend.decoy(self.name + self._local)[:SALT_BYTES]
        salt = decoy if keys is None else keys.salt
        iterations = ITERATIONS if keys is None else keys.iterations
        nonce = base64.b64encode(self._backend.random_bytes(NONCE_BYTES)).decode()
        self._nonce = fields["r"] + nonce
        reply = f"r={self._nonce},s={base64.b64encode(salt).decode()},i={iterations}"
        self._messages = f"{bare},{reply}"
        return SaslStep(reply.encode())

    def _last(self, text: str) -> SaslStep:
        without, comma, proof_text = text.rpartition(",p=")
        fields = _fields(without)
        if not comma or list(fields)[:2] != ["c", "r"]:
            raise SaslFailure("malformed-request")
        header, proof = _decode(fields["c"]), _decode(proof_text)
        if fields["r"] != self._nonce or header != self._header.encode():
            raise SaslFailure
        self._backend.check(self._local)
        account = self._account
        # An unknown account costs as much: the time must not reveal which accounts exist.
        nothing = bytes(hashlib.new(self._hash).digest_size)
        keys = self._keys or ScramKeys(b"", ITERATIONS, nothing, nothing)
        messages = f"{self._messages},{without}".encode()
        server = self._proven(keys, messages, proof)
        if self._keys is None or account is None:
            raise SaslFailure
        # COMPAT: Strophe 5 waits forever for a success without the verifier; it must not be a
        # further challenge.
        verifier = base64.b64encode(hmac.digest(server, messages, self._hash))
        return SaslStep(b"v=" + verifier, SaslIdentity(self._local, account.grant))

    def _proven(self, keys: ScramKeys, messages: bytes, proof: bytes) -> bytes:
        """The server key of the password form that the client has proven to know.

        Raises:
            SaslFailure: the proof fits no form.
        """
        for stored, server in keys.pairs:
            signature = hmac.digest(stored, messages, self._hash)
            if len(proof) != len(signature):
                raise SaslFailure
            client = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
            if hmac.compare_digest(hashlib.new(self._hash, client).digest(), stored):
                return server
        raise SaslFailure


class ScramSha1(_Scram):
    name: ClassVar[str] = "SCRAM-SHA-1"


class ScramSha256(_Scram):
    name: ClassVar[str] = "SCRAM-SHA-256"


class ScramSha512(_Scram):
    name: ClassVar[str] = "SCRAM-SHA-512"


def _fields(text: str) -> dict[str, str]:
    """`n=user,r=nonce` by letter. A mandatory extension (`m=`) is refused, since none is
    supported."""
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    if "m" in fields or any(len(name) != 1 for name in fields):
        raise SaslFailure("malformed-request")
    return fields


def _unescape(text: str) -> str:
    return text.replace("=2C", ",").replace("=3D", "=")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SaslFailure("malformed-request") from None
