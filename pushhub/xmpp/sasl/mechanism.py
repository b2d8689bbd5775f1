"""What a mechanism is: it is given what the client sends, and says what to send back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from pushhub.log.grant import NOTHING, Grant

if TYPE_CHECKING:
    from pushhub.xmpp.storage.accounts import Account


class Failure(Exception):
    """The login is refused: a condition of RFC 6120 §6.5, and a sentence for people."""

    def __init__(self, condition: str = "not-authorized", text: str = "") -> None:
        super().__init__(condition)
        self.condition = condition
        self.text = text


@dataclass(frozen=True, slots=True)
class SaslIdentity:
    """Who has logged in: a bare address's localpart, prepared, and what they may do on the hub."""

    local: str
    grant: Grant = NOTHING
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What to send: a challenge, or with an `identity` the success and its additional data."""

    data: bytes | None = None
    identity: SaslIdentity | None = None


class CredentialBackend(Protocol):
    """What a mechanism can ask of the server."""

    @property
    def domain(self) -> str:
        """The domain that the client connects to."""

    async def account(self, local: str) -> Account | None:
        """The account of a prepared localpart; None if there is none."""

    async def admit(self, local: str) -> None:
        """Make sure that somebody whom a token lets in has an account."""

    def token(self, token: str) -> Grant:
        """What a token of the hub allows.

        Raises:
            Failure: it is not good.
        """

    def random_bytes(self, count: int) -> bytes:
        """So many unpredictable bytes."""

    def decoy(self, what: str) -> bytes:
        """32 bytes that are always the same for `what`, and that nobody else can tell: the salt of
        an account that does not exist."""


class Mechanism(Protocol):
    """One login. Made for each, with its gate, and asked step by step."""

    name: ClassVar[str]
    """As it is offered (RFC 4422 §3.1)."""

    client_first: ClassVar[bool] = False
    """Whether `step` needs data from the client at once: a login that begins without any is given
    an empty challenge first (RFC 4422 §3, RFC 6120 §6.4.3)."""

    def __init__(self, gate: CredentialBackend) -> None: ...

    async def step(self, data: bytes) -> Step:
        """Take what the client sent, decoded; nothing at all is b"".

        Raises:
            Failure: the login is refused.
            StoreError: it cannot be checked now.
        """
