"""An asynchronous poller of one URL: an iterator of what it returns."""

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx2 as httpx

from .core.feed import Pause
from .core.pace import WAIT
from .core.poller import EVERY_SECONDS, Look, Poller
from .core.wire import Decode, Request, representation_of
from .errors import HubUnreachable, InvalidResponse
from .http_async import AsyncCredential, AsyncHttpSender, AsyncToken, MakeAsyncHttp
from .http_sync import TokenError
from .messages import Representation
from .options import MOST_REPRESENTATION_BYTES, base_of

_log = logging.getLogger("pushhub_client")
T = TypeVar("T")


class AsyncPoll(Generic[T]):
    """An asynchronous iterator of the successful responses of a URL, endless until `close()`.

    Where the server waits, each response comes when something changes. Where it does not, the URL
    is requested at the interval. Failures are retried; `on_error` receives each.
    """

    def __init__(
        self,
        sender: AsyncHttpSender,
        poller: Poller,
        headers: Mapping[str, str],
        read: Callable[[Mapping[str, str], bytes], T],
        on_error: Callable[[Exception], None] | None,
        *,
        path: str = "",
    ) -> None:
        self._sender = sender
        self._path = path
        self._poller = poller
        self._headers = dict(headers)
        self._read = read
        self._on_error = on_error
        self._closed = False
        self._step: asyncio.Task[tuple[T] | None] | None = None

    @property
    def waits(self) -> bool:
        """Whether the last response had waited."""
        return self._poller.waits

    @property
    def error(self) -> Exception | None:
        """The last failure, if any."""
        return self._poller.error

    async def close(self) -> None:
        """End the poller; another task's iteration ends too."""
        self._closed = True
        if self._step:
            self._step.cancel()
        # With a path the sender is the client's.
        if not self._path:
            await self._sender.close()

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

    async def __anext__(self) -> T:
        while not self._closed:
            # A task of its own, so that `close` can cut it.
            self._step = asyncio.create_task(self._advance())
            try:
                await asyncio.wait([self._step])
            except asyncio.CancelledError:
                self._step.cancel()
                await asyncio.wait([self._step])
                raise
            step, self._step = self._step, None
            found = None if step.cancelled() else step.result()
            if found:
                return found[0]
        raise StopAsyncIteration

    async def _advance(self) -> tuple[T] | None:
        step = self._poller.next(time.monotonic())
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        return await self._look(step)

    async def _look(self, look: Look) -> tuple[T] | None:
        request = Request(
            "GET", self._path, {**self._headers, **look.headers}, timeout=look.timeout
        )
        try:
            status, got, body = await self._sender.send(request)
            failures = self._poller.failures
            if self._poller.responded(time.monotonic(), status, got, body):
                return (self._read(got, body),)
            if self._poller.failures <= failures:
                return None
        except (HubUnreachable, InvalidResponse, TokenError) as error:
            self._poller.failed(time.monotonic(), error)
        self._report()
        return None

    def _report(self) -> None:
        error = self._poller.error
        if self._poller.failures == 1:
            _log.warning("The poller of %s fails and retries: %s", self._sender.base, error)
        if self._on_error and error:
            self._on_error(error)


def async_poll(
    url: str,
    every: float = EVERY_SECONDS,
    *,
    wait: int = WAIT,
    headers: Mapping[str, str] | None = None,
    token: AsyncToken | None = None,
    etag: str | None = None,
    on_error: Callable[[Exception], None] | None = None,
    decode: Decode = json.loads,
    http: MakeAsyncHttp = httpx.AsyncClient,
) -> AsyncPoll[Representation]:
    """Poll a URL of any API, as `poll`."""
    credential = AsyncCredential(token)
    base_of(url)
    poller = Poller(
        random=random.random, every=every, wait=wait, etag=etag, renews=credential.renews
    )
    sender = AsyncHttpSender(url, credential, http, follows=True, most=MOST_REPRESENTATION_BYTES)
    return AsyncPoll(
        sender,
        poller,
        headers or {},
        lambda got, body: representation_of(got, body, decode),
        on_error,
    )
