"""The share of an archive that strangers may fill.

An archive keeps its last messages, so each new one removes an old one. Strangers therefore have a
quota, by the generic cell rate algorithm, on a clock that is no time: it advances by 1 while the
archive is filled once, and by 1 in the time after which the archive removes a message. A message
leaves the archive before this clock has advanced by 2. In that span all strangers together append
no more than their share, so they cannot remove the rest.

The state is one value for each account: the *theoretical arrival times* of all strangers together,
of all guests together, and of each stranger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushhub.auth.rate_limit import Rate
from pushhub.xmpp.storage.archive import archive_channel
from pushhub.xmpp.storage.key_value import internal_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.xmpp.storage.key_value import KeyValueStore

# The part of the share that strangers may use at once; the rest refills with the clock.
BURST = 0.4
# One stranger gets a tenth of the share, and all guests together a half: a guest gets a new address
# with each login.
STRANGER = 0.1
GUESTS = 0.5
# A message costs as many tokens as it has pages of this size, so that the share also bounds bytes.
# A message of a chat has less than one.
PAGE_BYTES = 4096
# Strangers that are remembered one by one, 100 bytes each with an address of 60: the oldest are
# forgotten, but not what all have used together.
MAX_STRANGERS = 500
# Longer addresses share one entry.
MAX_ADDRESS_BYTES = 200


def strangers_key(bare: str) -> str:
    """The key of what strangers have used of an account's archive."""
    return internal_name("strangers", bare)


class StrangerShares:
    """The shares of all accounts' archives.

    Args:
        clock: the time in seconds since 1970.
        events: the number of messages that an archive keeps.
        age: the seconds for which it keeps a message; 0 is forever.
        share: the part that strangers may fill, from 0 to 1; with 1 there is no quota.
    """

    __slots__ = ("_age", "_all", "_clock", "_events", "_guests", "_kv", "_one", "share")

    def __init__(
        self, kv: KeyValueStore, clock: Callable[[], float], events: int, age: int, share: float
    ) -> None:
        self._kv = kv
        self._clock = clock
        self._events = events
        self._age = age
        self.share = share
        self._all = self._quota(share * events)
        self._guests = self._quota(GUESTS * share * events)
        self._one = self._quota(STRANGER * share * events)

    def _quota(self, tokens: float) -> Rate:
        # The span in which a message leaves the archive: see above.
        span = 2 if self._age else 1
        rate = (1 - BURST) * tokens / span
        return Rate(1 / max(rate, 1e-9), max(1.0, BURST * tokens))

    async def take(self, bare: str, sender: str, size: int, *, guest: bool) -> bool:
        """Use a part of the share for a message of `size` bytes; return whether there was enough.

        Raises:
            StoreError: the store is unavailable.
        """
        if self.share >= 1:
            return True
        if self.share <= 0:
            return False
        last = await self._kv.event(archive_channel(bare))
        now = (last.offset if last is not None else 0) / self._events
        if self._age:
            now += self._clock() / self._age
        cost = max(1.0, size / PAGE_BYTES)
        name = sender if len(sender.encode()) <= MAX_ADDRESS_BYTES else ""
        taken = False

        def make(old: Any) -> Any:
            nonlocal taken
            record = old or {}
            by: dict[str, float] = record.get("by", {})
            every, one = record.get("all", now), record.get("guests") if guest else by.get(name)
            of_all = self._all.decide(every, now, cost)
            of_one = (self._guests if guest else self._one).decide(
                now if one is None else one, now, cost
            )
            taken = of_all.allowed and of_one.allowed
            if not taken:
                # An archive that was deleted begins again at offset 0, and the clock with it.
                return {} if every > now + self._all.burst * self._all.interval + 1e-6 else None
            record["all"] = of_all.tat
            if guest:
                record["guests"] = of_one.tat
            else:
                by.pop(name, None)
                used = [(other, tat) for other, tat in by.items() if tat > now]
                record["by"] = dict([*used, (name, of_one.tat)][-MAX_STRANGERS:])
            return record

        await self._kv.update_json(strangers_key(bare), make)
        return taken

    def __repr__(self) -> str:
        return f"<StrangerShares {self.share:.0%} of {self._events} messages>"
