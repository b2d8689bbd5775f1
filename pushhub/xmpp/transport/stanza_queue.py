"""The elements of one client that wait: for the store, or until its account may send again."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.xml import Element

# How many elements a client may send while one of its stanzas waits for the store. A BOSH body
# carries a few; Converse's start is about twenty.
MAX_QUEUED = 200

# About as many bytes of memory as three bodies of 256 KiB take, of ordinary stanzas.
MAX_QUEUED_BYTES = 4 * 1024 * 1024


class StanzaQueue:
    """Elements in the order of their arrival.

    Args:
        resume: is called when the account may send again.
    """

    __slots__ = ("_elements", "_resume", "_timer", "held_bytes")

    def __init__(self, resume: Callable[[], None]) -> None:
        self._elements: deque[Element] = deque()
        self._resume = resume
        self._timer: asyncio.TimerHandle | None = None
        self.held_bytes = 0

    def append(self, element: Element) -> bool:
        """Add an element; return whether the queue keeps its limits."""
        self._elements.append(element)
        self.held_bytes += element.weight
        return len(self._elements) <= MAX_QUEUED and self.held_bytes <= MAX_QUEUED_BYTES

    def first(self) -> Element:
        """The element that is next."""
        return self._elements[0]

    def take(self) -> Element:
        """Take that element."""
        element = self._elements.popleft()
        self.held_bytes -= element.weight
        return element

    @property
    def is_paced(self) -> bool:
        """Whether the account sent too fast."""
        return self._timer is not None

    def pace(self, seconds: float) -> None:
        """Let all elements wait for so long."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self._continue)

    def _continue(self) -> None:
        self._timer = None
        self._resume()

    def clear(self) -> None:
        """Drop all elements, and the timer."""
        self._elements.clear()
        self.held_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __len__(self) -> int:
        return len(self._elements)

    def __repr__(self) -> str:
        return f"<StanzaQueue {len(self._elements)} elements>"
