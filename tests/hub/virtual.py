"""An event loop whose clock jumps to the next timer as soon as nothing else is left to do."""

import asyncio
import selectors
from typing import Any


class _Selector(selectors.DefaultSelector):
    """Instead of waiting for a timer it moves the clock; for files it looks, and never waits."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("everything waits for something that will never happen")
        if timeout > 0:
            self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when all that can be done is done."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now
