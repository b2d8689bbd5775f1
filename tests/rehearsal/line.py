"""A client's way to the site: requests through the proxy, each of which the diary records."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from tests.rehearsal.diary import Exchange

if TYPE_CHECKING:
    from tests.deploy.proxies import RunningProxy
    from tests.rehearsal.diary import Diary
    from tests.wire import Client, Response

PREFIX = "/_pushhub"
OWN = ("/v1", "/http-bind", "/publish")
# A kept connection that breaks so soon after a request was closed while it was idle: every HTTP
# client repeats such a request by itself.
STALE_SECONDS = 0.25
# Longer than a wait that the proxy repeats on the other hub: it begins again there.
PATIENCE_SECONDS = 70.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


def path(target: str) -> str:
    """The target at the proxy: pushhub's own routes are under a prefix."""
    return PREFIX + target if target.startswith(OWN) else target


class Line:
    """The connection of a client, and its manners: a pause that grows between repetitions."""

    def __init__(
        self,
        proxy: RunningProxy,
        diary: Diary,
        client: str,
        kind: str,
        fields: dict[str, str] | None = None,
    ) -> None:
        self._proxy, self._diary = proxy, diary
        self.client, self.kind = client, kind
        self._fields = fields or {}
        self._connection: Client | None = None
        self._failed: object = None
        self._failures = 0
        # The interface of tests.faults' sessions.
        self.torn = 0

    async def ask(
        self, method: str, target: str, headers: Any = None, body: bytes = b"", seconds: float = 10
    ) -> Response:
        """One request. Whatever fails is an `OSError`."""
        same = (method, target, body)
        if self._failed != same:
            self._failed, self._failures = None, 0
        if self._failures > 1:
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
            await asyncio.sleep(pause * random.uniform(0.5, 1))
        begun, kept, attempt = self._diary.now(), self._connection is not None, 1 + self._failures
        try:
            connection = await self.connect()
            connection.send(method, path(target), {**self._fields, **(headers or {})}, body)
            response = await connection.receive(max(seconds, PATIENCE_SECONDS))
        except BaseException as error:
            self.drop()
            if not isinstance(error, Exception):
                raise
            stale = kept and self._diary.now() - begun < STALE_SECONDS
            if not stale:
                self._failed, self._failures = same, self._failures + 1
            self.wrote(method, begun, 0, attempt, stale=stale, text=repr(error)[:120])
            raise OSError(repr(error)) from error
        self._took(same, method, begun, attempt, response)
        return response

    def _took(
        self, same: object, method: str, begun: float, attempt: int, response: Response
    ) -> None:
        status, headers = response.status, response.headers
        if headers.get("connection") == "close":
            self.drop()
        text = response.body[:160].decode(errors="replace") if status >= 500 else ""
        ours = headers.get("content-type") == "application/problem+json"
        again = "retry-after" in headers
        self.wrote(method, begun, status, attempt, retry_after=again, ours=ours, text=text)
        if status in (502, 504):
            self._failed, self._failures = same, self._failures + 1
            raise OSError(f"{status} of the proxy")
        self._failed, self._failures = None, 0

    def wrote(self, method: str, begun: float, status: int, attempt: int = 1, **more: Any) -> None:
        """Record an exchange."""
        now = self._diary.now()
        self._diary.exchanges.append(
            Exchange(self.client, self.kind, method, begun, now, status, attempt, **more)
        )

    async def connect(self) -> Client:
        """The connection; a new one if there is none."""
        if self._connection is None:
            async with asyncio.timeout(10):
                self._connection = await self._proxy.connect()
        return self._connection

    def drop(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.writer.transport.abort()
