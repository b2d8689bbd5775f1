"""The throttle of logins: failures count for the client's address and for the account.

An address with too many failures is refused for a while. An account with too many failures is slow
for addresses that it has not logged in from, and refuses those whose turn would come after the
longest delay: so many addresses that guess at the same time get no more guesses than one after the
other. No attacker can lock its owner out: an address that the account logged in from recently has a
count of its own.
"""

from __future__ import annotations

from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING

from pushhub.auth.audit import AuditActor
from pushhub.auth.rate_limit import MAX_ADDRESSES, Rate, RateLimit
from pushhub.http.client_address import counted_network
from pushhub.xmpp.sasl.mechanism import SaslFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.auth.audit import AuditLog
    from pushhub.http.forwarded import TrustedProxies

# The failures of one address: OWASP's authentication guide speaks of 3 to 10 tries for one user,
# and an office behind one address has many users. After the burst, one each ten seconds.
ADDRESS_RATE = Rate(10.0, 50)
# The failures of one account, from all addresses that it has not logged in from.
ACCOUNT_RATE = Rate(10.0, 10)
# The failures of one account from one address that it has logged in from.
PAIR_RATE = Rate(10.0, 10)
# The longest delay of a login: clients give up after a minute, as does `xmpp_login_seconds`.
MAX_DELAY = 10.0
# Logins that are remembered, 200 bytes each, and for how long: people return from a holiday.
MAX_KNOWN = 20_000
KNOWN_SECONDS = 30 * 86_400.0


class LoginThrottle:
    """The failed logins of one process, and the addresses of recent successful ones.

    Args:
        now: seconds of a clock that never goes back.
        proxies: the trusted proxies.
        audit: gets the refusals.
    """

    __slots__ = ("_accounts", "_addresses", "_audit", "_known", "_now", "_pairs", "_proxies")

    def __init__(self, now: Callable[[], float], proxies: TrustedProxies, audit: AuditLog) -> None:
        self._now = now
        self._proxies = proxies
        self._audit = audit
        self._addresses = RateLimit(ADDRESS_RATE, MAX_ADDRESSES)
        self._accounts = RateLimit(ACCOUNT_RATE, MAX_ADDRESSES)
        self._pairs = RateLimit(PAIR_RATE, MAX_ADDRESSES)
        # Account and address → the time of the last login.
        self._known: dict[str, float] = {}

    def check(self, client: str, account: str) -> None:
        """Return if a password may be verified now.

        Raises:
            SaslFailure: temporary-auth-failure; too many logins have failed.
        """
        network, now = self._network(client), self._now()
        if not network:
            return
        if self._is_known(network, account):
            wait = self._pairs.wait(_key(account, network), now)
        else:
            # A login that waits for its turn within the longest delay is not refused.
            turn = self._accounts.wait(_key(account), now)
            wait = self._addresses.wait(network, now) or (turn if turn > MAX_DELAY else 0.0)
        if wait:
            text = f"Too many logins have failed; wait {ceil(wait)} s."
            raise SaslFailure("temporary-auth-failure", text)

    def delay(self, client: str, account: str) -> float:
        """The seconds by which a login of an account waits."""
        network = self._network(client)
        if network and self._is_known(network, account):
            return 0.0
        return min(self._accounts.wait(_key(account), self._now()), MAX_DELAY)

    def charge(self, client: str, account: str) -> bool:
        """Charge the account for a password that is verified now, before the result is known, since
        others may be verified at the same time. Whether it was charged, for `failed` and
        `succeeded`; an account's debt has a bound.

        Raises:
            SaslFailure: as `check`.
        """
        self.check(client, account)
        network = self._network(client)
        if not account or (network and self._is_known(network, account)):
            return False
        return self._spend(account)

    def _spend(self, account: str) -> bool:
        """Charge an account; False if its next turn is later than the longest delay already. Logins
        that fail before a password is verified, and those from addresses that do not count, have no
        other bound: they would refuse its owner for hours."""
        key, now = _key(account), self._now()
        if self._accounts.wait(key, now) > MAX_DELAY:
            return False
        self._accounts.spend(key, now)
        return True

    def failed(self, client: str, account: str, reason: str, *, charged: bool = False) -> None:
        """Record a failed login: one with wrong credentials, or one that was refused."""
        network, now = self._network(client), self._now()
        if reason == "temporary-auth-failure":
            if charged:
                self._accounts.refund(_key(account), now)
        else:
            if network:
                self._addresses.spend(network, now)
            if account and network and self._is_known(network, account):
                self._pairs.spend(_key(account, network), now)
            elif account and not charged:
                self._spend(account)
        self._audit.refuse(AuditActor("account", account, client), reason)

    def succeeded(self, client: str, account: str, *, charged: bool = False) -> None:
        """Remember that an account has logged in from an address."""
        if charged:
            self._accounts.refund(_key(account), self._now())
        network = self._network(client)
        if not network or not account:
            return
        known, key = self._known, _key(account, network)
        known.pop(key, None)
        known[key] = self._now()
        if len(known) > MAX_KNOWN:
            del known[next(iter(known))]

    def _is_known(self, network: str, account: str) -> bool:
        at = self._known.get(_key(account, network))
        return at is not None and self._now() - at < KNOWN_SECONDS

    def _network(self, client: str) -> str:
        """The network of a client; "" if limits do not count its address."""
        return counted_network(client, self._proxies)

    def __repr__(self) -> str:
        return f"<LoginThrottle {len(self._known)} known, {self._addresses!r}>"


def _key(*parts: str) -> str:
    """A key of bounded size: an address may have 2 kB."""
    return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
