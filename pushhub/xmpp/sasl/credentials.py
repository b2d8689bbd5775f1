"""What a login can ask of the server."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from pushhub.auth.tokens import TokenError, Tokens
from pushhub.xmpp.sasl import Failure

if TYPE_CHECKING:
    from pushhub.log.grant import Grant
    from pushhub.xmpp.server import XmppServer
    from pushhub.xmpp.storage.accounts import Account


class AccountCredentials:
    """What a login can ask of the server; see `sasl.Gate`."""

    __slots__ = ("_secret", "_server", "_tokens", "domain")

    def __init__(self, server: XmppServer, domain: str, tokens: Tokens, secret: bytes) -> None:
        self._server = server
        self._tokens = tokens
        self._secret = secret
        self.domain = domain

    async def account(self, local: str) -> Account | None:
        return await self._server.accounts.get(f"{local}@{self.domain}")

    async def admit(self, local: str) -> None:
        await self._server.accounts.admit(f"{local}@{self.domain}", self.domain)

    def token(self, token: str) -> Grant:
        try:
            return self._tokens.grant(token)
        except TokenError as error:
            raise Failure(text=str(error)) from None

    def random_bytes(self, count: int) -> bytes:
        return self._server.random_bytes(count)

    def decoy(self, what: str) -> bytes:
        return hmac.digest(self._secret, f"{what}@{self.domain}".encode(), hashlib.sha256)
