"""Faults around the hubs: in the log, its feeds, the origin, the network, the clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushhub.testing.simulation.actors.actor import Actor

if TYPE_CHECKING:
    from pushhub.testing.simulation.log import View


class Fault(Actor):
    """Something that breaks now and then, and is whole again."""

    longest = 60.0
    lasts: tuple[float, ...] = (0.05, 1.0, 5.0, 30.0)

    def draw_length(self) -> float:
        """How long it lasts, in seconds."""
        return self.random.choice(self.lasts)

    def pick_view(self) -> View | None:
        """A node's way to the shared log."""
        node = self.pick()
        self._node = node.name if node is not None else ""
        return None if node is None else self.world.view(node)


class FeedLoss(Fault):
    """A node's feed breaks, and comes back."""

    async def turn(self) -> None:
        view = self.pick_view()
        if view is None:
            return
        node = self.node
        self.tell(f"{node} loses its feed")
        trouble = self.world.trouble(node)
        view.lose_feed()
        await asyncio.sleep(self.draw_length())
        view.restore_feed()
        self.tell(f"{node} has its feed again")
        self.world.heal(trouble)


class FeedDrop(Fault):
    """A node's feed loses a single message, and stays connected."""

    async def turn(self) -> None:
        view = self.pick_view()
        if view is not None:
            self.tell(f"{self.node} loses the next message")
            view.drops += 1


class LogAway(Fault):
    """A node cannot reach the log."""

    async def turn(self) -> None:
        view = self.pick_view()
        if view is None:
            return
        node = self.node
        self.tell(f"{node} cannot reach the log")
        trouble = self.world.trouble(node)
        view.fail()
        await asyncio.sleep(self.draw_length())
        view.recover()
        self.tell(f"{node} reaches the log")
        self.world.heal(trouble)


class LogLoss(Fault):
    """A failover to a replica that was behind: the newest events are lost, the epoch is new."""

    longest = 150.0

    async def turn(self) -> None:
        log = self.world.shared
        if log is None:
            return
        trouble = self.world.trouble("*")
        views = list(log.views)
        for view in views:
            view.fail()
        await asyncio.sleep(self.draw_length())
        lost = log.lose(self.random.randrange(4))
        self.world.messages.forgive()
        self.world.oracle.forget_values()
        self.tell(f"the log loses {lost} events, its epoch is {log.epoch}")
        for view in views:
            view.recover()
        self.world.heal(trouble)


class OriginTrouble(Fault):
    """The origin is down, slow, silent, or answers with errors."""

    acts = ("down", "slow", "silent", "errors")

    async def turn(self) -> None:
        origin = self.world.origin
        kind = self.random.choice(("down", "slow", "silent", "errors"))
        self.tell(f"the origin is {kind}")
        self.count(kind)
        troubles = [self.world.trouble("origin"), self.world.trouble("*")]
        if kind == "down":
            origin.stop()
        elif kind == "slow":
            origin.latency = 3.0
        elif kind == "silent":
            origin.status = 0
        else:
            origin.status = self.random.choice((500, 503))
        await asyncio.sleep(self.draw_length())
        if kind == "down":
            origin.start()
        origin.latency, origin.status = 0.02, 200
        self.tell("the origin is whole again")
        self.world.heal(*troubles)


class Proxy(Fault):
    """Something between clients and nodes that cuts connections."""

    longest = 30.0

    async def turn(self) -> None:
        node = self.pick()
        if node is None:
            return
        ends = sorted(node.connections, key=lambda end: str(end))
        if ends:
            end = self.random.choice(ends)
            self.tell(f"cuts {end}")
            end.cut()


class ClockStep(Fault):
    """The wall clock steps, as after an hour without NTP."""

    longest = 150.0
    acts = ("forward", "back")

    async def turn(self) -> None:
        step = self.random.choice((-3600.0, -30.0, -1.0, 1.0, 30.0, 3600.0))
        self.tell(f"the clock steps by {step} s")
        self.count("forward" if step > 0 else "back")
        self.world.step_clock(step)


FAULTS: dict[str, type[Actor]] = {
    "feed-loss": FeedLoss,
    "feed-drop": FeedDrop,
    "log-away": LogAway,
    "log-loss": LogLoss,
    "origin-trouble": OriginTrouble,
    "proxy": Proxy,
    "clock": ClockStep,
}
