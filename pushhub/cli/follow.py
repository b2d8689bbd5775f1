"""A careful long-poll client of a channel, as a generator.

Each request has the cursor of the last response. After a gap the client reports it, and continues
with the oldest event that is kept. After an error it retries with full-jitter backoff, and waits at
least for the `Retry-After` of the hub.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import orjson

from pushhub.cli.client import CONNECTION_ERRORS, ClientError, CliResponse, HubClient, why
from pushhub.log.json_body import JsonError, raw_members

# The hub may end a hold up to a fifth early, never late; the rest is for slow networks.
_GRACE_SECONDS = 15.0
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0

# An earlier response without events shows that the hub does not wait; a loop must not follow.
_TOO_SOON_SECONDS = 0.5

_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Refused(Exception):
    """The hub refuses reads of this channel; the message is its problem."""


@dataclass(frozen=True, slots=True)
class TailGap:
    """Events may be missing. `reason` is the hub's; reading continues with `oldest`."""

    reason: str
    oldest: str


@dataclass(frozen=True, slots=True)
class TailError:
    """The hub is unreachable or overloaded at the moment; the client retries after `pause`."""

    reason: str
    pause: float


TailItem = dict[str, Any] | TailGap | TailError


@dataclass(slots=True)
class TailFollower:
    """A reader of one channel, with its position.

    Args:
        path: the channel's feed.
        since: a cursor, `earliest` or `now`.
        wait: the longest wait of each request, in seconds; 0 reads only present events.
    """

    hub: HubClient
    path: str
    since: str
    wait: int = 25
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[float, float], float] = random.uniform
    _failures: int = field(default=0, init=False)

    def follow(self, *, once: bool = False) -> Iterator[TailItem]:
        """Events as the hub lists them, gaps and errors: endless, or until up to date (`once`).

        `once` is for scripts, so it raises errors instead of a retry.

        Raises:
            Refused: a retry would not help.
        """
        while True:
            started = self.clock()
            try:
                response = self._poll(wait=0 if once else self.wait)
            except CONNECTION_ERRORS as error:
                reason = f"{self.hub.url} cannot be reached: {why(error)}"
                if once:
                    raise Refused(reason) from None
                yield from self._pause(reason, 0)
                continue
            if response.status in _TEMPORARY and not once:
                yield from self._pause(response.problem, response.retry_after)
                continue
            if response.status == 410:
                yield self._skip(response)
                continue
            if response.status != 200:
                raise Refused(response.problem)
            page = _page(response)
            self._failures = 0
            self.since = page["cursor"]
            yield from page["events"]
            if once and (page.get("up_to_date") or not page["events"]):
                return
            self._rest(page, self.clock() - started)

    def _poll(self, wait: int) -> CliResponse:
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

    def _rest(self, page: dict[str, Any], took: float) -> None:
        """Pause as the hub requests in `retry_ms`, and longer if it responds without a wait."""
        hint = page.get("retry_ms", 0)
        pause = hint / 1000 if isinstance(hint, int | float) and hint > 0 else 0.0
        if not page["events"] and took < _TOO_SOON_SECONDS:
            pause = max(pause, self.jitter(_TOO_SOON_SECONDS, 2 * _TOO_SOON_SECONDS))
        if pause:
            self.sleep(min(pause, _LONGEST_PAUSE))


def _page(response: CliResponse) -> dict[str, Any]:
    """The page of events in a response, with each event's data as it was published."""
    page = response.json()
    if not isinstance(page.get("cursor"), str) or not isinstance(page.get("events"), list):
        raise ClientError("The response is not a feed's; check the URL.")
    try:
        texts = raw_members(next(raw_members(response.body))["events"])
        for event, text in zip(page["events"], texts, strict=True):
            data = text.get("data")
            if data is None or isinstance(event["data"], str):
                continue
            if orjson.dumps(event["data"]) != data:
                event["data"] = _line(data)
    except (JsonError, RecursionError, orjson.JSONEncodeError):
        # No hub of this version sends such a body; the events of orjson are shown.
        pass
    return page


def _line(text: bytes) -> orjson.Fragment:
    """JSON as it was published, with its long numbers, but in one line. Its line ends are white
    space, since a JSON string has none.
    """
    return orjson.Fragment(text.replace(b"\r", b" ").replace(b"\n", b" "))
