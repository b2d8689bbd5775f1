"""What a server must know of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pushhub.auth.tokens import TokenKeyEntry
    from pushhub.store.base import Retention


class Policy(Protocol):
    """What a server must know; `Settings` is one."""

    @property
    def dev(self) -> bool: ...
    @property
    def token_keys(self) -> Sequence[TokenKeyEntry]: ...
    @property
    def token_audience(self) -> str | None: ...
    @property
    def token_issuer(self) -> str | None: ...
    @property
    def xmpp_domains(self) -> Sequence[str]: ...
    @property
    def xmpp_anonymous(self) -> bool: ...
    @property
    def xmpp_mechanisms(self) -> Sequence[str]: ...
    @property
    def xmpp_resources(self) -> int: ...
    @property
    def xmpp_roster_items(self) -> int: ...
    @property
    def xmpp_archive_events(self) -> int: ...
    @property
    def xmpp_archive_age(self) -> int: ...
    @property
    def xmpp_offline(self) -> int: ...
    @property
    def bosh_rate(self) -> float: ...
    @property
    def bosh_sessions(self) -> int: ...
    def is_public(self, channel: str) -> bool:
        """Whether anybody may read `channel`."""

    def retentions(self) -> Callable[[str], Retention]:
        """How much of a channel is kept, by its name."""
