"""Rights: the grant of a token or a key, what a channel itself decides, and the one check of both.

A grant has the lists `read`, `publish` and `manage`, each of channel patterns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from pushhub.log.channel import ChannelNameError, Patterns


class Action(StrEnum):
    """A kind of access to a channel."""

    READ = "read"
    PUBLISH = "publish"
    MANAGE = "manage"


class GrantError(ValueError):
    """The claim cannot be read; the message is a sentence for its author."""


NO_PATTERNS = Patterns()
# 128 bits: a second key with the same id cannot be found.
BASIS_BYTES = 16


class Credential:
    """The API key or token behind grants, by the names that a revocation uses. There is one object
    for each, and a revocation marks it. `account` is a second subject: the XMPP address of a token
    whose `sub` is written in another form.
    """

    __slots__ = ("__weakref__", "account", "issued", "key", "revoked", "subject", "token_id")

    def __init__(
        self,
        *,
        key: str = "",
        token_id: str = "",
        subject: str = "",
        issued: float | None = None,
        account: str = "",
    ) -> None:
        self.account = account
        self.key = key
        self.token_id = token_id
        self.subject = subject
        self.issued = issued
        self.revoked = False

    def __repr__(self) -> str:
        name = self.key or self.token_id or self.subject
        return f"<Credential {name}{' revoked' * self.revoked}>"


@dataclass(slots=True, eq=False)
class Basis:
    """The configured key that grants rest on. A reload that removes the key ends all of them.

    `id` is the same in every process with the same settings: a ticket and a session that migrates
    name the key by it.
    """

    id: str = ""
    ended: bool = False


def basis_id(*parts: object) -> str:
    """The id of a basis, from all values that its grants depend on."""
    return blake2b(repr(parts).encode(), digest_size=BASIS_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Grant:
    """The rights of a credential. `expires` is in seconds since 1970; None means never."""

    read: Patterns = NO_PATTERNS
    publish: Patterns = NO_PATTERNS
    manage: Patterns = NO_PATTERNS
    subject: str = ""
    expires: float | None = None
    credential: Credential | None = field(default=None, compare=False)
    """What the grant rests on; None if that cannot be revoked."""
    basis: Basis | None = field(default=None, compare=False, repr=False)

    def allows(self, action: Action, channel: str) -> bool:
        """Whether the lists cover `action` on `channel`. Rights are checked by `is_allowed`."""
        patterns: Patterns = getattr(self, action)
        return patterns.match(channel)

    @property
    def can_end(self) -> bool:
        """Whether a wait may last longer than the grant."""
        return self.expires is not None or self.credential is not None or self.basis is not None

    @property
    def is_revoked(self) -> bool:
        """Whether the credential of the grant was revoked."""
        return self.credential is not None and self.credential.revoked

    def has_only_lost_key(self, now: float) -> bool:
        """Whether a reload that removed or changed its key is the only end of the grant: the next
        request of the client may still be allowed.
        """
        if self.basis is None or not self.basis.ended or self.is_revoked:
            return False
        return self.expires is None or now < self.expires

    def has_ended(self, now: float) -> bool:
        """Whether the credential of the grant has expired, was revoked, or its key was removed."""
        if self.expires is not None and now >= self.expires:
            return True
        if self.basis is not None and self.basis.ended:
            return True
        return self.credential is not None and self.credential.revoked

    @property
    def is_admin(self) -> bool:
        """Whether it manages every channel, as metrics, lists and the console require."""
        return "*" in self.manage.texts

    @property
    def is_back_end(self) -> bool:
        """Whether it is an API key's, or publishes to every channel as the tokens of GRIP do."""
        is_key = self.expires is None and self.subject != ""
        return is_key or (self.expires is not None and "*" in self.publish.texts)

    def claim(self) -> dict[str, list[str]]:
        """The grant as the `pushhub` claim of a token; actions without patterns are left out."""
        lists = {"read": self.read, "publish": self.publish, "manage": self.manage}
        return {action: list(patterns.texts) for action, patterns in lists.items() if patterns}


NOTHING = Grant()
EVERYTHING = Grant(Patterns(["*"]), Patterns(["*"]), Patterns(["*"]))


@dataclass(frozen=True, slots=True)
class ChannelAccess:
    """What a channel itself decides about one client, beside the client's grant."""

    added: tuple[Action, ...] = ()
    """The actions that need no grant. A tuple, since hashing an action costs more than a search."""
    is_restricted: bool = False
    """Whether reading needs the right to manage."""
    is_denied: bool = False
    """Whether the client may do nothing."""


BY_GRANT = ChannelAccess()
PUBLIC = ChannelAccess(added=(Action.READ,))


def is_allowed(
    grant: Grant, action: Action, channel: str, now: float, access: ChannelAccess = BY_GRANT
) -> bool:
    """Whether a client may perform an action on a channel at the time `now`. REST, GRIP, tickets
    and PubSub decide by this function alone, at a request and again at a later delivery.
    """
    if access.is_denied or grant.has_ended(now):
        return False
    if action in access.added:
        return True
    if access.is_restricted and action is Action.READ:
        action = Action.MANAGE
    return grant.allows(action, channel)


# One token names a page's channels, not a catalogue; prefixes are there for more.
MAX_PATTERNS = 1000


def grant_from_claim(
    claim: object,
    subject: str = "",
    expires: float | None = None,
    credential: Credential | None = None,
    basis: Basis | None = None,
) -> Grant:
    """Read the `pushhub` claim: `{"read": […], "publish": […], "manage": […]}`, all optional.

    Raises:
        GrantError: another shape, an unknown action, or a pattern that can match no channel.
    """
    if not isinstance(claim, Mapping):
        raise GrantError(
            "The claim 'pushhub' is an object with the lists 'read', 'publish' and 'manage'."
        )
    if unknown := sorted(map(str, set(claim) - set(Action))):
        raise GrantError(f"The claim 'pushhub' knows read, publish and manage, not {unknown[0]!r}.")
    return Grant(
        _patterns(claim, Action.READ),
        _patterns(claim, Action.PUBLISH),
        _patterns(claim, Action.MANAGE),
        subject,
        expires,
        credential,
        basis,
    )


def _patterns(claim: Mapping[str, object], action: Action) -> Patterns:
    texts = claim.get(action, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise GrantError(f"'{action}' in the claim 'pushhub' is a list of channel patterns.")
    if len(texts) > MAX_PATTERNS:
        raise GrantError(f"'{action}' in the claim 'pushhub' has at most {MAX_PATTERNS} patterns.")
    try:
        return _compiled(tuple(texts)) if texts else NO_PATTERNS
    except ChannelNameError as error:
        raise GrantError(f"'{action}' in the claim 'pushhub': {error}") from None


@lru_cache(maxsize=1024)
def _compiled(texts: tuple[str, ...]) -> Patterns:
    """The patterns of these texts: the tokens of many users have the same."""
    return Patterns(texts)
