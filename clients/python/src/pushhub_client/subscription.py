"""A synchronous subscription: an iterator of messages."""

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import httpx2 as httpx

from .core.feed import Ask, Feed, Pause
from .core.sse import BEAT_SECONDS
from .core.wire import Request
from .cursors import CursorKeeper
from .errors import HubUnreachable, InvalidResponse
from .http_sync import HttpSender, TokenError, body_of, failing
from .interrupt import Interrupt
from .messages import Message, State
from .options import MOST_BODY_BYTES
from .reading import Reading


class Subscription(Reading):
    """An iterator of `Event`, `Gap` and `Refusal`, endless until `close()`.

    A message counts as read when the next one is asked for, or by `commit()`. Iterating raises a
    `Problem` when the hub refuses all channels, and retries after everything else.
    """

    def __init__(
        self,
        sender: HttpSender,
        feed: Feed,
        keeper: CursorKeeper,
        on_state: Callable[[State], None] | None,
    ) -> None:
        super().__init__(feed, keeper, on_state)
        self._sender = sender
        self._interrupt = Interrupt()
        self._wake = threading.Event()
        # Changes of the channels by any thread, which the reading thread applies.
        self._changes: deque[Callable[[], None]] = deque()
        self._closed = False
        self._open: AbstractContextManager[httpx.Response] | None = None
        self._chunks: Iterator[bytes] = iter(())
        # A loop that was left with `break` leaves no connection behind.
        self._hang_up = weakref.finalize(self, sender.close)

    # -- what the user sees --------------------------------------------------------

    def add(self, channel: str, since: str = "now") -> None:
        """Read one more channel, in the same request."""
        self._again(lambda: self._feed.add(channel, since))

    def remove(self, channel: str) -> None:
        """Read a channel no longer."""
        self._again(lambda: self._feed.remove(channel))

    def close(self) -> None:
        """End the subscription; another thread's iteration ends too."""
        self._closed = True
        self._again(self._feed.close)

    def _again(self, change: Callable[[], None]) -> None:
        self._changes.append(change)
        self._wake.set()
        self._interrupt.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self._apply()
        self._release()
        self._hang_up()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        try:
            while not self._closed:
                self._apply()
                message = self._take()
                if message is not None:
                    return message
                if self._open is not None:
                    self._listen(self._open)
                    continue
                step = self._feed.next(time.monotonic())
                if step is None:
                    break
                self._do(step)
        except BaseException:
            self._release()
            if self._feed.state == "closed":
                self._hang_up()
            raise
        self._apply()
        self._release()
        self._hang_up()
        raise StopIteration

    def _apply(self) -> None:
        """Apply the changes of the channels; a stream for the ones before ends."""
        if self._changes:
            self._release()
        self._interrupt.requested = False
        while self._changes:
            self._changes.popleft()()

    # -- one step ------------------------------------------------------------------

    def _do(self, step: Ask | Pause) -> None:
        if isinstance(step, Pause):
            self._wake.wait(step.seconds)
            self._wake.clear()
            return
        try:
            if step.streams:
                self._begin(step.request)
            else:
                status, headers, body = self._sender.send(step.request, self._interrupt.trace)
                self._feed.responded(time.monotonic(), status, headers, body)
        except (HubUnreachable, InvalidResponse, TokenError) as error:
            self._failed(error)

    def _begin(self, request: Request) -> None:
        """Open a stream; whatever else comes is a complete response."""
        opening = self._sender.open(request, BEAT_SECONDS, self._interrupt.trace)
        response = opening.__enter__()
        try:
            kind = response.headers.get("content-type", "")
            if response.status_code == 200 and kind.startswith("text/event-stream"):
                self._feed.opened(time.monotonic(), response.headers)
                self._open, self._chunks = opening, response.iter_bytes()
                return
            deadline = time.monotonic() + request.timeout
            body = body_of(response, MOST_BODY_BYTES, deadline)
        except BaseException:
            opening.__exit__(None, None, None)
            raise
        opening.__exit__(None, None, None)
        self._feed.responded(time.monotonic(), response.status_code, response.headers, body)

    def _listen(self, opening: AbstractContextManager[httpx.Response]) -> None:
        """Read one piece of the stream."""
        self._feed.listen(time.monotonic())
        try:
            with failing(self._sender.base):
                chunk = next(self._chunks, None)
        except HubUnreachable as error:
            self._release()
            if isinstance(error.__cause__, httpx.TimeoutException) and not self._changes:
                self._feed.stalled(time.monotonic(), error)
            else:
                self._failed(error)
            return
        if chunk is not None and self._feed.received(time.monotonic(), chunk):
            return
        self._release()
        if not self._changes:
            self._feed.ended(time.monotonic())

    def _failed(self, error: Exception) -> None:
        # The subscription ended the request itself.
        if not self._changes:
            self._feed.failed(time.monotonic(), error)

    def _release(self) -> None:
        """Close the stream, if one is open."""
        if self._open is not None:
            opening, self._open = self._open, None
            opening.__exit__(None, None, None)
