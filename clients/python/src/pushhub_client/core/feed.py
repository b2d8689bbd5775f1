"""The state machine of one subscription: plain reads until all is read, then held requests, or a
stream.

A shell calls `take()` for the next message; if there is none, `next()` says what to do, and the
shell reports the result. No I/O, no clock, no randomness: `now` is in seconds and only grows.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from ..errors import InvalidResponse, Problem
from ..messages import JSON, Event, Message, Refusal, State
from .pace import (
    MOST_WAIT,
    PLAIN_SECONDS,
    QUICK_SECONDS,
    SLACK_SECONDS,
    WAIT,
    Pace,
    Random,
    backoff,
)
from .position import offset, serves
from .sse import LATE_SECONDS, StreamBlock, StreamMessage, StreamParser, patience
from .wire import Decode, Page, Request, dump, page_of, problem_of

# The most events that a hub returns at once.
_LIMIT = 1000
# Errors that a retry would not change, as docs/problems.md has them.
_FINAL = frozenset({400, 401, 403, 404, 413})


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this request. If `streams`, the response is read piece by piece."""

    request: Request
    streams: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for these seconds."""

    seconds: float


Step = Ask | Pause


class Feed:
    """One subscription: the channels, and the position in each.

    Args:
        start: channel to `earliest`, `now` or a cursor; at least one.
        wait: the longest wait of a request in seconds, 1 to 55.
        stream: hold by one stream of Server-Sent Events, where the network lets it through.
        renews: a 401 may end when the request is sent again, with a new token.
        decode: reads JSON.

    Raises:
        ValueError: no channel, or another wait.
    """

    def __init__(
        self,
        start: Mapping[str, str],
        *,
        random: Random,
        wait: int = WAIT,
        stream: bool = False,
        renews: bool = False,
        decode: Decode = json.loads,
    ) -> None:
        if not start:
            raise ValueError("A subscription needs at least one channel.")
        if not 1 <= wait <= MOST_WAIT:
            raise ValueError(f"The wait is 1 to {MOST_WAIT} seconds.")
        self._at = dict(start)
        self._read = dict(start)
        self._unread: deque[tuple[Message | None, str, str]] = deque()
        self._taken: tuple[str, str] | None = None
        self._pace = Pace(wait)
        self._block = StreamBlock() if stream else None
        self._renews = renews
        self._random = random
        self._decode = decode
        self._state: State = "connecting"
        self.on_state: Callable[[State], None] | None = None
        self.error: Exception | None = None
        """The last failure."""
        self.failures = 0
        """The failures in a row."""
        self._idle = 0
        self._unauthorized = False
        self._pause = 0.0
        # Of the request that was sent last:
        self._sent: dict[str, str] = {}
        self._held = False
        self._sent_at = 0.0
        # Of its stream:
        self._parser = StreamParser()
        self._heard = False
        self._alive_at = 0.0
        self._listening_at = 0.0
        self._clock_skew: float | None = None
        self._retry = 0.0

    # -- the reader ----------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the subscription does; see `State`."""
        return self._state

    @property
    def cursors(self) -> dict[str, str]:
        """The position that the reader has read to, for each channel."""
        return dict(self._read)

    @property
    def wait(self) -> int:
        """The wait that the next held request asks for, in seconds."""
        return self._pace.wait

    def take(self) -> Message | None:
        """The next message; the message before counts as read from then on.

        Raises:
            Problem: the hub refused all channels; the feed is closed.
        """
        self.commit()
        while self._unread:
            message, channel, cursor = self._unread.popleft()
            if isinstance(message, Refusal):
                self._read.pop(channel, None)
                if not self._at and not self._unread:
                    self.close()
                    raise message.error
                return message
            self._taken = channel, cursor
            if message is not None:
                return message
            self.commit()
        return None

    def commit(self) -> None:
        """Count the message that was taken last as read."""
        if self._taken:
            channel, cursor = self._taken
            self._taken = None
            if channel in self._read:
                self._read[channel] = cursor

    def add(self, channel: str, since: str) -> None:
        """Read one more channel, from the next request on: the shell cuts a held one."""
        self._at.setdefault(channel, since)
        self._read.setdefault(channel, since)

    def remove(self, channel: str) -> None:
        """Read a channel no longer."""
        self._at.pop(channel, None)
        self._read.pop(channel, None)
        self._unread = deque(entry for entry in self._unread if entry[1] != channel)

    def close(self) -> None:
        """End the subscription."""
        self._become("closed")

    def _become(self, state: State) -> None:
        if self._state not in (state, "closed"):
            self._state = state
            if self.on_state:
                self.on_state(state)

    # -- the next request ----------------------------------------------------------

    def next(self, now: float) -> Step | None:
        """What to do next; None if the feed is closed, or has no channel."""
        if self._state == "closed" or not self._at:
            return None
        if self._pause:
            pause, self._pause = self._pause, 0.0
            return Pause(pause)
        self._sent = dict(self._at)
        self._held = self._state == "live" and all(offset(at) >= 0 for at in self._at.values())
        streams = self._held and self._block is not None and not self._block.blocked(now)
        wait = self._pace.wait if self._held and not streams else 0
        self._sent_at = self._alive_at = now
        self._heard = False
        body = {"channels": self._sent, "limit": _LIMIT, "wait": wait}
        headers = {"Content-Type": JSON, "Accept": "text/event-stream" if streams else JSON}
        request = Request("POST", "/v1/poll", headers, dump(body), SLACK_SECONDS + wait)
        return Ask(request, streams)

    # -- its result ----------------------------------------------------------------

    def responded(self, now: float, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """The response is complete.

        Raises:
            Problem: the hub refuses the request permanently; the feed is closed.
        """
        if status != 200:
            return self._refused(now, problem_of(status, headers, body))
        try:
            page = page_of(body, self._decode)
        except InvalidResponse as error:
            return self.failed(now, error)
        age = now - self._sent_at
        self._unauthorized = False
        if self._held:
            self._pace.lived(age)
            self.failures = 0
        self._accept(page)
        if (page.events or page.gaps) and not self._held:
            self._become("catching-up")
        elif all(offset(at) >= 0 for at in self._at.values()):
            self._become("live")
            self.failures = 0
        self._pause = page.retry or self._rest(page, headers, age)

    def _rest(self, page: Page, headers: Mapping[str, str], age: float) -> float:
        """The pause after a response, so that no request repeats immediately without an effect."""
        still = self._sent == self._at
        # Neither waited nor moved.
        waited = "preference-applied" in headers
        if still and (self._state != "live" or (self._held and not waited)):
            return PLAIN_SECONDS
        # The wait ended immediately, or one gap follows another.
        if page.gaps or (self._held and still and age < QUICK_SECONDS):
            self._idle += 1
            return self._slower() if self._idle > 1 else 0.0
        if self._held:
            self._idle = 0
        return 0.0

    def _slower(self) -> float:
        return min(PLAIN_SECONDS, backoff(self._idle, self._random))

    def _accept(self, page: Page) -> None:
        """Take the events and gaps of a response, and move the positions."""
        events: dict[str, list[Event]] = {}
        for event in page.events:
            events.setdefault(event.channel, []).append(event)
        for channel, to in page.cursors.items():
            at = self._at.get(channel)
            # A channel that was removed, or added again elsewhere, since the request was sent.
            if at is None or at != self._sent.get(channel):
                continue
            gap = page.gaps.get(channel)
            # What was trimmed is no loss to a reader that has read it.
            if gap and not (gap.reason == "trimmed" and serves(to, at)):
                self._unread.append((gap, channel, gap.oldest))
                at = gap.oldest
            for event in events.get(channel, ()):
                if not serves(event.cursor, at):
                    self._unread.append((event, channel, event.cursor))
                    at = event.cursor
            if not serves(to, at):
                self._unread.append((None, channel, to))
                at = to
            self._at[channel] = at

    def _refused(self, now: float, problem: Problem) -> None:
        channel = problem.channel
        # A new token is asked for, once, and the request is sent again immediately.
        if problem.status == 401 and self._renews and not self._unauthorized:
            self._unauthorized = True
            self.error = problem
            return
        again = (
            self._renews
            if problem.status == 401
            else bool(
                # A channel that was deleted during the wait is read on; one that was removed here
                # refuses no other.
                channel and (problem.status == 404 or channel not in self._at)
            )
        )
        if problem.status not in _FINAL or again:
            return self.failed(now, problem)
        self.error = problem
        if channel is None:
            self.close()
            raise problem
        del self._at[channel]
        self._unread.append((Refusal(channel, problem), channel, ""))

    def failed(self, now: float, error: Exception) -> None:
        """No success: the connection failed or broke, or the server has a problem."""
        self.error = error
        age = now - self._alive_at
        if self._held:
            self._pace.died(age)
            if age > QUICK_SECONDS:
                self.failures = 0
        self.failures += 1
        self._become("offline")
        after = error.retry_after if isinstance(error, Problem) else 0.0
        self._pause = max(after, backoff(self.failures, self._random))

    # -- a stream ------------------------------------------------------------------

    def opened(self, now: float, headers: Mapping[str, str]) -> None:
        """The head of a stream came."""
        self._parser = StreamParser()
        self._retry = 0.0
        self._unauthorized = False
        try:
            date = parsedate_to_datetime(headers.get("date", "")).timestamp()
            self._clock_skew = now - date
        except (TypeError, ValueError):
            self._clock_skew = None

    def listen(self, now: float) -> float:
        """The shell waits for bytes from now on; the seconds within which they must come."""
        self._listening_at = now
        return patience(self._heard, self._parser.partial)

    def received(self, now: float, chunk: bytes) -> bool:
        """Bytes came; False if the shell has to end the stream.

        Raises:
            Problem: the hub refuses the request permanently; the feed is closed.
        """
        self._heard = True
        self._alive_at = now
        try:
            messages = self._parser.feed(chunk)
            return all(self._heed(now, message) for message in messages)
        except (ValueError, InvalidResponse) as error:
            self.failed(now, error)
            return False

    def _heed(self, now: float, message: StreamMessage) -> bool:
        self._retry = message.retry or self._retry
        # The token has ended; the next request is refused, and gets a new one.
        if message.event == "error":
            return False
        if not message.data:
            return True
        page = page_of(message.data, self._decode)
        self._accept(page)
        self._sent = dict(self._at)
        self._idle = 0
        self.failures = 0
        if any(self._is_late(now, event) for event in page.events):
            self._give_up_streams(now)
            return False
        return True

    def _is_late(self, now: float, event: Event) -> bool:
        """Whether something in between delayed an event.

        Only an event counts that was published after the shell began to wait for it: an earlier one
        may have been delayed by the reader.
        """
        if self._clock_skew is None:
            return False
        try:
            published = datetime.fromisoformat(event.time).timestamp() + self._clock_skew
        except ValueError:
            return False
        return published > self._listening_at and now - published > LATE_SECONDS

    def _give_up_streams(self, now: float) -> None:
        if self._block and not self._block.blocked(now):
            self._block.block(now)

    def stalled(self, now: float, error: Exception) -> None:
        """The bytes did not come in time."""
        partial = self._parser.partial
        self._give_up_streams(now)
        if not partial:
            self.failed(now, error)

    def ended(self, now: float) -> None:
        """The stream ended."""
        if not self._heard:
            self._give_up_streams(now)
        if now - self._sent_at > SLACK_SECONDS:
            self._idle = 0
        if self._pause or (self._block and self._block.blocked(now)):
            return
        self._idle += 1
        self._pause = self._retry or self._slower()
