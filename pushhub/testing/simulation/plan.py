"""The plan of a run, drawn from its seed; and smaller plans of it, to shrink a failure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from pushhub.testing.simulation import pauses

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400.0
# Nodes that serve XMPP sign every 5 s: a month of that takes minutes, and a day has all its times
# but the archive's.
MOST_XMPP_DAYS = 1.0
# How many of those have the two people of `actors.couple`; their accounts are only there once.
COUPLE_PART = 0.7


@dataclass(frozen=True, slots=True)
class Plan:
    """The nodes, the actors, and the phases of work and sleep of a run."""

    seed: int
    nodes: int
    is_shared: bool
    """Whether the log is one that several nodes could share, though there is only one."""
    has_xmpp: bool
    actors: tuple[str, ...]
    phases: tuple[tuple[float, float], ...]
    """Seconds of work, and of sleep after it."""

    def smaller(self) -> Iterator[Plan]:
        """Plans with less in them: fewer phases first, then actors, then nodes."""
        if len(self.phases) > 1:
            half = len(self.phases) // 2
            yield replace(self, phases=self.phases[:half])
            yield replace(self, phases=self.phases[:-1])
            yield replace(self, phases=self.phases[1:])
        for index in range(len(self.actors)):
            yield replace(self, actors=self.actors[:index] + self.actors[index + 1 :])
        if self.nodes > 1:
            yield replace(self, nodes=self.nodes - 1, is_shared=True)

    def __str__(self) -> str:
        seconds = sum(work + sleep for work, sleep in self.phases)
        kind = "a log in one process" if not self.is_shared else "a shared log"
        return (
            f"{self.nodes} node(s) on {kind}, {len(self.phases)} phases, {seconds / DAY:.2f} days: "
            + ", ".join(self.actors)
        )


def draw(seed: int, days: float, kinds: dict[str, float]) -> Plan:
    """The plan of a seed. `kinds` are the kinds of actors, and how many of each on average."""
    random = Random(f"{seed}:plan")
    nodes = random.choice((1, 1, 2, 2, 3))
    is_shared = nodes > 1 or random.random() < 0.3
    # Its signs of life, every 5 s, take most of the time of a month.
    has_xmpp = random.random() < 0.2
    actors: list[str] = []
    for kind, mean in kinds.items():
        count = int(random.expovariate(1 / mean) + 0.5) if mean else 0
        actors += [f"{kind}-{number}" for number in range(min(count, 4))]
    if has_xmpp and Random(f"{seed}:couple").random() < COUPLE_PART:
        actors.append("couple-0")
    phases: list[tuple[float, float]] = []
    if has_xmpp and is_shared:
        days = min(days, MOST_XMPP_DAYS)
    left = days * DAY
    while left > 0 and len(phases) < 14:
        work = random.choice((20.0, 45.0, 90.0, 180.0))
        sleep = min(left, pauses.draw(random, pauses.MONTH / 4))
        phases.append((work, sleep))
        left -= work + sleep
    if left > 0:
        work, sleep = phases[-1]
        phases[-1] = (work, sleep + left / 2)
        phases.append((60.0, left / 2))
    return Plan(seed, nodes, is_shared, has_xmpp, tuple(actors), tuple(phases))
