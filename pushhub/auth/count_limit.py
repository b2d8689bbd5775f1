"""Limits of what exists at a time, such as held requests: counts, and not rates."""

from __future__ import annotations


class CountLimit:
    """The largest number for each of many keys. Keys with nothing are forgotten, so the memory is
    bounded by what is counted.
    """

    __slots__ = ("_counts", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        """0 is without a limit; the numbers are counted all the same."""
        self._counts: dict[str, int] = {}

    def acquire(self, key: str, number: int = 1) -> bool:
        """Add a number to a key's; False, and nothing is added, if the limit does not allow it."""
        count = self._counts.get(key, 0) + number
        if self.most and count > self.most:
            return False
        self._counts[key] = count
        return True

    def add(self, key: str, number: int = 1) -> None:
        """Add a number that was allowed before, such as the next turn of a stream."""
        self._counts[key] = self._counts.get(key, 0) + number

    def release(self, key: str, number: int = 1) -> None:
        """Take a number from a key's."""
        count = self._counts[key] - number
        if count > 0:
            self._counts[key] = count
        else:
            del self._counts[key]

    def count(self, key: str) -> int:
        """The present number of a key."""
        return self._counts.get(key, 0)

    def busiest(self) -> tuple[str, int]:
        """The key with the largest number, and the number; an empty key if there is none."""
        return max(self._counts.items(), key=_number, default=("", 0))

    def __len__(self) -> int:
        return len(self._counts)

    def __repr__(self) -> str:
        return f"<CountLimit {self.most} for each of {len(self._counts)} keys>"


def _number(item: tuple[str, int]) -> int:
    return item[1]
