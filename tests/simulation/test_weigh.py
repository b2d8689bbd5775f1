"""What a node is weighed by."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from pushhub.testing.simulation.loop import SimulatedLoop
from pushhub.testing.simulation.plan import Plan
from pushhub.testing.simulation.scales import LIMITS, WOBBLE_BYTES, grown, weigh
from pushhub.testing.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any


class Part:
    __slots__ = ("name", "other")

    def __init__(self, name: str, other: object = None) -> None:
        self.name = name
        self.other = other


class Whole:
    def __init__(self) -> None:
        self.buffers: deque[bytes] = deque()
        self.parts: dict[str, Part] = {}
        self.call: Callable[[], object] = lambda: None


def test_bytes_are_found_wherever_they_are() -> None:
    whole = Whole()
    empty = weigh([whole])
    hidden = bytearray(500)
    whole.buffers.append(b"x" * 1000)
    whole.parts["a"] = Part("b" * 300, other=whole)
    whole.call = lambda: hidden
    now = weigh([whole])
    assert now["Whole.buffers"] == 1000 + 8
    assert now["Whole.parts"] == 1 + 16
    assert now["Part.name"] == 300
    assert now["Whole.call"] == 500
    found = grown(empty, now, {})
    assert found.keys() == {"Whole.buffers", "Part.name", "Whole.call"}, "17 bytes are a wobble"
    assert grown(empty, now, {"Whole.buffers": 2000}).keys() == {"Part.name", "Whole.call"}


def test_counts_have_no_wobble() -> None:
    assert grown({"timers": 3}, {"timers": 4}, {}) == {"timers": "3 -> 4"}
    assert grown({"Part.name": 3}, {"Part.name": 3 + WOBBLE_BYTES}, {}) == {}


def test_what_a_cache_alone_keeps_belongs_to_the_cache() -> None:
    class Recorder:
        def __init__(self) -> None:
            self._young: dict[bytes, Part] = {}
            self.own = Part("own")

    # The name of a cache is its class's and its attribute's.
    Recorder.__name__ = "GenerationCache"
    found = Recorder()
    found._young = {b"key": Part("kept"), b"two": found.own}
    now = weigh([found])
    assert now["GenerationCache._young"] == 4 * 8 + 3 + 3 + 4
    assert now["Part.name"] == 3
    assert "GenerationCache._young" in LIMITS


def live(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    loop = SimulatedLoop()
    world = World(loop, Plan(1, 1, is_shared=False, has_xmpp=False, actors=(), phases=()))

    async def run() -> None:
        await world.start()
        await story(world)
        await world.nodes[0].stop()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()


def test_a_node_has_its_timers_and_connections() -> None:
    async def story(world: World) -> None:
        (node,) = world.nodes
        before = node.weigh()
        assert before["timers"] == 1, "the hub ticks"
        end, _ = await world.network.connect(asyncio.Protocol, "node0", 8080)
        loop = asyncio.get_running_loop()
        timer = node._context.run(loop.call_later, 3600, print)
        now = node.weigh()
        assert (now["timers"], now["connections"]) == (2, 1)
        timer.cancel()
        assert node.weigh()["timers"] == 1
        end.close()

    live(story)


def test_a_held_response_is_kept_for_the_time_in_which_it_is_shared() -> None:
    """The origin's responses may have 100,000 bytes each; without requests nothing removed them."""

    async def story(world: World) -> None:
        (node,) = world.nodes
        assert node.app.origin is not None
        assert node.app.origin.grip is not None
        coalescer = node.app.origin.grip.coalescer
        client = world.client("node0", "10.0.0.1")
        asked = asyncio.ensure_future(client.ask("GET", "/grip/hold/t1"))
        await asyncio.sleep(1)
        assert repr(coalescer) == "<Coalescer 0 in flight, 1 held>"
        client.close()
        asked.cancel()
        await asyncio.sleep(5)
        assert repr(coalescer) == "<Coalescer 0 in flight, 0 held>"

    live(story)
