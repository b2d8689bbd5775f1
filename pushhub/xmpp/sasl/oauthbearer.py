"""OAUTHBEARER (RFC 7628): a token of the hub, whose `sub` is the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.sasl.mechanism import Failure, SaslIdentity, Step
from pushhub.xmpp.sasl.plain import check_authzid

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend

# RFC 7628 §3.2.2: what the client is told before the failure.
REFUSED = b'{"status":"invalid_token"}'


class OAuthBearer:
    """`n,a=<address>,^Aauth=Bearer <token>^A^A`."""

    name: ClassVar[str] = "OAUTHBEARER"
    client_first: ClassVar[bool] = True

    def __init__(self, gate: CredentialBackend) -> None:
        self._gate = gate
        self._refused: Failure | None = None

    async def step(self, data: bytes) -> Step:
        if self._refused is not None:
            # Whatever it answers (RFC 7628 §3.2.3: a single ^A).
            raise self._refused
        try:
            header, *fields = data.decode().split("\x01")
            flag, authzid, _ = header.split(",", 2)
        except ValueError:
            raise Failure("malformed-request") from None
        if flag not in ("n", "y") or (authzid and not authzid.startswith("a=")):
            raise Failure("malformed-request")
        token = next((f[12:] for f in fields if f[:12].lower() == "auth=bearer "), "").strip()
        if not token:
            raise Failure("malformed-request")
        try:
            return Step(identity=await bearer(self._gate, authzid[2:], token))
        except Failure as failure:
            self._refused = failure
            return Step(REFUSED)


async def bearer(gate: CredentialBackend, authzid: str, token: str) -> SaslIdentity:
    """Whom a token lets in: its `sub`, a localpart or a bare address of the domain.

    Raises:
        Failure: the token is not good, or is another's.
    """
    grant = gate.token(token)
    try:
        subject = grant.subject if "@" in grant.subject else f"{grant.subject}@{gate.domain}"
        jid = parse_jid(subject)
    except JidError:
        raise Failure(text="The token's 'sub' is no account here.") from None
    if jid.domain != gate.domain or not jid.local:
        raise Failure(text="The token's 'sub' is no account here.")
    check_authzid(authzid, jid.local, jid.domain)
    await gate.admit(jid.local)
    return SaslIdentity(jid.local, grant)
