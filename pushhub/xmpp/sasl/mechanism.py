"""The interface of a SASL mechanism: it gets the client's data, and returns the next step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from pushhub.log.grant import NOTHING, Grant

if TYPE_CHECKING:
    import asyncio

    from pushhub.xmpp.storage.accounts import Account


class SaslFailure(Exception):
    """The login failed: a condition of RFC 6120 §6.5, and a sentence for people."""

    def __init__(self, condition: str = "not-authorized", text: str = "") -> None:
        super().__init__(condition)
        self.condition = condition
        self.text = text


@dataclass(frozen=True, slots=True)
class SaslIdentity:
    """The authenticated account: its prepared localpart, and its grant on the hub."""

    local: str
    grant: Grant = NOTHING
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class SaslStep:
    """The next step: a challenge, or with an `identity` the success and its additional data."""

    data: bytes | None = None
    identity: SaslIdentity | None = None


class CredentialBackend(Protocol):
    """The credentials that a mechanism checks."""

    @property
    def domain(self) -> str:
        """The domain that the client connects to."""

    @property
    def verifying(self) -> asyncio.Semaphore:
        """Admits a few verifications of passwords at a time, those that take milliseconds."""

    async def account(self, local: str) -> Account | None:
        """The account of a prepared localpart; None for an unknown account.

        Raises:
            SaslFailure: too many logins have failed.
        """

    def check(self, local: str) -> None:
        """Return if the password of an account may be verified now; call it directly before. The
        login counts for the account from here on, until it has succeeded.

        Raises:
            SaslFailure: too many logins have failed.
        """

    async def admit(self, local: str) -> None:
        """Create the account of a user who logs in by token, unless it exists."""

    def token(self, token: str) -> Grant:
        """The grant of a token.

        Raises:
            SaslFailure: the token is invalid.
        """

    def of_account(self, grant: Grant, local: str) -> Grant:
        """The grant of a token, which ends with the account, too.

        Raises:
            SaslFailure: the sessions of the account were ended after the token was issued.
        """

    def random_bytes(self, count: int) -> bytes:
        """That many unpredictable bytes."""

    def decoy(self, what: str) -> bytes:
        """32 secret bytes that are always the same for `what`: the salt of an unknown account."""


class Mechanism(Protocol):
    """One login, step by step."""

    name: ClassVar[str]
    """The name that the server offers (RFC 4422 §3.1)."""

    client_first: ClassVar[bool] = False
    """Whether the client sends data first: a login that begins without any gets an empty challenge
    (RFC 4422 §3, RFC 6120 §6.4.3)."""

    def __init__(self, backend: CredentialBackend) -> None: ...

    async def step(self, data: bytes) -> SaslStep:
        """Handle the client's data, decoded; b"" for no data.

        Raises:
            SaslFailure: the login failed.
            StoreError: the credentials cannot be read.
        """
