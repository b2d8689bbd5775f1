"""A trial: both observers for some time, and what came of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.origin.shared.change_rule import ChangeRule
from pushhub.trial.comparison import ObservedChange, median, observed_changes
from pushhub.trial.hub_thread import TrialHub
from pushhub.trial.observers import TrialObserver

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.advice import Suggestion
    from pushhub.trial.sighting import ObserverRecord

# The progress is shown so often.
TICK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What a trial measured.

    `seconds` is its duration, `every` the interval of the poller, `interval` that of the hub's
    fetches. `origin_requests` are those that the hub sent to the API.
    """

    suggestion: Suggestion
    seconds: float
    every: float
    interval: float
    poller: ObserverRecord
    long_poller: ObserverRecord
    origin_requests: int
    held: bool
    changes: list[ObservedChange]
    unshared: dict[str, int]
    demo: bool

    @property
    def polled_delays(self) -> list[float]:
        """The delays of the poller."""
        return [one.polled for one in self.changes if one.polled is not None]

    @property
    def long_polled_delays(self) -> list[float]:
        """The delays of the long-poller."""
        return [one.long_polled for one in self.changes if one.long_polled is not None]

    @property
    def uncertain(self) -> float | None:
        """The median of the uncertainty of a change's time."""
        return median([one.uncertain for one in self.changes])

    def per_minute(self, requests: float) -> float:
        """A number of requests during the trial, for a minute."""
        return requests * 60 / self.seconds

    @property
    def is_shared(self) -> bool:
        """Whether the requests waited, so that the hub's requests are for all clients."""
        return self.held and not self.unshared


async def run_trial(
    suggestion: Suggestion,
    seconds: float,
    every: float,
    tick: Callable[[float, str], None],
    known: list[float] | None,
) -> TrialResult:
    """Run both observers for so many seconds, or until the task is cancelled once. `tick` gets the
    seconds since the start and a few words; `known` are the times of changes of the demo.
    """
    survey, options = suggestion.survey, suggestion.options
    rule = ChangeRule(tuple(options.get("ignore", ())), tuple(options.get("compare", ())))
    target = survey.path + (f"?{survey.query}" if survey.query else "")
    hub = TrialHub(survey.target, options)
    # In a thread: a start takes half a second, and the demo's API runs in this loop.
    await asyncio.to_thread(hub.__enter__)
    try:
        begun = time.monotonic()
        poller = TrialObserver(survey.target + target, survey.sent, rule, begun, lambda: None)
        long_poller = TrialObserver(hub.url + target, survey.sent, rule, begun, lambda: None)
        tasks = [
            asyncio.create_task(poller.poll(every)),
            asyncio.create_task(long_poller.long_poll(every)),
        ]
        try:
            await _ticks(begun, seconds, tick, poller.record, long_poller.record)
        except asyncio.CancelledError:
            # Ctrl-C: what was measured until now is shown.
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
        passed = time.monotonic() - begun
        for one in tasks:
            one.cancel()
        await asyncio.wait(tasks)
        for one in tasks:
            if not one.cancelled() and (error := one.exception()) is not None:
                raise error
    finally:
        await asyncio.to_thread(hub.__exit__, None, None, None)
    interval = float(options.get("interval", 1.0))
    passes = max(0, long_poller.record.requests - hub.served)
    return TrialResult(
        suggestion, passed, every, interval, poller.record, long_poller.record,
        hub.fetches + passes, long_poller.record.granted > 0,
        observed_changes(
            poller.record, long_poller.record, interval, [one - begun for one in known or ()]
        ),
        hub.unshared(), known is not None,
    )  # fmt: skip


async def _ticks(
    begun: float,
    seconds: float,
    tick: Callable[[float, str], None],
    poller: ObserverRecord,
    long_poller: ObserverRecord,
) -> None:
    while (passed := time.monotonic() - begun) < seconds:
        states = {one.state for one in (*poller.sightings, *long_poller.sightings)}
        seen = max(0, len(states) - 1)
        tick(passed, f"{seen} {'change' if seen == 1 else 'changes'} seen")
        await asyncio.sleep(min(TICK_SECONDS, seconds - passed))
