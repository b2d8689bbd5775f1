"""The scenarios: each is a function from a target and a load to figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.bench.scenarios import (
    churn,
    fan_out,
    idle,
    memory,
    polling,
    publish,
    stall,
    steady,
    storm,
)
from pushhub.bench.target import Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.bench.target import Figures, Target


# Enough deliveries for a reproducible figure; the clock's tick is a hundredth of a second.
DELIVERIES = 50_000
FEWEST_PUBLISHES = 5
# Half a minute: a round takes a third of a second if the server is on another machine.
MOST_PUBLISHES = 100


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario, and its default load."""

    about: str
    run: Callable[[Target, Load], Figures]
    sizes: tuple[int, ...] = (1000,)
    """Numbers of holds."""
    seconds: float = 10.0
    spread: bool = False

    def load(self, holds: int) -> Load:
        """The load with a number of holds."""
        publishes = min(MOST_PUBLISHES, max(FEWEST_PUBLISHES, DELIVERIES // holds))
        if self.spread:
            publishes = FEWEST_PUBLISHES
        return Load(holds=holds, publishes=publishes, seconds=self.seconds, spread=self.spread)


SCENARIOS = {
    "fan-out": Scenario(
        "N holds on one channel, one token for all", fan_out.fan_out, (1000, 5000, 18_000)
    ),
    "fan-out-users": Scenario(
        "the same, and every client has a token of its own",
        lambda target, load: fan_out.fan_out(target, load, tokens=True),
        (1000, 5000),
    ),
    "many-channels": Scenario(
        "a channel of its own for every hold", fan_out.fan_out, (1000, 5000), spread=True
    ),
    "steady": Scenario(
        "2,000 events a second for 20 s, a channel of its own for every hold",
        steady.steady,
        (15_000,),
        seconds=20.0,
        spread=True,
    ),
    "mixed": Scenario(
        "clients that ask for a page before every poll",
        lambda target, load: fan_out.fan_out(target, load, pages=True),
    ),
    "churn": Scenario("waits that end after a second, without news", churn.churn, (2000,), 8.0),
    "reconnect-storm": Scenario("all drop, and return at once", storm.reconnect_storm, (5000,)),
    "poll-vs-longpoll": Scenario(
        "a poll every 5 s, and then polls that wait: the same clients and events",
        polling.poll_versus_long_poll,
        seconds=60.0,
    ),
    "publish": Scenario(
        "single publishes with receipts, 64 at a time", publish.publish, (64,), seconds=5.0
    ),
    "memory": Scenario("memory per hold, all on one channel", memory.memory, (1000, 5000, 18_000)),
    "memory-users": Scenario(
        "memory per hold, all on one channel, a token each",
        lambda target, load: memory.memory(target, load, tokens=True),
        (1000, 5000, 18_000),
    ),
    "memory-spread": Scenario(
        "memory per hold, each on a channel of its own",
        memory.memory,
        (1000, 5000, 18_000),
        spread=True,
    ),
    "stall": Scenario("how long a fan-out keeps others waiting", stall.stall, (10_000,)),
    "idle": Scenario("CPU while nothing happens", idle.idle, (18_000,), 20.0),
}

__all__ = ["SCENARIOS", "Scenario"]
