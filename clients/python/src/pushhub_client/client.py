"""The synchronous client."""

import json
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx2 as httpx

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
from .http_sync import Credential, HttpSender, MakeHttp, Token
from .messages import JSON, Receipt, State, Value
from .options import DEFAULT_URL, Channels, Path, Transport, base_of, start_of
from .polling import Poll
from .subscription import Subscription


class Client:
    """A hub, for synchronous programs. Threads may share it.

    Args:
        url: the hub's URL; with the path of an embedded hub, if it has one.
        token: an API key or a token, or a callable that returns one: it is called before the first
            request, after a 401, and before the token's `exp`.
        http: makes an `httpx2.Client`, for proxies, certificates and TLS. It is called for this
            client and for each subscription, which has a connection of its own.

    Raises:
        ValueError: `url` is no HTTP URL.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: Token | None = None,
        http: MakeHttp = httpx.Client,
    ) -> None:
        self.url = base_of(url)
        self._credential = Credential(token)
        self._make_http = http
        self._sender = HttpSender(self.url, self._credential, http)

    # -- publishing ----------------------------------------------------------------

    def publish(
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
        """Publish one event; returns when the hub has it durably.

        Args:
            data: any JSON; text or bytes of `content_type`, if that is given. Bytes without it are
                `application/octet-stream`.
            type: the event's type.
            id: the publisher's id of the event.
            idempotency_key: a publish with the same key and data can be sent again, and happens
                once; the hub remembers the key for 300 seconds.
            if_match: a cursor or ETag: publish only if this is still the channel's value; `*`: only
                if there is a value.
            if_none_match: publish only if the channel has no value yet.
            retry_seconds: retry for this time, 240 seconds at most, if there is no response or the
                hub is overloaded. An idempotency key is made if none is given.
            timeout: the seconds within which each response has to come.

        Raises:
            Problem: the hub refuses; `precondition-failed` if a condition does not hold.
            HubUnreachable: no response. The event may have been published.
            ValueError, TypeError: the data is no JSON.
        """
        item = Item(channel, data, type, id, idempotency_key, if_match, content_type)
        if retry_seconds:
            item = with_key(item, str(uuid4()))
        request = publish_request(item, if_none_match=if_none_match, timeout=timeout)
        return receipt_of(object_of(self._request(request, retry_seconds)))

    def publish_many(
        self, items: Iterable[Item], *, retry_seconds: float = 0.0, timeout: float = 30.0
    ) -> list[Receipt | Problem]:
        """Publish many events in one request, 1,000 at most.

        The hub checks all items before it publishes any. Then each event stands alone: its place in
        the list has its receipt, or the problem that it met. An item for several channels has as
        many places.

        Raises:
            Problem: an item is invalid (`fields["item"]` is its index), or the hub refuses.
            HubUnreachable: no response. Events may have been published.
        """
        batch = [with_key(item, str(uuid4())) if retry_seconds else item for item in items]
        body = self._request(batch_request(batch, timeout=timeout), retry_seconds)
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
    ) -> Subscription:
        """Read one channel or many in one request, endlessly.

        Args:
            channels: a channel, some channels, or channel to start.
            since: the start of channels without one: `now`, `earliest` or a cursor.
            cursors: a file that keeps the position that was read to, and from which the next run
                continues; or a callable that receives the cursor of each channel after each
                message.
            transport: `sse` holds by one stream in place of long polls.
            wait: the longest wait of a request, 1 to 55 seconds.
            on_state: called when `Subscription.state` changes.
            decode: reads JSON, for example with `parse_float=Decimal`.

        Raises:
            ValueError: no channel, or another wait.
            CursorFileError: the file is no file of cursors.
        """
        keeper = CursorKeeper(start_of(channels, since), cursors)
        feed = Feed(
            keeper.start,
            random=random.random,
            wait=wait,
            stream=transport == "sse",
            renews=self._credential.renews,
            decode=decode,
        )
        sender = HttpSender(self.url, self._credential, self._make_http)
        return Subscription(sender, feed, keeper, on_state)

    def value(self, channel: str, *, decode: Decode = json.loads) -> Value | None:
        """The last event of a channel; None if there is none yet.

        Raises:
            Problem: the hub refuses.
            HubUnreachable: no response.
        """
        status, headers, body = self._sender.send(value_request(channel))
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
    ) -> Poll[Value]:
        """The value of a channel, now and after each change; it has no gaps.

        Args:
            etag: a value that is known already: only another one is returned.
            on_error: called with each failure; the iterator retries by itself.
        """
        poller = Poller(random=random.random, wait=wait, etag=etag, renews=self._credential.renews)
        sender = HttpSender(self.url + channel_path(channel), self._credential, self._make_http)
        return Poll(sender, poller, {}, partial(value_of, channel, decode=decode), on_error)

    # -- managing ------------------------------------------------------------------

    def delete(self, channel: str) -> None:
        """Forget the events of a channel.

        Raises:
            Problem: the hub refuses; `not-found` if the channel has no events.
        """
        self._request(Request("DELETE", channel_path(channel)))

    def notify(self, *resources: str) -> None:
        """Notify a hub in front of an API that resources have changed: paths, prefixes with a final
        `*`, or patterns with `{name}` for one segment; 100 at most.

        Raises:
            Problem: the hub refuses.
        """
        body = dump({"resources": resources})
        self._request(Request("POST", "/v1/notify", {"Content-Type": JSON}, body))

    def _request(self, request: Request, retry_seconds: float = 0.0) -> bytes:
        """The body of a success."""
        renews = self._credential.renews
        retry = Retry(retry_seconds, time.monotonic(), renews=renews, random=random.random)
        while True:
            error: Problem | HubUnreachable
            try:
                status, headers, body = self._sender.send(request)
                if 200 <= status < 300:
                    return body
                error = problem_of(status, headers, body)
            except HubUnreachable as unreachable:
                error = unreachable
            pause = retry.after(error, time.monotonic())
            if pause is None:
                raise error
            time.sleep(pause)

    # -- the end -------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections of publishes; subscriptions end on their own."""
        self._sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
