"""OAUTHBEARER (RFC 7628): the client sends a token of the hub; its `sub` is the account."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.model.jid import JidError, parse_jid
from pushhub.xmpp.sasl.mechanism import SaslFailure, SaslIdentity, SaslStep
from pushhub.xmpp.sasl.plain import check_authzid

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend

# RFC 7628 §3.2.2: the status that the client gets before the failure.
REFUSED = b'{"status":"invalid_token"}'


class OAuthBearer:
    """`n,a=<address>,^Aauth=Bearer <token>^A^A`."""

    name: ClassVar[str] = "OAUTHBEARER"
    client_first: ClassVar[bool] = True

    def __init__(self, backend: CredentialBackend) -> None:
        self._backend = backend
        self._refused: SaslFailure | None = None

    async def step(self, data: bytes) -> SaslStep:
        if self._refused is not None:
            # With any response of the client (RFC 7628 §3.2.3: a single ^A).
            raise self._refused
        try:
            header, *fields = data.decode().split("\x01")
            flag, authzid, _ = header.split(",", 2)
        except ValueError:
            raise SaslFailure("malformed-request") from None
        if flag not in ("n", "y") or (authzid and not authzid.startswith("a=")):
            raise SaslFailure("malformed-request")
        token = next((f[12:] for f in fields if f[:12].lower() == "auth=bearer "), "").strip()
        if not token:
            raise SaslFailure("malformed-request")
        try:
            return SaslStep(identity=await bearer(self._backend, authzid[2:], token))
        except SaslFailure as failure:
            self._refused = failure
            return SaslStep(REFUSED)


async def bearer(backend: CredentialBackend, authzid: str, token: str) -> SaslIdentity:
    """The account of a token: its `sub`, a localpart or a bare address of the domain.

    Raises:
        SaslFailure: the token is invalid, or of another account.
    """
    grant = backend.token(token)
    try:
        subject = grant.subject if "@" in grant.subject else f"{grant.subject}@{backend.domain}"
        jid = parse_jid(subject)
    except JidError:
        raise SaslFailure(text="The token's 'sub' is no account here.") from None
    if jid.domain != backend.domain or not jid.local:
        raise SaslFailure(text="The token's 'sub' is no account here.")
    check_authzid(authzid, jid.local, jid.domain)
    grant = backend.of_account(grant, jid.local)
    await backend.admit(jid.local)
    return SaslIdentity(jid.local, grant)
