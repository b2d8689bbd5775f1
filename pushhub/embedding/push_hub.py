"""PushHub: pushhub as a part of a Python application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from pushhub.api.asgi_lifespan import calling_on_signal
from pushhub.api.publish import expectation
from pushhub.app import App
from pushhub.embedding.marks import CONCURRENT_RUNS, MARK, WaitMark, upgrade
from pushhub.embedding.publisher import Receipt, append_of, draft_of, publish
from pushhub.embedding.subscriber import iterate
from pushhub.embedding.waiting_route import WaitingRoutes
from pushhub.embedding.wakes import Wakes
from pushhub.settings import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from pushhub.log.cursor import Cursor
    from pushhub.log.event import Event
    from pushhub.log.read import Gap
    from pushhub.runtime import Runtime
    from pushhub.settings import Settings
    from pushhub.store.base import Store

log = structlog.get_logger(__name__)

NOT_OPEN = (
    "The hub is not open. Start the application with lifespan=push.lifespan, or with"
    " `async with push.lifespan(app)` in its own lifespan."
)
NOT_UPGRADED = (
    "An endpoint with @push.waits has no route in the application of push.lifespan, so its requests"
    " do not wait. The decorator stands below the route's, and the application is started with"
    " lifespan=push.lifespan, or has `async with push.lifespan(app)` in its own lifespan."
)

T = TypeVar("T", bound="Callable[..., Any]")


class PushHub(App):
    """pushhub as an ASGI application that is mounted in another one, whose lifespan is `lifespan`.

    Without API keys the hub starts: Python may publish, over HTTP no client may, and only public
    channels are read. All methods belong to the event loop on which the hub was opened.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        store: Store | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """Create and connect all components.

        Args:
            settings: by default those of the environment and of the file that PUSHHUB_CONFIG names.
            store: the log; by default the store of `settings.store`.
            runtime: the clock and the randomness; by default the system's.

        Raises:
            SettingsError: the settings of the environment cannot be used.
        """
        super().__init__(settings or load().settings, store=store, runtime=runtime)
        self._is_open = False
        self._wakes = Wakes(self.service.hub)
        self._waiting_routes = WaitingRoutes(
            self.service.hub, self._wakes, lambda: self.settings.max_wait
        )
        # The endpoints that `waits` has marked.
        self._marks = 0

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """The lifespan of the application in which the hub is mounted: opens the hub, upgrades the
        endpoints that `waits` has marked, and closes the hub at the end. An application with a
        lifespan of its own has `async with push.lifespan(app):` in it.

        Raises:
            StoreError: the store cannot be opened; the sentence says what to do.
            ValueError: the channel of an endpoint does not suit its path.
        """
        upgraded = upgrade(getattr(app, "routes", None), self, self._waiting_routes)
        if upgraded < self._marks:
            log.warning(
                "waits.not_upgraded", reason=NOT_UPGRADED, marked=self._marks, found=upgraded
            )
        await self.open()
        try:
            with calling_on_signal(self.leave):
                yield
        finally:
            await self.close()

    async def open(self) -> None:
        await super().open()
        self._wakes.open()
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        self._wakes.close()
        await super().close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self._check_open()
        await super().__call__(scope, receive, send)

    def _check_open(self) -> None:
        if not self._is_open:
            raise RuntimeError(NOT_OPEN)

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        type: str = "",
        id: str = "",
        content_type: str | None = None,
        idempotency_key: str = "",
        if_match: Cursor | str | None = None,
        if_none_match: str | None = None,
    ) -> Receipt:
        """Append one event, and return when it is in the log.

        Args:
            data: bytes are published as they are, all else as JSON; with a `content_type` a `str`
                is text of that type. At most 256 KiB.
            type: the event's type, which a stream has as its `event` field.
            id: the event's id; by default the hub gives one.
            idempotency_key: a second publish with the same key and data has no effect, and its
                receipt is a `duplicate`. A publish without a key may be in the log twice if it is
                repeated after an error.
            if_match: the cursor of the channel's value, or `"*"`: publish if it is still the value.
            if_none_match: `"*"`: publish if the channel has no value.

        Raises:
            Problem: by `slug`: `bad-channel`, `bad-body`, `precondition-failed`, `key-reused`,
                `namespace-full`, or `store-unavailable`, after which the event may be in the log.
        """
        self._check_open()
        draft = draft_of(data, content_type, type, id)
        expect = expectation(None if if_match is None else str(if_match), if_none_match)
        append = append_of(self.service, channel, draft, expect, idempotency_key)
        return await publish(self.service, append)

    def subscribe(self, channel: str, since: Cursor | str = "now") -> AsyncIterator[Event | Gap]:
        """The events of a channel after a cursor, from the `earliest`, or from `now` on: an
        asynchronous iterator, which ends when the hub drains. A `Gap` says that events may be lost;
        the oldest one that is kept follows.

        Raises:
            Problem: `bad-channel` or `bad-cursor`, immediately; from the iterator `deleted`, or
                `store-unavailable` if the log cannot be read at the start.
        """
        self._check_open()
        return iterate(self.service.hub, channel, since)

    async def notify(self, channel: str) -> None:
        """Run the endpoints that wait on a channel again, on all nodes, without an event.

        Raises:
            Problem: `bad-channel` or `store-unavailable`.
        """
        self._check_open()
        await self._wakes.notify(channel)

    def waits(
        self,
        channel: str | Callable[[Request], str],
        *,
        concurrency: int = CONCURRENT_RUNS,
    ) -> Callable[[T], T]:
        """Mark an endpoint that may wait: with `Prefer: wait` and the `ETag` of the last response a
        GET waits until the endpoint's response is another one. After each event of the channel, and
        each `notify`, the whole route runs again for each request that waits.

        It stands below the route's own decorator, and leaves the function as it is. The application
        starts with `lifespan`.

        Args:
            channel: the name, in which `{id}` is the path parameter `id`; or a function of the
                request.
            concurrency: the runs of this endpoint at a time.

        Raises:
            ValueError: the name has something other than path parameters in braces.
        """
        mark = WaitMark(self, channel, concurrency)
        mark.fields()

        def marked(endpoint: T) -> T:
            setattr(endpoint, MARK, mark)
            self._marks += 1
            return endpoint

        return marked
