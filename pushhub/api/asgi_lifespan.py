"""The drain of an embedded hub: it begins with the signal that ends the server.

A server ends its connections before the lifespan, and waits for the requests under way. Held
requests would make it wait for as long as they may last, so the hub completes them as soon as the
signal arrives. The server's own handler runs then, as it would without the hub.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

# The signals by which uvicorn, hypercorn and granian end.
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def calling_on_signal(leave: Callable[[], None]) -> Iterator[None]:
    """Call `leave` on the loop's thread when the process is told to end, before the handlers that
    are there. Outside of the main thread no signal can be received, and nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(leave)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    # Handlers of the loop (`add_signal_handler`) and ignored signals have none to call: the server
    # would no longer receive the signal.
    ours = [
        number
        for number, handler in before.items()
        if callable(handler) and handler is not signal.default_int_handler
    ]
    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is handle:
                signal.signal(number, before[number])
