"""Random delays that spread a crowd of clients over time."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The real end of a wait is up to this part earlier, so that holds that began together do not end
# together.
JITTER = 0.2
# A prime, so that a crowd of any usual size does not meet the same factors in step.
FACTORS = 1021

# A client polls again after a random time from this range of milliseconds: after a drain, and after
# a reload that changed rights.
RETRY_MS = (200, 1000)


class Jitter:
    """Draws random numbers with `uniform`, a number between two."""

    __slots__ = ("_uniform", "factors")

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        # Each wait needs one. They are drawn once and repeated, which no client can tell.
        self.factors = cycle([uniform(1 - JITTER, 1) for _ in range(FACTORS)])

    def draw(self, bounds: tuple[int, int]) -> int:
        """A whole number within `bounds`."""
        return round(self._uniform(*bounds))

    def pick(self, choices: Sequence[int]) -> int:
        """One of the choices."""
        return choices[min(int(self._uniform(0, len(choices))), len(choices) - 1)]
