"""Following a channel with long-polls: what a careful client does, as a generator.

The cursor that the hub answers goes into the next request. A gap is told and gone on from the
oldest event that is kept. Trouble is waited out with full-jitter backoff, never less than the hub
asks for.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson

from pushhub.cli.client import TROUBLE, ClientError, CliResponse, HubClient, why
from pushhub.log.json_body import JsonError, raw_members

# The hub may end a hold up to a fifth early, never late; the rest is for slow networks.
_GRACE_SECONDS = 15.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0

# An answer without events that came sooner was not waited for, and must not be asked for in a loop.
_TOO_SOON_SECONDS = 0.5

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class Refused(Exception):
    """The hub refuses to let this channel be followed; the message is its problem."""


@dataclass(frozen=True, slots=True)
class TailGap:
    """Events may have been lost. `reason` is the hub's, `oldest` is where it goes on."""

    reason: str
    oldest: str


@dataclass(frozen=True, slots=True)
class TailError:
    """The hub cannot be reached at the moment, or asks for patience; it is tried again."""

    reason: str
    pause: float


Told = dict[str, Any] | TailGap | TailError


@dataclass(slots=True)
class TailFollower:
    """A reader's place in one channel.

    Args:
        path: the channel's feed.
        since: a cursor, `earliest` or `now`.
        wait: how long the hub may hold each request, in seconds; 0 asks for what is there.
    """

    hub: HubClient
    path: str
    since: str
    wait: int = 25
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[float, float], float] = random.uniform
    _failures: int = field(default=0, init=False)

    def follow(self, *, once: bool = False) -> Iterator[Told]:
        """Events as the hub lists them, gaps and troubles; for ever, or until up to date (`once`).

        Only who follows for ever is patient: `once` is for scripts, which want to know of trouble.

        Raises:
            Refused: asking again would not help.
        """
        while True:
            began = self.clock()
            try:
                response = self._ask(wait=0 if once else self.wait)
            except TROUBLE as error:
                reason = f"{self.hub.url} cannot be reached: {why(error)}"
                if once:
                    raise Refused(reason) from None
                yield from self._pause(reason, 0)
                continue
            if response.status in _PASSING and not once:
                yield from self._pause(response.problem, response.retry_after)
                continue
            if response.status == 410:
                yield self._skip(response)
                continue
            if response.status != 200:
                raise Refused(response.problem)
            answer = _answer(response)
            self._failures = 0
            self.since = answer["cursor"]
            yield from answer["events"]
            if once and (answer.get("up_to_date") or not answer["events"]):
                return
            self._rest(answer, self.clock() - began)

    def _ask(self, wait: int) -> CliResponse:
        headers = {"Accept": "application/json"}
        if wait:
            headers["Prefer"] = f"wait={wait}"
        query = urlencode({"since": self.since})
        return self.hub.request(
            "GET", f"{self.path}?{query}", headers, timeout=wait + _GRACE_SECONDS
        )

    def _skip(self, response: CliResponse) -> TailGap:
        fields = response.json()
        oldest = fields.get("oldest")
        if not isinstance(oldest, str) or oldest == self.since:
            raise Refused(response.problem)
        self.since = oldest
        return TailGap(str(fields.get("reason", "unknown")), oldest)

    def _pause(self, reason: str, at_least: float) -> Iterator[TailError]:
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures, 16))
        self._failures += 1
        pause = at_least + self.jitter(0, longest)
        yield TailError(reason, pause)
        self.sleep(pause)

    def _rest(self, answer: dict[str, Any], took: float) -> None:
        """Do as the hub hints, and never ask in a loop a hub that does not wait."""
        hint = answer.get("retry_ms", 0)
        pause = hint / 1000 if isinstance(hint, int | float) and hint > 0 else 0.0
        if not answer["events"] and took < _TOO_SOON_SECONDS:
            pause = max(pause, self.jitter(_TOO_SOON_SECONDS, 2 * _TOO_SOON_SECONDS))
        if pause:
            self.sleep(min(pause, _LONGEST_PAUSE))


def _answer(response: CliResponse) -> dict[str, Any]:
    answer = response.json()
    if not isinstance(answer.get("cursor"), str) or not isinstance(answer.get("events"), list):
        raise ClientError("The response is not a feed's; check the URL.")
    try:
        texts = raw_members(next(raw_members(response.body))["events"])
        for event, text in zip(answer["events"], texts, strict=True):
            data = text.get("data")
            if data is None or isinstance(event["data"], str):
                continue
            if orjson.dumps(event["data"]) != data:
                event["data"] = _line(data)
    except (JsonError, RecursionError, orjson.JSONEncodeError):
        # No hub of this version sends that; what orjson made of it is shown.
        pass
    return answer


def _line(text: bytes) -> orjson.Fragment:
    """JSON as it was published, long numbers and all, but in one line. Its line ends can only be
    white space: a string has none.
    """
    return orjson.Fragment(text.replace(b"\r", b" ").replace(b"\n", b" "))
