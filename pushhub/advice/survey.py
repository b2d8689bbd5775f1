"""A survey of a URL: a few GETs, seconds apart, with and without compression and credentials."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pushhub.advice.connection_error import connection_error
from pushhub.advice.observation import (
    Observation,
    RequestForm,
    Survey,
    cookie_names,
    without_cookie,
    without_credentials,
)
from pushhub.http.problem import Problem
from pushhub.origin.client.pool import OriginClient
from pushhub.origin.client.slots import PoolLimits
from pushhub.origin.headers import end_to_end
from pushhub.origin.shared.representation import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.origin.client.response import UpstreamResponse
    from pushhub.origin.request import Pairs

CONNECT_SECONDS = 5.0
# The longest silence of an API, and the longest duration of a body: what takes longer is a stream.
SILENT_SECONDS = 15.0
BODY_SECONDS = 5.0
# The rounds in which requests without cookies are sent: one could differ by a coincidence.
ROUNDS = 2
# Cookies that are left out, one after the other; more are rare, and each costs two requests.
MAX_COOKIES = 8


@dataclass(frozen=True, slots=True)
class SurveyPlan:
    """How often a URL is requested: in `looks` rounds, `pause` seconds apart."""

    looks: int = 4
    pause: float = 2.0

    def requests(self, sent: Pairs) -> int:
        """The requests that a survey sends at most."""
        rounds = min(ROUNDS, self.looks)
        return 2 * self.looks + rounds * len(_reduced_forms(sent)) + 1


def _reduced_forms(sent: Pairs) -> list[tuple[RequestForm, str, Pairs]]:
    """The forms without cookies and credentials."""
    forms = [
        (RequestForm.WITHOUT_COOKIE, name, without_cookie(sent, name))
        for name in cookie_names(sent)[:MAX_COOKIES]
    ]
    bare = without_credentials(sent)
    return [*forms, (RequestForm.ANONYMOUS, "", bare)] if bare != sent else forms


class Surveyor:
    """The requests of one survey, one after the other. It stops at the first that says enough."""

    def __init__(self, target: str, path: str, query: str, sent: Pairs, plan: SurveyPlan) -> None:
        self._target, self._path, self._query = target, path, query
        self._sent = sent
        self._plan = plan
        self._observations: list[Observation] = []
        self._begun = time.monotonic()
        self._client = OriginClient(CONNECT_SECONDS, SILENT_SECONDS, PoolLimits.of(1))

    async def run(self, sent_one: Callable[[], None] = lambda: None) -> Survey:
        """Send the requests, and call `sent_one` after each."""
        self._client.open()
        try:
            await self._rounds(sent_one)
        finally:
            self._client.close()
        return Survey(self._target, self._path, self._query, self._sent, tuple(self._observations))

    async def _rounds(self, sent_one: Callable[[], None]) -> None:
        first_of_last = max(1, self._plan.looks - ROUNDS)
        for number in range(self._plan.looks):
            if number:
                await asyncio.sleep(self._plan.pause)
            one = await self._get(RequestForm.AS_GIVEN, self._sent)
            sent_one()
            if one.status != 200 or not one.ended:
                return
            zipped = (*self._sent, (b"Accept-Encoding", b"gzip"))
            await self._get(RequestForm.COMPRESSED, zipped)
            sent_one()
            # Between two requests as given, which say what changed meanwhile.
            if first_of_last <= number + 1 < first_of_last + ROUNDS or self._plan.looks == 1:
                for form, name, pairs in _reduced_forms(self._sent):
                    await self._get(form, pairs, name)
                    sent_one()
        given = [one for one in self._observations if one.form is RequestForm.AS_GIVEN]
        if given and (etag := given[-1].header(b"etag")):
            condition = (b"If-None-Match", etag.encode("latin-1"))
            await self._get(RequestForm.CONDITIONAL, (*self._sent, condition))
        sent_one()

    async def _get(self, form: RequestForm, pairs: Pairs, left_out: str = "") -> Observation:
        begun = time.monotonic()
        one = Observation(
            form, len(self._observations), begun - self._begun, time.time(), left_out=left_out
        )
        try:
            one = await self._received(one, pairs, begun)
        except Problem as problem:
            reason = await connection_error(self._target)
            one = replace(one, problem=reason or problem.detail)
        self._observations.append(one)
        return one

    async def _received(self, one: Observation, pairs: Pairs, begun: float) -> Observation:
        url = self._target + self._path + (f"?{self._query}" if self._query else "")
        response = await self._client.request("GET", url, pairs)
        try:
            body, ended = await _body(response)
        finally:
            response.close()
        return replace(
            one,
            clock=time.time(),
            seconds=time.monotonic() - begun,
            status=response.status,
            reason=response.reason,
            headers=end_to_end(response.pairs),
            body=body,
            ended=ended,
        )


async def _body(response: UpstreamResponse) -> tuple[bytes, bool]:
    """The body, within a size and a time, and whether it is whole."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while piece := await response.read():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    return bytes(body), False
    except TimeoutError:
        return bytes(body), False
    return bytes(body), True
