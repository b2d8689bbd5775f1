"""The comparison of two observers: the changes that both saw, and the delay of each.

The time of a change is known within a window: after the last response without it began, and before
the first with it ended. The middle of the window counts, unless the API itself says more.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushhub.trial.sighting import ObserverRecord, Sighting


@dataclass(frozen=True, slots=True)
class ObservedChange:
    """A change: its time, half of its window, and the delay of each observer; None if the trial
    ended before an observer saw it.
    """

    at: float
    uncertain: float
    polled: float | None
    long_polled: float | None


def observed_changes(
    poller: ObserverRecord, long_poller: ObserverRecord, interval: float, known: list[float]
) -> list[ObservedChange]:
    """The changes during a trial. `interval` is the time between two fetches of the hub while a
    request is held; `known` are the times of changes, where the API is pushhub's own.
    """
    states, firsts = _states(poller, long_poller)
    changes = []
    left = sorted(known)
    for number in range(1, len(states)):
        first = firsts[number]
        last = _last_without(number, firsts, states, (poller, long_poller), interval)
        # The latest one before it was seen; earlier ones were seen together with it.
        before = [time for time in left if time <= first.ended]
        left = left[len(before) :]
        at = before[-1] if before else None
        middle = (last + first.ended) / 2
        changes.append(
            ObservedChange(
                middle if at is None else at,
                (first.ended - last) / 2 if at is None else 0.0,
                _delay(number, firsts, states, poller, middle if at is None else at),
                _delay(number, firsts, states, long_poller, middle if at is None else at),
            )
        )
    return changes


def median(delays: list[float]) -> float | None:
    """The median; None of none."""
    return statistics.median(delays) if delays else None


def _states(*records: ObserverRecord) -> tuple[list[str], list[Sighting]]:
    """The states in the order in which they were seen first, and these sightings."""
    states: list[str] = []
    firsts: list[Sighting] = []
    merged = sorted((one for record in records for one in record.sightings), key=lambda s: s.ended)
    for one in merged:
        if not states or (one.state != states[-1] and not _is_late(one, states, firsts)):
            states.append(one.state)
            firsts.append(one)
    return states, firsts


def _is_late(one: Sighting, states: list[str], firsts: list[Sighting]) -> bool:
    """Whether a response began before the newest state was seen, and has a former one."""
    return one.state in states and one.begun < firsts[-1].ended


def _last_without(
    number: int,
    firsts: list[Sighting],
    states: list[str],
    records: tuple[ObserverRecord, ...],
    interval: float,
) -> float:
    """The last time at which a state was not there yet."""
    first = firsts[number]
    last = firsts[number - 1].begun
    for record in records:
        for one in record.sightings:
            if one.ended < first.ended and _index(one, states, firsts) < number:
                last = max(last, one.begun)
    if first.held:
        # While the request was held, the hub fetched: the fetch before this one was without it.
        last = max(last, first.ended - interval)
    return min(last, first.ended)


def _index(one: Sighting, states: list[str], firsts: list[Sighting]) -> int:
    """The place of a sighting's state: the latest one that had been seen by then."""
    places = [
        number
        for number, state in enumerate(states)
        if state == one.state and firsts[number].ended <= one.ended
    ]
    return places[-1] if places else 0


def _delay(
    number: int, firsts: list[Sighting], states: list[str], record: ObserverRecord, at: float
) -> float | None:
    """When an observer had the state, or a newer one."""
    for one in record.sightings:
        if one.ended >= firsts[number].ended and _index(one, states, firsts) >= number:
            return max(0.0, one.ended - at)
    return None
