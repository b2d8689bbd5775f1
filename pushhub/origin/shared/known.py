"""What a node knows of a resource: the newest representation, and which older ones it replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.origin.shared.condition import Modified, Tags, modified_at

if TYPE_CHECKING:
    from pushhub.origin.shared.condition import WaitCondition
    from pushhub.origin.shared.representation import Representation

# Of how many former states a client may have the tag, and be given the newest that is known.
MAX_PAST = 8


class Known:
    """The newest representation that was found or received; None before the first."""

    __slots__ = ("_past", "representation")

    def __init__(self) -> None:
        self.representation: Representation | None = None
        # Tags of what was known before, the newest last.
        self._past: tuple[str, ...] = ()

    def learn(self, representation: Representation) -> None:
        """Keep another one."""
        before = self.representation
        if before is not None and before.tag != representation.tag:
            self._past = (*self._past, before.tag)[-MAX_PAST:]
        self.representation = representation

    def newer(self, condition: WaitCondition) -> Representation | None:
        """What is known, if it came after what a client has. A tag that was never seen here may be
        of a newer state.
        """
        known = self.representation
        if known is None or not condition.is_new(known):
            return None
        if isinstance(condition, Tags) and condition.tags.isdisjoint(self._past):
            return None
        return known

    @property
    def size(self) -> int:
        """Bytes of the body that is kept."""
        return 0 if self.representation is None else len(self.representation.body)

    def __repr__(self) -> str:
        return f"<Known {self.representation!r}>"


def waits_by(condition: WaitCondition | None, representation: Representation) -> bool:
    """Whether a client that has this representation can say so by the means of its condition. A
    date of which the origin says nothing is no means.
    """
    return not isinstance(condition, Modified) or modified_at(representation) is not None
