"""The bytes that sessions make this node hold: elements and responses for their clients, waiting
stanzas, presence and subscriptions. Each session has a limit, and all together have a budget.
"""

from __future__ import annotations

# A session of this size is never ended for the budget: most have less, so that a few large sessions
# cannot end the small ones.
SMALL_BYTES = 64 * 1024


class SessionMemory:
    """The bytes of all sessions of one node.

    Args:
        limit: the most for one session.
        budget: the most for all.
    """

    __slots__ = ("budget", "limit", "total")

    def __init__(self, limit: int, budget: int) -> None:
        self.limit = limit
        self.budget = budget
        self.total = 0

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another session."""
        return self.total >= self.budget

    def change(self, before: int, now: int) -> bool:
        """A session held `before` bytes, and holds `now`; return whether it may go on."""
        self.total += now - before
        if now <= SMALL_BYTES:
            return True
        return now <= self.limit and (now <= before or self.total <= self.budget)

    def __repr__(self) -> str:
        return f"<SessionMemory {self.total} of {self.budget} bytes>"
