"""Sessions that arrive at a node, by a migration, while one session of their account is getting the
archive's messages. They received messages before, so the others lack these as well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pushhub.log.cursor import Cursor


class Arrival(Protocol):
    """A session that has arrived, as its join sees it."""

    migrated_upto: Cursor | None


class Joins:
    """The sessions of one account that arrive while one of them catches up."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: dict[Arrival, asyncio.Future[Cursor | None]] = {}

    def add(self, session: Arrival) -> asyncio.Future[Cursor | None]:
        """Where the catch-up ends: an arriving session is to read the archive up to there. None if
        there is none, or the read failed."""
        end = self._ends[session] = asyncio.get_running_loop().create_future()
        return end

    def end(self, upto: Cursor | None) -> None:
        """The catch-up has ended. The feed may bring its messages again, to no session."""
        ends, self._ends = self._ends, {}
        for session, end in ends.items():
            if upto is not None:
                session.migrated_upto = upto
            if not end.done():
                end.set_result(upto)

    def __contains__(self, session: Arrival) -> bool:
        return session in self._ends

    def __repr__(self) -> str:
        return f"<Joins {len(self._ends)} sessions>"
