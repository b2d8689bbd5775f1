"""PLAIN (RFC 4616): the client sends the password itself, so only TLS protects it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.model.jid import JidError, parse_jid, prepare_local, prepare_password
from pushhub.xmpp.sasl.mechanism import SaslFailure, SaslIdentity, SaslStep
from pushhub.xmpp.storage.accounts import HASHES, ITERATIONS, SALT_BYTES, ScramKeys

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend

# The hash whose keys a password is checked against: the cheapest secure one.
CHECKED = "SCRAM-SHA-256"


class Plain:
    """`authzid NUL authcid NUL password`."""

    name: ClassVar[str] = "PLAIN"
    client_first: ClassVar[bool] = True

    def __init__(self, backend: CredentialBackend) -> None:
        self._backend = backend

    async def step(self, data: bytes) -> SaslStep:
        try:
            authzid, authcid, text = data.decode().split("\0")
            local, password = prepare_local(authcid), prepare_password(text)
        except (ValueError, JidError):
            raise SaslFailure("malformed-request") from None
        check_authzid(authzid, local, self._backend.domain)
        account = await self._backend.account(local)
        keys = account.keys.get(CHECKED) if account is not None else None
        # An unknown account takes as long, so that the time does not reveal which accounts exist.
        checked = keys or ScramKeys(self._backend.decoy(local)[:SALT_BYTES], ITERATIONS, b"", b"")
        # Ten milliseconds of hashing would block the event loop.
        loop = asyncio.get_running_loop()
        async with self._backend.verifying:
            # A failure counts when it is known, so few run at a time.
            self._backend.check(local)
            good = await loop.run_in_executor(None, checked.verifies, password, HASHES[CHECKED])
        if account is None or keys is None or not good:
            raise SaslFailure
        return SaslStep(identity=SaslIdentity(local, account.grant))


def check_authzid(authzid: str, local: str, domain: str) -> None:
    """Return if a client asks to act as its own account: no account acts for another.

    COMPAT: the authzid is a bare address (RFC 6120 §6.3.8); some clients send the localpart.

    Raises:
        SaslFailure: the authzid is another account.
    """
    if not authzid:
        return
    try:
        jid = parse_jid(authzid if "@" in authzid else f"{authzid}@{domain}")
    except JidError:
        raise SaslFailure("invalid-authzid") from None
    if (jid.local, jid.domain) != (local, domain):
        raise SaslFailure("invalid-authzid")
