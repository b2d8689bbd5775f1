"""Positions in a channel: a cursor `<epoch>-<offset>`, `now` or `earliest`.

Other programs need not know what a cursor consists of; this client comes with the hub.
"""


def epoch(at: str) -> str:
    """The epoch of a cursor; empty for `now` and `earliest`."""
    return at.rpartition("-")[0]


def offset(at: str) -> int:
    """The offset of a cursor; -1 for `now` and `earliest`."""
    digits = at.rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else -1


def serves(cursor: str, at: str) -> bool:
    """Whether a reader at `at` has read everything up to `cursor`."""
    return epoch(cursor) == epoch(at) and offset(cursor) <= offset(at)
