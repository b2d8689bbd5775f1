"""The SASL mechanisms that a server offers, and what they check credentials against."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from pushhub.auth.revocation import Revocations
from pushhub.auth.tokens import Tokens
from pushhub.xmpp.sasl import Mechanism, mechanisms
from pushhub.xmpp.sasl.credentials import AccountCredentials
from pushhub.xmpp.sasl.throttle import LoginThrottle

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.auth.jwks import Jwks
    from pushhub.xmpp.model.policy import XmppPolicy
    from pushhub.xmpp.storage.accounts import Accounts
    from pushhub.xmpp.storage.key_value import KeyValueStore

log = structlog.get_logger(__name__)

# Mechanisms that send the password itself: over TLS only (RFC 4616 §4, RFC 6120 §13.8.4).
REVEALING = frozenset({"PLAIN"})

# Passwords that are hashed at a time, 10 ms each: more than a machine has cores would only wait.
VERIFICATIONS = 8

TOKEN_MECHANISMS = frozenset({"OAUTHBEARER", "X-OAUTH2"})


class SaslLogin:
    """The offered mechanisms, in order of preference.

    Args:
        now: seconds of a clock that never goes back, for the throttle.
        clock: the time in seconds since 1970, for the expiry of tokens.
        random_bytes: returns that many unpredictable bytes.
        jwks: the keys of an identity provider, if one is configured.
    """

    def __init__(
        self,
        policy: XmppPolicy,
        accounts: Accounts,
        kv: KeyValueStore,
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        revocations: Revocations | None = None,
        jwks: Jwks | None = None,
    ) -> None:
        self.revocations = Revocations(clock) if revocations is None else revocations
        self._accounts = accounts
        self._kv = kv
        self._random_bytes = random_bytes
        self._tokens = Tokens(
            policy.token_keys,
            now=clock,
            audience=policy.token_audience,
            issuer=policy.token_issuer,
            revocations=self.revocations,
            jwks=jwks,
        )
        self._mechanisms = _offered(policy)
        self._secret = random_bytes(32)
        self.throttle = LoginThrottle(now, policy.trusted_proxies)
        self._verifying = asyncio.Semaphore(VERIFICATIONS)

    def configure(self, policy: XmppPolicy) -> None:
        """Take other token keys, which have been checked."""
        self._tokens.configure(policy.token_keys, policy.token_audience, policy.token_issuer)
        self._mechanisms = _offered(policy)

    async def open(self) -> None:
        """Read the secret behind the salts of unknown accounts: these salts must not change with
        the process.

        Raises:
            StoreError: the store is unavailable.
        """
        drawn = self._random_bytes(32)
        secret = await self._kv.update("$xmpp:decoy", lambda old: None if old else drawn)
        assert secret is not None
        self._secret = secret

    def names(self, *, secure: bool) -> list[str]:
        """The names of the offered mechanisms, in order of preference. `secure`: the client's
        requests may carry a password."""
        return [name for name in self._mechanisms if secure or name not in REVEALING]

    def mechanism(self, name: str) -> type[Mechanism] | None:
        """The mechanism of a name, if it is offered."""
        return self._mechanisms.get(name)

    def backend(self, domain: str, client: str = "") -> AccountCredentials:
        """The credentials of a domain's accounts, for a login from a client's address."""
        return AccountCredentials(
            domain,
            self._accounts,
            self._tokens,
            self._secret,
            self._random_bytes,
            self.throttle,
            self._verifying,
            client,
        )


def _offered(policy: XmppPolicy) -> dict[str, type[Mechanism]]:
    known = mechanisms()
    anonymous = policy.dev or policy.xmpp_anonymous
    offered = {name: known[name] for name in policy.xmpp_mechanisms if name in known}
    if missing := [name for name in policy.xmpp_mechanisms if name not in known]:
        log.warning("xmpp.unknown_mechanisms", names=missing)
    return {
        name: mechanism
        for name, mechanism in offered.items()
        if (name != "ANONYMOUS" or anonymous)
        and (name not in TOKEN_MECHANISMS or policy.token_keys or policy.token_jwks)
    }
