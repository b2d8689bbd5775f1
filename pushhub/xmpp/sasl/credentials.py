"""The credentials of one domain's accounts, for SASL mechanisms."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import TYPE_CHECKING

from pushhub.auth.tokens import TokenError, Tokens
from pushhub.xmpp.sasl import SaslFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.log.grant import Grant
    from pushhub.xmpp.sasl.throttle import LoginThrottle
    from pushhub.xmpp.storage.accounts import Account, Accounts


class AccountCredentials:
    """The implementation of `CredentialBackend` with accounts and tokens."""

    __slots__ = (
        "_accounts",
        "_client",
        "_random_bytes",
        "_secret",
        "_throttle",
        "_tokens",
        "domain",
        "tried",
        "verifying",
    )

    def __init__(
        self,
        domain: str,
        accounts: Accounts,
        tokens: Tokens,
        secret: bytes,
        random_bytes: Callable[[int], bytes],
        throttle: LoginThrottle,
        verifying: asyncio.Semaphore,
        client: str,
    ) -> None:
        self._throttle = throttle
        self._client = client
        self.verifying = verifying
        self.tried = ""
        """The bare address whose password was to be verified."""
        self.domain = domain
        self._accounts = accounts
        self._tokens = tokens
        self._secret = secret
        self._random_bytes = random_bytes

    async def account(self, local: str) -> Account | None:
        self.tried = f"{local}@{self.domain}"
        self.check(local)
        delay = self._throttle.delay(self._client, self.tried)
        if delay:
            await asyncio.sleep(delay)
        return await self._accounts.get(self.tried)

    def check(self, local: str) -> None:
        self._throttle.check(self._client, f"{local}@{self.domain}")

    async def admit(self, local: str) -> None:
        await self._accounts.admit(f"{local}@{self.domain}", self.domain)

    def token(self, token: str) -> Grant:
        try:
            return self._tokens.grant(token)
        except TokenError as error:
            raise SaslFailure(text=str(error)) from None

    def random_bytes(self, count: int) -> bytes:
        return self._random_bytes(count)

    def decoy(self, what: str) -> bytes:
        return hmac.digest(self._secret, f"{what}@{self.domain}".encode(), hashlib.sha256)
