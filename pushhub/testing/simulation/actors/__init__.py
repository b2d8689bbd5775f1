"""All kinds of actors, by the names that plans use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pushhub.testing.simulation.actors.bosh import Chatter
from pushhub.testing.simulation.actors.console import ConsoleActor
from pushhub.testing.simulation.actors.couple import Couple
from pushhub.testing.simulation.actors.faults import FAULTS
from pushhub.testing.simulation.actors.feeds import (
    FeedReader,
    ManyReader,
    PlainPoller,
    StreamReader,
    TokenReader,
)
from pushhub.testing.simulation.actors.grip import GripPoller, GripPublisher, GripStreamReader
from pushhub.testing.simulation.actors.operator import Operator
from pushhub.testing.simulation.actors.publishers import (
    BatchPublisher,
    CarefulPublisher,
    IdempotentPublisher,
    Publisher,
)
from pushhub.testing.simulation.actors.resources import Changer, ResourceWaiter
from pushhub.testing.simulation.actors.rude import HalfSender, SlowReader
from pushhub.testing.simulation.actors.values import ValueReader

if TYPE_CHECKING:
    from pushhub.testing.simulation.actors.actor import Actor

KINDS: dict[str, type[Actor]] = {
    "publisher": Publisher,
    "batch": BatchPublisher,
    "idempotent": IdempotentPublisher,
    "careful": CarefulPublisher,
    "poller": PlainPoller,
    "reader": FeedReader,
    "many": ManyReader,
    "token": TokenReader,
    "stream": StreamReader,
    "value": ValueReader,
    "waiter": ResourceWaiter,
    "changer": Changer,
    "operator": Operator,
    "chatter": Chatter,
    "grip-publisher": GripPublisher,
    "grip-poller": GripPoller,
    "grip-stream": GripStreamReader,
    "console": ConsoleActor,
    "half": HalfSender,
    "slow": SlowReader,
    "couple": Couple,
    **FAULTS,
}
# How many of each a run has on average.
MEANS: dict[str, float] = {
    "publisher": 1.2,
    "batch": 0.6,
    "idempotent": 0.6,
    "careful": 0.6,
    "poller": 0.6,
    "reader": 1.5,
    "many": 0.7,
    "token": 0.7,
    "stream": 1.0,
    "value": 1.2,
    "waiter": 1.5,
    "changer": 1.0,
    "operator": 0.4,
    "chatter": 2.5,
    "grip-publisher": 0.8,
    "grip-poller": 0.7,
    "grip-stream": 0.7,
    "console": 0.3,
    "half": 0.3,
    "slow": 0.3,
    **dict.fromkeys(FAULTS, 0.25),
}
