"""X-OAUTH2, Google's predecessor of RFC 7628: a token in the place of the password."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.sasl.mechanism import SaslFailure, SaslStep
from pushhub.xmpp.sasl.oauthbearer import bearer

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend


class XOAuth2:
    """`NUL <address> NUL <token>`. COMPAT: Strophe sends a bare address, stanza.io a localpart."""

    name: ClassVar[str] = "X-OAUTH2"
    client_first: ClassVar[bool] = True

    def __init__(self, backend: CredentialBackend) -> None:
        self._backend = backend

    async def step(self, data: bytes) -> SaslStep:
        try:
            _, address, token = data.decode().split("\0")
        except ValueError:
            raise SaslFailure("malformed-request") from None
        return SaslStep(identity=await bearer(self._backend, address, token))
