"""An asynchronous subscription: an iterator of messages."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .core.feed import Ask, Feed, Pause
from .core.sse import BEAT_SECONDS
from .core.wire import Request
from .cursors import CursorKeeper
from .errors import HubUnreachable, InvalidResponse
from .http_async import AsyncHttpSender, async_body_of
from .http_sync import TokenError, failing
from .messages import Message, State
from .options import MOST_BODY_BYTES
from .reading import Reading

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx2 as httpx


class AsyncSubscription(Reading):
    """An asynchronous iterator of `Event`, `Gap` and `Refusal`, endless until `close()`.

    A message counts as read when the next one is asked for, or by `commit()`. Iterating raises a
    `Problem` when the hub refuses all channels, and retries after everything else. A task that is
    cancelled while it waits loses no message.
    """

    def __init__(
        self,
        sender: AsyncHttpSender,
        feed: Feed,
        keeper: CursorKeeper,
        on_state: Callable[[State], None] | None,
    ) -> None:
        super().__init__(feed, keeper, on_state)
        self._sender = sender
        self._changed_channels = False
        self._step: asyncio.Task[None] | None = None
        self._open: AbstractAsyncContextManager[httpx.Response] | None = None
        self._chunks: AsyncIterator[bytes] | None = None

    # -- what the user sees --------------------------------------------------------

    def add(self, channel: str, since: str = "now") -> None:
        """Read one more channel, in the same request."""
        self._feed.add(channel, since)
        self._again()

    def remove(self, channel: str) -> None:
        """Read a channel no longer."""
        self._feed.remove(channel)
        self._again()

    async def close(self) -> None:
        """End the subscription; another task's iteration ends too."""
        self._feed.close()
        self._again()
        await self._release()

    def _again(self) -> None:
        self._changed_channels = True
        if self._step:
            self._step.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while self._feed.state != "closed":
            message = self._take()
            if message is not None:
                return message
            # A task of its own, so that it can be cut when the channels change.
            self._step = asyncio.create_task(self._advance())
            try:
                await asyncio.wait([self._step])
            except asyncio.CancelledError:
                self._step.cancel()
                await asyncio.wait([self._step])
                raise
            step, self._step = self._step, None
            if not step.cancelled():
                step.result()
        await self._release()
        raise StopAsyncIteration

    # -- one step ------------------------------------------------------------------

    async def _advance(self) -> None:
        try:
            if self._changed_channels:
                self._changed_channels = False
                await self._release()
            if self._chunks is not None:
                await self._listen(self._chunks)
                return
            step = self._feed.next(time.monotonic())
            if step is None:
                self._feed.close()
            elif isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                await self._ask(step)
        except BaseException:
            await self._release()
            raise

    async def _ask(self, step: Ask) -> None:
        try:
            if step.streams:
                await self._begin(step.request)
            else:
                status, headers, body = await self._sender.send(step.request)
                self._feed.responded(time.monotonic(), status, headers, body)
        except (HubUnreachable, InvalidResponse, TokenError) as error:
            self._feed.failed(time.monotonic(), error)

    async def _begin(self, request: Request) -> None:
        """Open a stream; whatever else comes is a complete response."""
        opening = self._sender.open(request, BEAT_SECONDS)
        response = await opening.__aenter__()
        try:
            kind = response.headers.get("content-type", "")
            if response.status_code == 200 and kind.startswith("text/event-stream"):
                self._feed.opened(time.monotonic(), response.headers)
                self._open, self._chunks = opening, response.aiter_bytes()
                return
            body = await async_body_of(response, MOST_BODY_BYTES)
        except BaseException:
            await opening.__aexit__(None, None, None)
            raise
        await opening.__aexit__(None, None, None)
        self._feed.responded(time.monotonic(), response.status_code, response.headers, body)

    async def _listen(self, chunks: AsyncIterator[bytes]) -> None:
        """Read one piece of the stream."""
        seconds = self._feed.listen(time.monotonic())
        try:
            with failing(self._sender.base):
                async with asyncio.timeout(seconds):
                    chunk = await anext(chunks, None)
        except HubUnreachable as error:
            await self._release()
            self._feed.failed(time.monotonic(), error)
            return
        except TimeoutError:
            await self._release()
            late = HubUnreachable(f"The stream of {self._sender.base} fell silent.")
            self._feed.stalled(time.monotonic(), late)
            return
        if chunk is not None and self._feed.received(time.monotonic(), chunk):
            return
        await self._release()
        self._feed.ended(time.monotonic())

    async def _release(self) -> None:
        """Close the stream, if one is open."""
        self._chunks = None
        if self._open is not None:
            opening, self._open = self._open, None
            await opening.__aexit__(None, None, None)
