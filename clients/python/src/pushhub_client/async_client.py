"""The asynchronous client; its names and arguments are those of `Client`."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2 as httpx

from .async_polling import AsyncPoll
from .async_subscription import AsyncSubscription
from .core.feed import Feed
from .core.pace import WAIT
from .core.poller import Poller
from .core.publishing import Retry
from .core.wire import (
    Decode,
    Item,
    Request,
    batch_request,
    channel_path,
    dump,
    object_of,
    problem_of,
    publish_request,
    receipt_of,
    results_of,
    value_of,
    value_request,
    with_key,
)
from .cursors import CursorKeeper, SaveCursors
from .errors import HubUnreachable, Problem
from .http_async import AsyncCredential, AsyncHttpSender, AsyncToken, MakeAsyncHttp
from .messages import JSON, Receipt, State, Value
from .options import DEFAULT_URL, Channels, Path, Transport, base_of, start_of


class AsyncClient:
    """A hub, for programs on asyncio. The tasks of one event loop may share it.

    Args:
        url: the hub's URL; with the path of an embedded hub, if it has one.
        token: an API key or a token, or a callable that returns one, or a coroutine function: it is
            called before the first request, after a 401, and before the token's `exp`.
        http: makes an `httpx2.AsyncClient`, for proxies, certificates and TLS.

    Raises:
        ValueError: `url` is no HTTP URL.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: AsyncToken | None = None,
        http: MakeAsyncHttp = httpx.AsyncClient,
    ) -> None:
        self.url = base_of(url)
        self._credential = AsyncCredential(token)
        self._sender = AsyncHttpSender(self.url, self._credential, http)

    # -- publishing ----------------------------------------------------------------

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        type: str | None = None,
        id: str | None = None,
        idempotency_key: str | None = None,
        if_match: str | None = None,
        if_none_match: bool = False,
        content_type: str | None = None,
        retry_seconds: float = 0.0,
        timeout: float = 10.0,
    ) -> Receipt:
        """Publish one event, as `Client.publish`."""
        item = Item(channel, data, type, id, idempotency_key, if_match, content_type)
        if retry_seconds:
            item = with_key(item, str(uuid4()))
        request = publish_request(item, if_none_match=if_none_match, timeout=timeout)
        return receipt_of(object_of(await self._request(request, retry_seconds)))

    async def publish_many(
        self, items: Iterable[Item], *, retry_seconds: float = 0.0, timeout: float = 30.0
    ) -> list[Receipt | Problem]:
        """Publish many events in one request, as `Client.publish_many`."""
        batch = [with_key(item, str(uuid4())) if retry_seconds else item for item in items]
        body = await self._request(batch_request(batch, timeout=timeout), retry_seconds)
        return list(results_of(body))

    # -- reading -------------------------------------------------------------------

    def subscribe(
        self,
        channels: Channels,
        *,
        since: str = "now",
        cursors: Path | SaveCursors | None = None,
        transport: Transport = "poll",
        wait: int = WAIT,
        on_state: Callable[[State], None] | None = None,
        decode: Decode = json.loads,
    ) -> AsyncSubscription:
        """Read one channel or many in one request, endlessly, as `Client.subscribe`."""
        keeper = CursorKeeper(start_of(channels, since), cursors)
        feed = Feed(
            keeper.start,
            random=random.random,
            wait=wait,
            stream=transport == "sse",
            renews=self._credential.renews,
            decode=decode,
        )
        return AsyncSubscription(self._sender, feed, keeper, on_state)

    async def value(self, channel: str, *, decode: Decode = json.loads) -> Value | None:
        """The last event of a channel, as `Client.value`."""
        status, headers, body = await self._sender.send(value_request(channel))
        if status == 200:
            return value_of(channel, headers, body, decode)
        problem = problem_of(status, headers, body)
        if problem.name == "no-value":
            return None
        raise problem

    def values(
        self,
        channel: str,
        *,
        etag: str | None = None,
        wait: int = WAIT,
        on_error: Callable[[Exception], None] | None = None,
        decode: Decode = json.loads,
    ) -> AsyncPoll[Value]:
        """The value of a channel, now and after each change, as `Client.values`."""
        poller = Poller(random=random.random, wait=wait, etag=etag, renews=self._credential.renews)
        read = partial(value_of, channel, decode=decode)
        return AsyncPoll(self._sender, poller, {}, read, on_error, path=channel_path(channel))

    # -- managing ------------------------------------------------------------------

    async def delete(self, channel: str) -> None:
        """Forget the events of a channel, as `Client.delete`."""
        await self._request(Request("DELETE", channel_path(channel)))

    async def notify(self, *resources: str) -> None:
        """Notify a hub of resources that have changed, as `Client.notify`."""
        body = dump({"resources": resources})
        await self._request(Request("POST", "/v1/notify", {"Content-Type": JSON}, body))

    async def _request(self, request: Request, retry_seconds: float = 0.0) -> bytes:
        """The body of a success."""
        renews = self._credential.renews
        retry = Retry(retry_seconds, time.monotonic(), renews=renews, random=random.random)
        while True:
            error: Problem | HubUnreachable
            try:
                status, headers, body = await self._sender.send(request)
                if 200 <= status < 300:
                    return body
                error = problem_of(status, headers, body)
            except HubUnreachable as unreachable:
                error = unreachable
            pause = retry.after(error, time.monotonic())
            if pause is None:
                raise error
            await asyncio.sleep(pause)

    # -- the end -------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connections; subscriptions end before."""
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
