"""PLAIN (RFC 4616): the password itself, which only TLS hides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.model.jid import JidError, parse_jid, prepare_local, prepare_password
from pushhub.xmpp.sasl.mechanism import Failure, SaslIdentity, Step
from pushhub.xmpp.storage.accounts import HASHES, ITERATIONS, SALT_BYTES, Keys

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend

# The keys that a password is checked against: the hash that is cheapest of those that are safe.
CHECKED = "SCRAM-SHA-256"


class Plain:
    """`authzid NUL authcid NUL password`."""

    name: ClassVar[str] = "PLAIN"
    client_first: ClassVar[bool] = True

    def __init__(self, gate: CredentialBackend) -> None:
        self._gate = gate

    async def step(self, data: bytes) -> Step:
        try:
            authzid, authcid, text = data.decode().split("\0")
            local, password = prepare_local(authcid), prepare_password(text)
        except (ValueError, JidError):
            raise Failure("malformed-request") from None
        check_authzid(authzid, local, self._gate.domain)
        account = await self._gate.account(local)
        keys = account.keys.get(CHECKED) if account is not None else None
        # Who does not exist takes as long, so that nobody learns by a clock who does.
        checked = keys or Keys(self._gate.decoy(local)[:SALT_BYTES], ITERATIONS, b"", b"")
        # Ten milliseconds of hashing would hold everybody up.
        loop = asyncio.get_running_loop()
        good = await loop.run_in_executor(None, checked.verifies, password, HASHES[CHECKED])
        if account is None or keys is None or not good:
            raise Failure
        return Step(identity=SaslIdentity(local, account.grant))


def check_authzid(authzid: str, local: str, domain: str) -> None:
    """Return if somebody asks to act as themselves: nobody acts for others here.

    COMPAT: it is a bare address (RFC 6120 §6.3.8); some clients send the localpart.

    Raises:
        Failure: it is another's.
    """
    if not authzid:
        return
    try:
        jid = parse_jid(authzid if "@" in authzid else f"{authzid}@{domain}")
    except JidError:
        raise Failure("invalid-authzid") from None
    if (jid.local, jid.domain) != (local, domain):
        raise Failure("invalid-authzid")
