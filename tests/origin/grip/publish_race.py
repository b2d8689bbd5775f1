"""The race of a publish with the request whose hold it is for."""

import asyncio
from random import Random

from tests.peers.gate import Gate, fresh, response
from tests.peers.origin import script

HOLD = "Grip-Hold: response"
ORIGIN_SECONDS = 0.02
"""How long the origin takes for its response, which is older than a publish in that time."""


async def race_publishes(rounds: int, holder: Gate, publisher: Gate, drawn: Random) -> None:
    """Publish at any moment of a request: during the origin's response, or soon after it."""

    async def one() -> None:
        channel, where = fresh(), "/" + fresh("p")
        target = script(
            where, HOLD, f"Grip-Channel: {channel}", body="nothing", delay=ORIGIN_SECONDS
        )
        task = asyncio.create_task(holder.ask(target))
        await asyncio.to_thread(holder.origin.wait, where)
        await asyncio.sleep(drawn.uniform(0, 2 * ORIGIN_SECONDS))
        await publisher.publish(response(channel, "news"))
        told = await task
        assert told.body == b"news"
        assert told.seconds < 10

    for _ in range(rounds):
        await asyncio.gather(*(one() for _ in range(10)))
