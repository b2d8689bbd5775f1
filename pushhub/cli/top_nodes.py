"""The nodes that `pushhub top` watches: each is read in a thread, with pauses while it is away."""

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from pushhub.cli.client import CONNECTION_ERRORS, ClientError, HubClient, why
from pushhub.cli.top_figures import MetricsSample, NodeFigures, figures, parse_exposition

# A hub responds in milliseconds, a busy one within this time.
RESPONSE_SECONDS = 5.0
# Pauses between tries of a hub that is away, as in follow.py.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0


class NodeAway(Exception):
    """A hub could not be read; the message is the reason in a few words."""


@dataclass(slots=True)
class WatchedNode:
    """One hub, its last samples, and when it is read next.

    Raises:
        ClientError: the URL is not one.
    """

    url: str
    key: str | None
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[float, float], float] = random.uniform
    figures: NodeFigures | None = None
    """None before the second sample, and while the hub is away."""
    version: str = ""
    away: str = ""
    """The reason while it is away."""
    due: float = 0.0
    failures: int = 0
    client: HubClient = field(init=False)
    _last: MetricsSample | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.client = HubClient(self.url, self.key)

    def read(self, interval: float) -> None:
        """Read the metrics; the next time is an interval later, or after a pause that doubles."""
        try:
            sample = self._sample()
        except NodeAway as error:
            self.away, self.figures, self._last = str(error), None, None
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.failures, 16))
            self.failures += 1
            self.due = self.clock() + max(interval, self.jitter(longest / 2, longest))
            return
        if self._last is not None:
            self.figures = figures(self._last, sample)
        self._last, self.away, self.failures = sample, "", 0
        self.due = sample.at + interval

    def _sample(self) -> MetricsSample:
        try:
            if not self.version:
                # A key that may not manage is told by the metrics.
                seen = self.client.request("GET", "/v1/request", timeout=RESPONSE_SECONDS)
                self.version = str(seen.json().get("version", "")) if seen.status == 200 else ""
            response = self.client.request("GET", "/metrics", timeout=RESPONSE_SECONDS)
        except ClientError as error:
            raise NodeAway(str(error).rstrip(".")) from None
        except CONNECTION_ERRORS as error:
            self.version = ""
            raise NodeAway(why(error)) from None
        if response.status != 200:
            raise NodeAway(response.problem.rstrip("."))
        sample = parse_exposition(response.body.decode("utf-8", "replace"), self.clock())
        if "pushhub_holds" not in sample.values:
            raise NodeAway("its /metrics are not a hub's")
        return sample


class NodeReader:
    """Reads all nodes at the same time. A slow node delays no other."""

    def __init__(self, nodes: list[WatchedNode], interval: float) -> None:
        self.nodes = nodes
        self._interval = interval
        self._pool = ThreadPoolExecutor(max_workers=len(nodes))
        self._under_way: dict[int, Future[None]] = {}

    def begin(self, now: float) -> None:
        """Begin to read the nodes that are due."""
        for number, node in enumerate(self.nodes):
            running = self._under_way.get(number)
            if running is not None and not running.done():
                continue
            if running is not None:
                running.result()
            if node.due <= now:
                self._under_way[number] = self._pool.submit(node.read, self._interval)

    def finish(self) -> None:
        """Wait until all that has begun has ended; each request has its timeout."""
        for running in self._under_way.values():
            running.result()

    def close(self) -> None:
        """Stop without waiting for nodes that do not respond."""
        for node in self.nodes:
            node.client.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
