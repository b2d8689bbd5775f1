"""X-OAUTH2, which Google made before there was RFC 7628: a token in the place of a password."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pushhub.xmpp.sasl.mechanism import Failure, Step
from pushhub.xmpp.sasl.oauthbearer import bearer

if TYPE_CHECKING:
    from pushhub.xmpp.sasl.mechanism import CredentialBackend


class XOAuth2:
    """`NUL <address> NUL <token>`. COMPAT: Strophe sends a bare address, stanza.io a localpart."""

    name: ClassVar[str] = "X-OAUTH2"
    client_first: ClassVar[bool] = True

    def __init__(self, gate: CredentialBackend) -> None:
        self._gate = gate

    async def step(self, data: bytes) -> Step:
        try:
            _, address, token = data.decode().split("\0")
        except ValueError:
            raise Failure("malformed-request") from None
        return Step(identity=await bearer(self._gate, address, token))
