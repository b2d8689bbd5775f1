"""A synchronous poller of one URL: an iterator of what it returns."""

import json
import logging
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx2 as httpx

from .core.feed import Pause
from .core.pace import WAIT
from .core.poller import EVERY_SECONDS, Look, Poller
from .core.wire import Decode, Request, representation_of
from .errors import HubUnreachable, InvalidResponse
from .http_sync import Credential, HttpSender, MakeHttp, Token, TokenError
from .interrupt import Interrupt
from .messages import Representation
from .options import MOST_REPRESENTATION_BYTES, base_of

_log = logging.getLogger("pushhub_client")
T = TypeVar("T")


class Poll(Generic[T]):
    """An iterator of the successful responses of a URL, endless until `close()`.

    Where the server waits, each response comes when something changes. Where it does not, the URL
    is requested at the interval. Failures are retried; `on_error` receives each.
    """

    def __init__(
        self,
        sender: HttpSender,
        poller: Poller,
        headers: Mapping[str, str],
        read: Callable[[Mapping[str, str], bytes], T],
        on_error: Callable[[Exception], None] | None,
    ) -> None:
        self._sender = sender
        self._poller = poller
        self._headers = dict(headers)
        self._read = read
        self._on_error = on_error
        self._interrupt = Interrupt()
        self._wake = threading.Event()
        # A loop that was left with `break` leaves no connection behind.
        self._hang_up = weakref.finalize(self, sender.close)

    @property
    def waits(self) -> bool:
        """Whether the last response had waited."""
        return self._poller.waits

    @property
    def error(self) -> Exception | None:
        """The last failure, if any."""
        return self._poller.error

    def close(self) -> None:
        """End the poller; another thread's iteration ends too."""
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
        self._hang_up()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self._wake.is_set():
            step = self._poller.next(time.monotonic())
            if isinstance(step, Pause):
                self._wake.wait(step.seconds)
                continue
            found = self._look(step)
            if found:
                return found[0]
        self._hang_up()
        raise StopIteration

    def _look(self, look: Look) -> tuple[T] | None:
        request = Request("GET", "", {**self._headers, **look.headers}, timeout=look.timeout)
        try:
            status, headers, body = self._sender.send(request, self._interrupt.trace)
            failures = self._poller.failures
            if self._poller.responded(time.monotonic(), status, headers, body):
                return (self._read(headers, body),)
            if self._poller.failures <= failures:
                return None
        except (HubUnreachable, InvalidResponse, TokenError) as error:
            if self._wake.is_set():
                return None
            self._poller.failed(time.monotonic(), error)
        self._report()
        return None

    def _report(self) -> None:
        error = self._poller.error
        if self._poller.failures == 1:
            _log.warning("The poller of %s fails and retries: %s", self._sender.base, error)
        if self._on_error and error:
            self._on_error(error)


def poll(
    url: str,
    every: float = EVERY_SECONDS,
    *,
    wait: int = WAIT,
    headers: Mapping[str, str] | None = None,
    token: Token | None = None,
    etag: str | None = None,
    on_error: Callable[[Exception], None] | None = None,
    decode: Decode = json.loads,
    http: MakeHttp = httpx.Client,
) -> Poll[Representation]:
    """Poll a URL of any API: an upgrade of `while True: get(url); sleep(every)`.

    Each request asks the server to wait (`Prefer: wait`, RFC 7240) until something changes. A
    server that does not know that is polled every `every` seconds, as before.

    Args:
        every: seconds between two requests to a server that does not wait; at least 0.1.
        wait: the wait to ask for, in seconds.
        token: sent as `Authorization: Bearer`; a text, or a callable as `Client` takes it.
        etag: a representation that is known already: only another one is returned.
        on_error: called with each failure; the poller retries by itself.

    Raises:
        ValueError: another URL, interval or wait.
    """
    credential = Credential(token)
    base_of(url)
    poller = Poller(
        random=random.random, every=every, wait=wait, etag=etag, renews=credential.renews
    )
    sender = HttpSender(url, credential, http, follows=True, most=MOST_REPRESENTATION_BYTES)
    return Poll(
        sender,
        poller,
        headers or {},
        lambda got, body: representation_of(got, body, decode),
        on_error,
    )
