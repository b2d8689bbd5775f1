"""The two observers of a trial: a client that polls, and one that waits for the same resource."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from pushhub.http.problem import Problem
from pushhub.origin.client.pool import OriginClient
from pushhub.origin.client.slots import PoolLimits
from pushhub.origin.headers import end_to_end
from pushhub.origin.shared.representation import MAX_BODY_BYTES
from pushhub.trial.sighting import ObserverRecord, Sighting

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.http.response import Headers
    from pushhub.origin.request import Pairs
    from pushhub.origin.shared.change_rule import ChangeRule

CONNECT_SECONDS = 5.0
# The wait that clients are told to ask for, and 10 seconds for the response.
WAIT_SECONDS = 25
SILENT_SECONDS = WAIT_SECONDS + 10.0
# The longest body that is read: larger ones are not shared, and only their beginning is compared.
MAX_BYTES = 4 * MAX_BODY_BYTES


class TrialObserver:
    """A client of one resource, which remembers the last validator.

    Args:
        url: the whole URL, at the API or at the hub.
        sent: the headers of each request.
        rule: what counts as a change.
        begun: the start of the trial, on the monotonic clock.
        changed: called after each response.
    """

    def __init__(
        self, url: str, sent: Pairs, rule: ChangeRule, begun: float, changed: Callable[[], None]
    ) -> None:
        self.record = ObserverRecord()
        self._url = url
        self._sent = sent
        self._rule = rule
        self._begun = begun
        self._changed = changed
        self._client = OriginClient(CONNECT_SECONDS, SILENT_SECONDS, PoolLimits.of(1))
        self._etag = b""
        self._state = ""

    async def poll(self, every: float) -> None:
        """Request the resource every so many seconds, until cancelled."""
        self._client.open()
        try:
            next_time = time.monotonic()
            while True:
                await self._get(())
                next_time += every
                await asyncio.sleep(max(0.0, next_time - time.monotonic()))
        finally:
            self._client.close()

    async def long_poll(self, every: float) -> None:
        """Request it again as soon as a wait has ended, until cancelled. A request that could not
        wait is repeated after `every` seconds, as of a client that polls.
        """
        self._client.open()
        prefer = (b"Prefer", b"wait=%d" % WAIT_SECONDS)
        try:
            while True:
                held = await self._get((prefer,))
                if not held:
                    await asyncio.sleep(every)
        finally:
            self._client.close()

    async def _get(self, more: Pairs) -> bool:
        """Send one request; whether it could wait."""
        condition = ((b"If-None-Match", self._etag),) if self._etag else ()
        begun = time.monotonic() - self._begun
        self.record.requests += 1
        held = False
        try:
            status, headers, body = await self._response((*self._sent, *more, *condition))
            held = any(name.lower() == b"preference-applied" for name, _ in headers)
            self.record.granted += held
            self._see(begun, status, headers, body, held=held)
        except Problem as problem:
            self.record.fail(problem.detail)
        self._changed()
        return held

    async def _response(self, pairs: Pairs) -> tuple[int, Headers, bytes]:
        response = await self._client.request("GET", self._url, pairs)
        try:
            body = bytearray()
            while len(body) < MAX_BYTES and (piece := await response.read()):
                body += piece
        finally:
            response.close()
        self.record.received += len(body)
        return response.status, end_to_end(response.pairs), bytes(body)

    def _see(self, begun: float, status: int, headers: Headers, body: bytes, *, held: bool) -> None:
        if status == 200:
            self._etag = next((v for name, v in headers if name.lower() == b"etag"), b"")
            self._state = self._rule.tag(status, headers, body)
        elif status != 304:
            self.record.fail(f"The response is {status}.")
            return
        ended = time.monotonic() - self._begun
        # The first response to an opt-in comes immediately; only later ones were held.
        waited = held and bool(self.record.sightings)
        self.record.sightings.append(Sighting(begun, ended, self._state, waited))
