"""All checks, in the order of their findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.doctor import canary, limits, machine, provider, sqlite
from pushhub.doctor.finding import warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pushhub.doctor.finding import Finding
    from pushhub.settings import Settings


def examine(settings: Settings, key: str | None = None) -> Iterator[Finding]:
    """The findings, one by one. `key` is for the metrics of a hub that runs already."""
    yield machine.files(settings)
    yield machine.listening(settings)
    yield from canary.examine(settings, key)
    yield from limits.examine(settings)
    if settings.xmpp_domains or settings.dev:
        yield machine.xml_parser()
    if (unsigned := settings.unsigned()) is not None:
        yield warn("grip", unsigned)
    if settings.token_jwks is not None:
        yield provider.examine(settings.token_jwks)
    match settings.store.partition("://")[0]:
        case "memory":
            yield warn(
                "store",
                "The log is only in memory and ends with the process; for more than a trial use "
                "sqlite:///file or redis://.",
            )
        case "sqlite":
            yield from sqlite.examine(settings)
        case _:
            # The import of redis-py is slow.
            import pushhub.doctor.redis as server

            yield from server.examine(settings)
