"""What an observer of a trial saw: each response, and the state of the resource in it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sighting:
    """A response. `begun` and `ended` are seconds since the trial began; `state` names the state of
    the resource. `held` says that the request could wait, so that the hub fetched meanwhile.
    """

    begun: float
    ended: float
    state: str
    held: bool = False


@dataclass(slots=True)
class ObserverRecord:
    """All requests of one observer. `granted` counts the responses that grant a wait; `failures`
    has sentences, and how often each was true.
    """

    sightings: list[Sighting] = field(default_factory=list)
    requests: int = 0
    granted: int = 0
    received: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def fail(self, sentence: str) -> None:
        """Count a failure."""
        self.failures[sentence] = self.failures.get(sentence, 0) + 1
