"""The credentials of one domain's accounts, for SASL mechanisms."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from pushhub.auth.tokens import TokenError, TokenRevoked, Tokens
from pushhub.xmpp.sasl import SaslFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.auth.revocation import Revocations
    from pushhub.log.grant import Grant
    from pushhub.xmpp.sasl.throttle import LoginThrottle
    from pushhub.xmpp.storage.accounts import Account, Accounts


class AccountCredentials:
    """The implementation of `CredentialBackend` with accounts and tokens."""

    __slots__ = (
        "_accounts",
        "_clock",
        "_random_bytes",
        "_revocations",
        "_secret",
        "_throttle",
        "_tokens",
        "charged",
        "client",
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
        revocations: Revocations,
        clock: Callable[[], float],
    ) -> None:
        self._revocations = revocations
        self._clock = clock
        self._throttle = throttle
        self.client = client
        """The address that began the login. Its failure counts for this one, even if the last
        request came from another."""
        self.verifying = verifying
        self.charged = False
        """Whether the throttle has charged the account for this login."""
        self.tried = ""
        """The bare address whose password was to be verified."""
        self.domain = domain
        self._accounts = accounts
        self._tokens = tokens
        self._secret = secret
        self._random_bytes = random_bytes

    async def account(self, local: str) -> Account | None:
        self.tried = f"{local}@{self.domain}"
        self._throttle.check(self.client, self.tried)
        delay = self._throttle.delay(self.client, self.tried)
        if delay:
            await asyncio.sleep(delay)
        issued = self._clock()
        found = await self._accounts.get(self.tried)
        # The same work for an unknown account: the time must not reveal which accounts exist.
        account = self._accounts.decoy() if found is None else found
        # A session ends with the account, and with the password that it began with.
        credential = self._revocations.credential(subject=self.tried, issued=issued)
        account = replace(account, grant=replace(account.grant, credential=credential))
        return None if found is None else account

    def check(self, local: str) -> None:
        if not self.charged:
            self.charged = self._throttle.charge(self.client, f"{local}@{self.domain}")

    async def admit(self, local: str) -> None:
        await self._accounts.admit(f"{local}@{self.domain}", self.domain)

    def token(self, token: str) -> Grant:
        try:
            return self._tokens.grant(token)
        except TokenError as error:
            raise SaslFailure(text=str(error)) from None

    def of_account(self, grant: Grant, local: str) -> Grant:
        of = grant.credential
        if of is None:
            return grant
        credential = self._revocations.credential(
            key=of.key,
            token_id=of.token_id,
            subject=of.subject,
            issued=of.issued,
            account=f"{local}@{self.domain}",
        )
        grant = replace(grant, credential=credential)
        if grant.is_revoked:
            raise SaslFailure(text=str(TokenRevoked()))
        return grant

    def random_bytes(self, count: int) -> bytes:
        return self._random_bytes(count)

    def decoy(self, what: str) -> bytes:
        return hmac.digest(self._secret, f"{what}@{self.domain}".encode(), hashlib.sha256)
