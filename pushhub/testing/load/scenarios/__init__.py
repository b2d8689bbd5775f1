"""What can be measured: a function for each, from a target and a load to figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pushhub.testing.load.scenarios.churn import churn
from pushhub.testing.load.scenarios.fan_out import fan_out
from pushhub.testing.load.scenarios.idle import idle
from pushhub.testing.load.scenarios.memory import memory
from pushhub.testing.load.scenarios.polling import poll_versus_long_poll
from pushhub.testing.load.scenarios.publish import publish
from pushhub.testing.load.scenarios.stall import stall
from pushhub.testing.load.scenarios.storm import reconnect_storm
from pushhub.testing.load.target import Load

if TYPE_CHECKING:
    from collections.abc import Callable

    from pushhub.testing.load.target import Figures, Target


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something to measure, and the load that suits it where nobody says another."""

    about: str
    run: Callable[[Target, Load], Figures]
    load: Load = Load()  # noqa: RUF009 - it is frozen


SCENARIOS = {
    "fan-out": Scenario(
        "N holds on one channel, one token for all", fan_out, Load(holds=1000, publishes=50)
    ),
    "fan-out-users": Scenario(
        "the same, and every client has a token of its own",
        lambda target, load: fan_out(target, load, tokens=True),
        Load(holds=1000, publishes=50),
    ),
    "many-channels": Scenario(
        "a channel of its own for every hold",
        fan_out,
        Load(holds=1000, publishes=5, spread=True),
    ),
    "mixed": Scenario(
        "clients that ask for a page before every poll",
        lambda target, load: fan_out(target, load, pages=True),
        Load(holds=500, publishes=20),
    ),
    "churn": Scenario("waits that end after a second, without news", churn, Load(seconds=8)),
    "reconnect-storm": Scenario("all drop, and return at once", reconnect_storm, Load()),
    "poll-vs-longpoll": Scenario(
        "a poll every 5 s, and then polls that wait: the same clients and events",
        poll_versus_long_poll,
        Load(holds=1000, seconds=60),
    ),
    "publish": Scenario("single publishes with receipts, 64 at a time", publish, Load(seconds=5)),
    "memory": Scenario("memory per hold, all on one channel", memory, Load(holds=5000)),
    "memory-spread": Scenario(
        "memory per hold, each on a channel of its own", memory, Load(holds=5000, spread=True)
    ),
    "stall": Scenario(
        "how long a fan-out keeps others waiting", stall, Load(holds=10_000, publishes=5)
    ),
    "idle": Scenario("CPU while nothing happens", idle, Load(holds=18_000, seconds=20)),
}

__all__ = ["SCENARIOS", "Scenario"]
