"""What may be in pushhub's own channels when all have left, and everything else that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

# One of each in a log: secrets of tickets and of accounts that do not exist, the list of nodes, and
# the channel whose idempotency keys name the turns of fetches.
SINGLE = ("$secret:tickets", "$origin:turns", "$xmpp:decoy", "$xmpp:nodes")
# What an account has for as long as it is there; the index of accounts has a part for each of them.
OF_ACCOUNTS = (
    *("account", "archive", "block", "peers", "private", "read", "roster", "strangers"),
    *("subscriptions", "where"),
)
# What a node has until it has been silent for long: its sign of life, and the last letter to it.
OF_NODES = ("sign", "letters")


def unexpected(
    names: Iterable[str], accounts: Collection[str], nodes: Collection[str]
) -> Iterator[str]:
    """The registers that nobody needs. `accounts` are bare addresses, `nodes` the ids of nodes."""
    for name in names:
        _, _, rest = name.partition(":")
        kind, _, of = rest.partition(":")
        is_known = (
            name in SINGLE
            or kind == "accounts"
            or (kind in OF_ACCOUNTS and of in accounts)
            or (kind in OF_NODES and of in nodes)
        )
        if not is_known:
            yield name
